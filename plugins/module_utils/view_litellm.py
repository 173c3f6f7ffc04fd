# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What LiteLLM's configuration says of the platform: its backends and its clients.

Pure functions over one `service` dictionary of the catalogue (docs/architecture.md). They know no service by name: how
LiteLLM is to speak to a model server stands in that server's own service.yml, as `serves.prefix`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

LIMITS = ("models", "rpm", "tpm", "parallel")


def models(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """LiteLLM's `model_list`: one entry for each model on each host that serves it.

    Entries of one `model_name` are LiteLLM's choice between hosts. `model_info.id` stays the same from run to run, so
    that a cooled-down backend is recognised in logs and in the header x-litellm-model-id.
    """
    return [
        _entry(provider, model) for provider in _completion_servers(service) for model in provider["models"]
    ]


def clients(
    service: Mapping[str, Any], secrets: Mapping[str, str], previous: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The clients as the gateway's own file lists them: name, key_sha256, and the limits that were set.

    secrets: the values by name, of which only digests are returned; previous: the old ones of those that are being
    rotated, which are accepted too. Raises KeyError for a client without a key.
    """
    return [
        {
            "name": client["name"],
            "key_sha256": _sha256(secrets[client["secret"]]),
            **(
                {"previous_key_sha256": _sha256(previous[client["secret"]])}
                if previous and client["secret"] in previous
                else {}
            ),
            **{limit: client[limit] for limit in LIMITS if client.get(limit) is not None},
        }
        for client in service["clients"]
    ]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _completion_servers(service: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for providers in service["uses"].values():
        for provider in providers:
            if provider["serves"] and provider["serves"]["api"] == "openai":
                yield provider


def _entry(provider: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    info = {"id": f"{model['name']}@{provider['host']}", "mode": model["kind"]}
    return {
        "model_name": model["name"],
        "litellm_params": _params(provider, model),
        "model_info": {**info, "description": model["about"]} if model.get("about") else info,
    }


def _params(provider: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """With a prefix of its own the server is spoken to in its native way, at its root; else in OpenAI's."""
    prefix = (provider["serves"].get("prefix") or {}).get(model["kind"])
    if prefix:
        return {"model": f"{prefix}/{model['name']}", "api_base": provider["url"]}
    return {
        "model": f"openai/{model['name']}",
        "api_base": provider["url"] + provider["serves"]["path"],
        # LiteLLM's OpenAI client refuses to start without a key, and would otherwise look for one in the environment.
        "api_key": "none",
    }
