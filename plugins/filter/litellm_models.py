# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the LiteLLM view: documented in litellm_models.yml and litellm_clients.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.hearth.llm.plugins.module_utils import view_litellm


class FilterModule:
    """litellm_models and litellm_clients."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"litellm_models": view_litellm.models, "litellm_clients": view_litellm.clients}
