# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is added to LiteLLM's calls of models (`litellm_settings.callbacks`).

- Each answer names the replica of this gateway and the model server that it came from.
- A limit given as `max_completion_tokens`, OpenAI's newer name, reaches the model servers of the house as `max_tokens`:
  Ollama ignores the newer one in silence, and would go on to the end of its context.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

REPLICA = "x-hearth-replica"
BACKEND = "x-hearth-backend"
# What LiteLLM notes of a call: the headers of the server's answer, and where they are to be told once they are known.
_HEADERS = "response_headers"
_LATER = "hearth_later"


def of_the_house(kwargs: Mapping[str, Any]) -> bool:
    """Whether the call goes to a server of the house: `max_tokens_only` in the model's entry says so."""
    return bool((kwargs.get("model_info") or {}).get("max_tokens_only"))


def limited(kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The call with its limit under the name that every server knows; None where nothing is to be changed.

    The older name wins where both are given.
    """
    if "max_completion_tokens" not in kwargs:
        return None
    changed = dict(kwargs)
    limit = changed.pop("max_completion_tokens")
    if changed.get("max_tokens") is None:
        changed["max_tokens"] = limit
    return changed


def server_of(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Of the headers of a server's answer the one that names the server, if there is one."""
    backend = (headers or {}).get(BACKEND)
    return {BACKEND: backend} if backend else {}


def answered_by(response: Any, details: dict[str, Any], replica: str) -> dict[str, str]:
    """The headers that say who answered. details: what LiteLLM noted of the call.

    A stream of /v1/completions is asked for only when it is read. LiteLLM makes the headers of a stream again once it
    has the first piece, from this very dictionary.
    """
    if details.get(_HEADERS) is None:
        hidden = getattr(response, "_hidden_params", None)
        if isinstance(hidden, dict):
            details[_LATER] = hidden.setdefault("additional_headers", {})
    return {REPLICA: replica, **server_of(details.get(_HEADERS))}


class Completions:
    """An OpenAI client as far as LiteLLM uses it for /v1/completions, which notes the headers of the server's answer.

    For every other kind of call LiteLLM notes them itself.
    """

    def __init__(self, client: Any, timeout: Any, details: dict[str, Any]) -> None:
        self.completions = self.with_raw_response = self
        self._client = client
        self._timeout = timeout
        self._details = details

    async def create(self, **asked: Any) -> Any:
        answer = await self._client.completions.with_raw_response.create(timeout=self._timeout, **asked)
        self._details[_HEADERS] = dict(answer.headers)
        self._details.get(_LATER, {}).update(server_of(answer.headers))
        return answer


@cache
def client_of(address: str, key: str) -> Any:
    """The client for an address, which keeps its connections. LiteLLM would make one for each request."""
    from openai import AsyncOpenAI

    return AsyncOpenAI(base_url=address, api_key=key)


class Calls(CustomLogger):
    """LiteLLM's hooks: after a model's address was chosen, and before the answer's headers are sent."""

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        if not of_the_house(kwargs):
            return None
        if getattr(call_type, "value", "") == "atext_completion":
            client = client_of(kwargs["api_base"], kwargs["api_key"])
            details = kwargs["litellm_logging_obj"].model_call_details
            return {**kwargs, "client": Completions(client, kwargs["timeout"], details)}
        return limited(kwargs)

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
    ) -> dict[str, str] | None:
        details = getattr(data.get("litellm_logging_obj"), "model_call_details", {})
        # The container's name in Docker; a replica has no other.
        return answered_by(response, details, os.environ.get("HOSTNAME", ""))


calls = Calls()
