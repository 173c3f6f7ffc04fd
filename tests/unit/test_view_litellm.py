# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What LiteLLM is told about the platform's model servers and its own clients."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import view_litellm

OLLAMA = {"api": "openai", "path": "/v1", "key": None, "weight": 1}
CHAT = {"name": "qwen2.5:0.5b", "kind": "chat", "about": None}
EMBEDDING = {"name": "nomic-embed-text", "kind": "embedding", "about": "for search"}


def provider(host: str, url: str, *models: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"host": host, "name": "server", "url": url, "models": list(models), "serves": OLLAMA, **changes}


def gateway(*providers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"uses": {"server": list(providers)}, "clients": [], **more}


def test_a_model_on_two_hosts_is_one_entry_at_the_load_balancer() -> None:
    service = gateway(provider("gpu-1", "http://a:1", CHAT), provider("gpu-2", "http://b:1", CHAT))

    (entry,) = view_litellm.models(service)

    assert entry["model_name"] == entry["model_info"]["id"] == "qwen2.5:0.5b"
    assert entry["litellm_params"] == {
        "model": "openai/qwen2.5:0.5b",
        "api_base": "http://litellm-haproxy:8000/qwen2.5:0.5b/v1",
        "api_key": "none",
        "use_chat_completions_api": True,
    }
    prices = {key: value for key, value in entry["model_info"].items() if "cost" in key}
    assert prices
    assert set(prices.values()) == {0}


def test_an_embedding_model_says_that_it_is_one_and_what_it_is_for() -> None:
    chat, embedding = view_litellm.models(gateway(provider("gpu-1", "http://a:1", CHAT, EMBEDDING)))

    assert (chat["model_info"]["mode"], embedding["model_info"]["mode"]) == ("chat", "embedding")
    assert embedding["model_info"]["description"] == "for search"


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
