# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth_auth.py, which LiteLLM asks before every request: who comes in, to which routes, with which limits.

LiteLLM itself is not needed here: its two classes are stood in for. That LiteLLM enforces the limits it is handed is
asserted against the real one in molecule/litellm.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "roles/litellm/templates/config/hearth_auth.py"
MASTER = "sk-master-key"


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


CLIENTS = [
    {"name": "alice", "key_sha256": sha256("sk-alice")},
    {"name": "bob", "key_sha256": sha256("sk-bob"), "models": ["tiny"], "rpm": 2, "tpm": 50, "parallel": 1},
    {"name": "nobody", "key_sha256": sha256("sk-nobody"), "models": []},
]


class FakeProxyException(Exception):
    def __init__(self, **fields: Any) -> None:
        super().__init__(fields["message"])
        self.__dict__.update(fields)


@pytest.fixture
def auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    fake = ModuleType("litellm.proxy._types")
    fake.UserAPIKeyAuth = SimpleNamespace  # type: ignore[attr-defined]
    fake.ProxyException = FakeProxyException  # type: ignore[attr-defined]
    for name, module in {
        "litellm": ModuleType("litellm"),
        "litellm.proxy": ModuleType("p"),
        fake.__name__: fake,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("LITELLM_MASTER_KEY", MASTER)
    # A __pycache__ beside the file would be deployed with the templates.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("hearth_auth", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "clients.yaml").write_text(yaml.safe_dump({"clients": CLIENTS}))
    monkeypatch.setattr(module, "clients_file", module.ClientsFile(tmp_path / "clients.yaml"))
    return module


def ask(auth: ModuleType, key: str | None, path: str = "/v1/chat/completions", method: str = "POST") -> Any:
    request = SimpleNamespace(scope={"type": "http", "method": method, "path": path})
    return asyncio.run(auth.authenticate(request, key))


def refusal(
    auth: ModuleType, key: str | None, path: str = "/v1/chat/completions", method: str = "POST"
) -> Any:
    with pytest.raises(FakeProxyException) as caught:
        ask(auth, key, path, method)
    return caught.value


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/models"),
        ("GET", "/models/"),
    ],
)
def test_a_client_calls_models(auth: ModuleType, method: str, path: str) -> None:
    assert ask(auth, "sk-alice", path, method).key_alias == "alice"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/key/generate"),
        ("GET", "/user/info"),
        ("GET", "/config/yaml"),
        ("POST", "/model/new"),
        ("GET", "/v1/model/info"),
        ("GET", "/health"),
        ("GET", "/health/readiness"),
        ("GET", "/metrics"),
        ("GET", "/"),
        ("GET", "/v1"),
        ("POST", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/files"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/mcp/server"),
        ("POST", "/v1/chat/completions/../../key/generate"),
        ("POST", "/key/generate/v1/chat/completions"),
        ("POST", "/openai/deployments/tiny/chat/completions"),
        ("", "/v1/realtime"),
        ("POST", "/v1/chat/completions\n/key"),
    ],
)
def test_a_client_never_reaches_anything_else(auth: ModuleType, method: str, path: str) -> None:
    assert refusal(auth, "sk-alice", path, method).code == 403


def test_the_route_is_what_was_asked_for_and_not_what_the_host_header_makes_of_it(auth: ModuleType) -> None:
    poisoned = SimpleNamespace(
        scope={"type": "http", "method": "POST", "path": "/key/generate"},
        url=SimpleNamespace(path="/v1/chat/completions"),
        method="POST",
    )
    with pytest.raises(FakeProxyException) as caught:
        asyncio.run(auth.authenticate(poisoned, "sk-alice"))
    assert caught.value.code == 403


def test_a_websocket_is_refused(auth: ModuleType) -> None:
    socket = SimpleNamespace(scope={"type": "http", "path": "/v1/responses"})
    with pytest.raises(FakeProxyException) as caught:
        asyncio.run(auth.authenticate(socket, "sk-alice"))
    assert caught.value.code == 403


@pytest.mark.parametrize(
    "key", ["sk-wrong", "sk-alic", "sk-alice2", sha256("sk-alice"), "Bearer", "sk-älice"]
)
def test_an_unknown_key_is_refused_and_not_repeated(auth: ModuleType, key: str) -> None:
    refused = refusal(auth, key)

    assert refused.code == 401
    assert refused.type == "authentication_error"
    assert key not in refused.message


@pytest.mark.parametrize("key", ["", None, "Bearer "])
def test_no_key_is_refused_even_where_no_master_key_is_set(
    auth: ModuleType, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_MASTER_KEY", "")
    assert refusal(auth, key).code == 401
    assert refusal(auth, key, "/key/generate").code == 401


@pytest.mark.parametrize("key", ["sk-made-in-the-page", "", None])
def test_with_a_database_litellm_looks_for_a_key_that_is_not_here(
    auth: ModuleType, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on with its own way after any exception but its own kind, which is a refusal."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://litellm:x@litellm-database:5432/litellm")
    with pytest.raises(LookupError):
        ask(auth, key)


def test_with_a_database_clients_and_the_master_key_are_what_they_were(
    auth: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://litellm:x@litellm-database:5432/litellm")
    assert ask(auth, "sk-alice").api_key == "alice"
    assert refusal(auth, "sk-alice", "/key/generate").code == 403
    assert ask(auth, MASTER, "/model/info", "GET").user_role == "proxy_admin"
    assert refusal(auth, MASTER).code == 403


def test_the_master_key_manages_and_calls_no_model(auth: ModuleType) -> None:
    assert ask(auth, MASTER, "/model/info", "GET").user_role == "proxy_admin"
    assert refusal(auth, MASTER).code == 403


def test_no_client_is_an_administrator(auth: ModuleType) -> None:
    assert ask(auth, "sk-alice").user_role == "internal_user"


def test_limits_reach_litellm_under_its_own_names(auth: ModuleType) -> None:
    bob = ask(auth, "sk-bob")

    assert (bob.models, bob.rpm_limit, bob.tpm_limit, bob.max_parallel_requests) == (["tiny"], 2, 50, 1)
    assert bob.api_key == "bob"


def test_no_list_of_models_means_all_and_an_empty_one_means_none(auth: ModuleType) -> None:
    assert ask(auth, "sk-alice").models == []  # LiteLLM's word for every model
    assert ask(auth, "sk-nobody").models == ["no-default-models"]  # and for none


def test_a_clients_old_key_is_taken_as_long_as_the_file_has_it_without_a_restart(
    auth: ModuleType, tmp_path: Path
) -> None:
    both = [{**CLIENTS[0], "key_sha256": sha256("sk-new"), "previous_key_sha256": sha256("sk-alice")}]
    ask(auth, "sk-alice")

    replace_file(tmp_path / "clients.yaml", both)
    assert ask(auth, "sk-alice").api_key == ask(auth, "sk-new").api_key == "alice"

    replace_file(tmp_path / "clients.yaml", [{**CLIENTS[0], "key_sha256": sha256("sk-new")}])
    assert ask(auth, "sk-new").api_key == "alice"
    assert refusal(auth, "sk-alice").code == 401


def replace_file(path: Path, clients: list[dict[str, Any]]) -> None:
    """As the stack engine does: by rename."""
    half = path.with_suffix(".half")
    half.write_text(yaml.safe_dump({"clients": clients}))
    half.replace(path)
