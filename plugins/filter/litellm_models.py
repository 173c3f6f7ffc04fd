# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the LiteLLM view, each documented in a file of its own name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.hearth.llm.plugins.module_utils import view_backends, view_litellm


class FilterModule:
    """litellm_models, litellm_backends, litellm_fallbacks, litellm_provider_keys and litellm_clients."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "litellm_models": view_litellm.models,
            "litellm_backends": view_backends.backends,
            "litellm_fallbacks": view_litellm.fallbacks,
            "litellm_provider_keys": view_litellm.provider_keys,
            "litellm_clients": view_litellm.clients,
        }
