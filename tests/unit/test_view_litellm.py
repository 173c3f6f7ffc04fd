# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What LiteLLM is told about the platform's model servers and its own clients."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import view_litellm

OLLAMA = {
    "api": "openai",
    "path": "/v1",
    "key": None,
    "prefix": {"chat": "ollama_chat", "embedding": "ollama"},
}
CHAT = {"name": "qwen2.5:0.5b", "kind": "chat", "about": None}
EMBEDDING = {"name": "nomic-embed-text", "kind": "embedding", "about": "for search"}


def provider(host: str, url: str, *models: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"host": host, "name": "server", "url": url, "models": list(models), "serves": OLLAMA, **changes}


def gateway(*providers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"uses": {"server": list(providers)}, "clients": [], **more}


def test_each_host_that_serves_a_model_becomes_a_backend_of_that_model() -> None:
    near = provider("edge", "http://ollama:11434", CHAT)
    far = provider("gpu-1", "http://10.77.0.21:11434", CHAT)

    entries = view_litellm.models(gateway(near, far))

    assert [entry["model_name"] for entry in entries] == ["qwen2.5:0.5b", "qwen2.5:0.5b"]
    assert [entry["litellm_params"]["api_base"] for entry in entries] == [
        "http://ollama:11434",
        "http://10.77.0.21:11434",
    ]


def test_backends_keep_an_id_of_their_own_from_run_to_run() -> None:
    both = gateway(provider("gpu-1", "http://a:1", CHAT), provider("gpu-2", "http://b:1", CHAT))

    ids = [entry["model_info"]["id"] for entry in view_litellm.models(both)]

    assert ids == ["qwen2.5:0.5b@gpu-1", "qwen2.5:0.5b@gpu-2"]


def test_the_server_says_by_which_prefix_each_kind_of_model_is_spoken_to() -> None:
    entries = view_litellm.models(gateway(provider("gpu-1", "http://a:1", CHAT, EMBEDDING)))

    assert [entry["litellm_params"]["model"] for entry in entries] == [
        "ollama_chat/qwen2.5:0.5b",
        "ollama/nomic-embed-text",
    ]
    assert [entry["model_info"]["mode"] for entry in entries] == ["chat", "embedding"]
    assert entries[1]["model_info"]["description"] == "for search"


def test_a_server_without_a_prefix_is_spoken_to_in_openais_way() -> None:
    plain = {"api": "openai", "path": "/v1", "key": None, "prefix": {}}

    (entry,) = view_litellm.models(gateway(provider("gpu-1", "http://a:8000", CHAT, serves=plain)))

    assert entry["litellm_params"] == {
        "model": "openai/qwen2.5:0.5b",
        "api_base": "http://a:8000/v1",
        "api_key": "none",
    }


@pytest.mark.parametrize("serves", [None, {"api": "vectors", "path": "/", "key": None, "prefix": {}}])
def test_what_answers_no_completions_is_no_backend(serves: Any) -> None:
    assert view_litellm.models(gateway(provider("gpu-1", "http://a:1", CHAT, serves=serves))) == []


def test_the_clients_file_has_digests_and_never_a_key() -> None:
    service = gateway(clients=[{"name": "alice", "secret": "litellm_client_alice", "service": None}])

    (client,) = view_litellm.clients(service, {"litellm_client_alice": "sk-alice", "other": "sk-other"})

    assert client == {"name": "alice", "key_sha256": hashlib.sha256(b"sk-alice").hexdigest()}


def test_limits_are_handed_on_as_they_were_written() -> None:
    limits = {"models": [], "rpm": 5, "tpm": 100, "parallel": 1}
    service = gateway(clients=[{"name": "a", "secret": "a", "service": None, **limits}])

    (client,) = view_litellm.clients(service, {"a": "sk-a"})

    assert {key: client[key] for key in limits} == limits


def test_a_client_without_a_key_is_an_error_and_not_a_client_with_an_empty_one() -> None:
    with pytest.raises(KeyError):
        view_litellm.clients(gateway(clients=[{"name": "a", "secret": "a"}]), {})
