"""Which servers stand behind a model's name, as HAProxy is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible_collections.hearth.llm.plugins.module_utils import view_backends
from test_view_litellm import CHAT, EMBEDDING, OLLAMA, gateway, provider

CONFIG = Path(__file__).parents[2] / "roles" / "litellm" / "templates" / "config" / "haproxy"
TWO = gateway(
    provider("gpu-1", "http://10.77.0.21:11434", CHAT, EMBEDDING),
    provider("gpu-2", "http://10.77.0.22:11434", CHAT, serves={**OLLAMA, "weight": 3}),
)


def test_each_host_that_has_a_model_is_a_server_of_it_with_its_share() -> None:
    chat, embedding = view_backends.backends(TWO)

    assert chat["servers"] == [
        {"name": "gpu-1", "address": "10.77.0.21:11434", "weight": 1},
        {"name": "gpu-2", "address": "10.77.0.22:11434", "weight": 3},
    ]
    assert [server["name"] for server in embedding["servers"]] == ["gpu-1"]


@pytest.mark.parametrize("serves", [None, {**OLLAMA, "api": "vectors"}])
def test_what_answers_no_completions_is_no_server(serves: Any) -> None:
    assert view_backends.backends(gateway(provider("gpu-1", "http://a:1", CHAT, serves=serves))) == []


def test_two_services_of_one_host_are_two_servers() -> None:
    service = gateway(
        provider("gpu-1", "http://a:1", CHAT), provider("gpu-1", "http://a:2", CHAT, name="other")
    )

    (backend,) = view_backends.backends(service)

    assert [server["name"] for server in backend["servers"]] == ["gpu-1", "gpu-1-other"]


@pytest.mark.parametrize(
    ("url", "address"),
    [("http://ollama:11434", "ollama:11434"), ("http://[fd00::2]:80", "[fd00::2]:80"), ("http://a", "a:80")],
)
def test_addresses_are_written_as_haproxy_reads_them(url: str, address: str) -> None:
    (backend,) = view_backends.backends(gateway(provider("gpu-1", url, CHAT)))
    assert backend["servers"][0]["address"] == address


@pytest.mark.parametrize(
    ("name", "listed", "found"),
    [
        ("tiny", "tiny:latest", True),
        ("tiny", "tiny", True),
        ("Tiny", "tiny:latest", True),
        ("tiny", "tiny:small", False),
        ("tiny", "tiny-other:latest", False),
        ("qwen2.5:0.5b", "qwen2.5:0.5b", True),
        ("qwen2.5:0.5b", "qwen2x5:0.5b", False),
        ("hf.co/some/model:Q4_K_M", "hf.co/some/model:Q4_K_M", True),
    ],
)
def test_a_model_is_found_in_a_servers_list_and_no_other_is(name: str, listed: str, found: bool) -> None:
    (backend,) = view_backends.backends(gateway(provider("g", "http://a:1", {**CHAT, "name": name})))
    assert bool(re.search(backend["listed"], f'{{"id":"{listed}","object":"model"}}')) == found


def test_a_name_with_slashes_is_one_part_of_a_path() -> None:
    (backend,) = view_backends.backends(gateway(provider("g", "http://a:1", {**CHAT, "name": "hf.co/a/b:q"})))
    assert backend["name"] == "hf.co::a::b:q"


def sections(service: dict[str, Any]) -> dict[str, list[str]]:
    """The rendered configuration: its section's first line → the lines in it."""
    made = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    made.filters["hearth.llm.litellm_backends"] = view_backends.backends
    text = made.from_string((CONFIG / "haproxy.cfg.j2").read_text())
    found: dict[str, list[str]] = {}
    for line in text.render(service={"host": "edge", **service}, litellm_request_timeout=3600).splitlines():
        if line and not line.startswith((" ", "#")):
            found[line] = lines = []
        elif line.strip() and not line.strip().startswith("#"):
            lines.append(line.strip())
    return found


def test_a_lone_server_is_given_a_minute_and_is_not_asked_again_for_what_it_refused() -> None:
    found = sections(TWO)
    several, alone = found["backend qwen2.5:0.5b"], found["backend nomic-embed-text"]

    assert [line for line in several if line.startswith("retry-on")]
    assert "default-server inter 1s fastinter 500ms downinter 1s fall 2 rise 2" in several
    assert not [line for line in alone if line.startswith("retry-on")]
    assert "default-server inter 5s fall 6 rise 1" in alone


def test_servers_that_are_all_out_are_asked_all_the_same() -> None:
    found = sections(TWO)["backend qwen2.5:0.5b"]

    assert "option allbackups" in found
    assert [line.split()[1] for line in found if line.endswith("backup")] == [
        "gpu-1-unchecked",
        "gpu-2-unchecked",
    ]
