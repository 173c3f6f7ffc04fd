# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is added to LiteLLM's calls of models (`litellm_settings.callbacks`).

- Each answer names the replica of this gateway and the model server that it came from.
- A limit given as `max_completion_tokens`, OpenAI's newer name, reaches the model servers of the house as `max_tokens`:
  Ollama ignores the newer one in silence, and would go on to the end of its context.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

REPLICA = "x-hearth-replica"
BACKEND = "x-hearth-backend"
# How LiteLLM hands on the headers of a server's answer.
_FROM_SERVER = f"llm_provider-{BACKEND}"


def limited(kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The call with its limit under the name that every server knows; None where nothing is to be changed.

    Servers of the house are told by `max_tokens_only` in the model's entry. The older name wins where both are given.
    """
    info = kwargs.get("model_info") or {}
    if "max_completion_tokens" not in kwargs or not info.get("max_tokens_only"):
        return None
    changed = dict(kwargs)
    limit = changed.pop("max_completion_tokens")
    if changed.get("max_tokens") is None:
        changed["max_tokens"] = limit
    return changed


def answered_by(response: Any, replica: str) -> dict[str, str]:
    """The headers that say who answered. Not every kind of answer carries its server's headers."""
    hidden = getattr(response, "_hidden_params", None) or {}
    backend = (hidden.get("additional_headers") or {}).get(_FROM_SERVER)
    return {REPLICA: replica, **({BACKEND: backend} if backend else {})}


class Calls(CustomLogger):
    """LiteLLM's hooks: after a model's address was chosen, and before the answer's headers are sent."""

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        return limited(kwargs)

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
    ) -> dict[str, str] | None:
        # The container's name in Docker; a replica has no other.
        return answered_by(response, os.environ.get("HOSTNAME", ""))


calls = Calls()
