"""What is added to LiteLLM's calls of models."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "roles" / "litellm" / "templates" / "config" / "hearth_calls.py"
HOUSE = {"max_tokens_only": True}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file as LiteLLM loads it; LiteLLM itself is not here, and of it only a class to inherit from is needed."""
    logger = ModuleType("litellm.integrations.custom_logger")
    logger.CustomLogger = object  # type: ignore[attr-defined]
    for name in ("litellm", "litellm.integrations"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "litellm.integrations.custom_logger", logger)
    spec = importlib.util.spec_from_file_location("hearth_calls", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_servers_of_the_house_get_the_limit_under_the_name_that_they_know(calls: Any) -> None:
    asked = {"model": "m", "model_info": HOUSE, "max_completion_tokens": 5}

    assert calls.limited(asked) == {"model": "m", "model_info": HOUSE, "max_tokens": 5}
    assert "max_completion_tokens" in asked


def test_the_older_name_wins(calls: Any) -> None:
    asked = {"model_info": HOUSE, "max_completion_tokens": 5, "max_tokens": 3}
    assert calls.limited(asked) == {"model_info": HOUSE, "max_tokens": 3}


@pytest.mark.parametrize("asked", [{"max_completion_tokens": 5}, {"model_info": HOUSE, "max_tokens": 5}])
def test_other_calls_stay_as_they_are(calls: Any, asked: dict[str, Any]) -> None:
    assert asyncio.run(calls.calls.async_pre_call_deployment_hook(asked, None)) is None


def test_an_answer_names_the_replica_and_the_server(calls: Any) -> None:
    noted = {"response_headers": {"x-hearth-backend": "gpu-2", "date": "today"}}
    assert calls.answered_by(None, noted, "r1") == {"x-hearth-replica": "r1", "x-hearth-backend": "gpu-2"}


def test_an_error_names_the_replica_alone(calls: Any) -> None:
    assert calls.answered_by(None, {}, "r1") == {"x-hearth-replica": "r1"}


class Server:
    """An OpenAI client whose server answers whatever it is asked."""

    def __init__(self) -> None:
        self.completions = self.with_raw_response = self
        self.asked: dict[str, Any] = {}

    async def create(self, **asked: Any) -> Any:
        self.asked = asked
        return SimpleNamespace(headers={"x-hearth-backend": "gpu-2", "date": "today"})


def test_a_completion_notes_the_headers_of_its_answer(calls: Any) -> None:
    server, noted = Server(), {"response_headers": None}

    asyncio.run(calls.Completions(server, 60, noted).completions.with_raw_response.create(prompt="hello"))

    assert server.asked == {"prompt": "hello", "timeout": 60}
    assert calls.answered_by(None, noted, "r1")["x-hearth-backend"] == "gpu-2"


def test_a_stream_that_is_asked_for_when_it_is_read_names_its_server_then(calls: Any) -> None:
    noted: dict[str, Any] = {}
    stream = SimpleNamespace(_hidden_params={"additional_headers": {"x-litellm-attempted-retries": 0}})

    assert calls.answered_by(stream, noted, "r1") == {"x-hearth-replica": "r1"}
    asyncio.run(calls.Completions(Server(), 60, noted).create(prompt="hello", stream=True))

    assert stream._hidden_params["additional_headers"] == {
        "x-litellm-attempted-retries": 0,
        "x-hearth-backend": "gpu-2",
    }
