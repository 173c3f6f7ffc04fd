# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What LiteLLM's configuration says of the platform: its backends and its clients.

Pure functions over one `service` dictionary of the catalogue (docs/architecture.md). They know no service by name:
every model server is spoken to in OpenAI's way, which costs LiteLLM far less than translating to a server's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from . import view_backends

# The role's load balancer, as LiteLLM reaches it.
BALANCER = "http://litellm-haproxy:8000"
# A model of the house costs nothing: LiteLLM need not look for its price, twice an answer. Without the prices of a
# cache it warns.
FREE = dict.fromkeys(
    (
        *("input_cost_per_token", "output_cost_per_token"),
        *("cache_creation_input_token_cost", "cache_read_input_token_cost"),
    ),
    0,
)
LIMITS = ("models", "rpm", "tpm", "parallel")


def models(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """LiteLLM's `model_list`: one entry for each name that clients may ask for.

    All servers of a model in the house are behind one address, where the load balancer is. An alias is an entry like
    the model's own. `model_info.id` stays the same from run to run: logs and the header x-litellm-model-id tell it.
    """
    own = service.get("gateway") or {"providers": [], "aliases": {}}
    entries = [_entry(backend) for backend in view_backends.backends(service)]
    for provider in own["providers"]:
        entries += [_provided(provider, model) for model in provider["models"]]
    by_name = {entry["model_name"]: entry for entry in entries}
    return [*entries, *(_alias(name, by_name[model]) for name, model in own["aliases"].items())]


def fallbacks(service: Mapping[str, Any]) -> list[dict[str, list[str]]]:
    """LiteLLM's `router_settings.fallbacks`: which models answer in another's place, one after the other."""
    own = service.get("gateway") or {"fallbacks": {}}
    return [{name: list(others)} for name, others in own["fallbacks"].items()]


def provider_keys(service: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """Environment variable → key, of each provider on the Internet. Raises KeyError for one without a key."""
    own = service.get("gateway") or {"providers": []}
    return {_variable(provider): secrets[provider["secret"]] for provider in own["providers"]}


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


def _entry(backend: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_name": backend["model"],
        "litellm_params": {
            "model": f"openai/{backend['model']}",
            "api_base": f"{BALANCER}/{backend['name']}/v1",
            # Without a key the OpenAI client refuses to start, or looks for one in the environment.
            "api_key": "none",
            # /v1/responses becomes a chat completion: not every model server knows OpenAI's newer way.
            "use_chat_completions_api": True,
        },
        # hearth_calls.py goes by it.
        "model_info": {**_info(backend["model"], backend), **FREE, "max_tokens_only": True},
    }


def _provided(provider: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_name": model["name"],
        "litellm_params": {
            "model": f"{provider['prefix']}/{model['model']}",
            **({"api_base": provider["url"]} if provider["url"] else {}),
            "api_key": f"os.environ/{_variable(provider)}",
        },
        "model_info": _info(model["name"], model),
    }


def _alias(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "model_name": name, "model_info": {**entry["model_info"], "id": name}}


def _info(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    about = {"description": model["about"]} if model.get("about") else {}
    return {"id": name, "mode": model["kind"], **about}


def _variable(provider: Mapping[str, Any]) -> str:
    return provider["secret"].upper()
