# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that quote text for Compose: documented in env_value.yml and compose_string.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.hearth.llm.plugins.module_utils import quoting


class FilterModule:
    """env_value and compose_string."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "env_value": _spoken("env_value", quoting.env_value),
            "compose_string": _spoken("compose_string", quoting.compose_string),
        }


def _spoken(name: str, function: Callable[[Any], str]) -> Callable[[Any], str]:
    """The function with its refusals as Ansible's, which name the filter and never the value."""

    def quoted(value: Any) -> str:
        try:
            return function(value)
        except (TypeError, ValueError) as error:
            raise AnsibleFilterError(f"hearth.llm.{name}: {error}") from error

    return quoted
