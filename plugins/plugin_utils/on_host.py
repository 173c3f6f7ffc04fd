# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A module of this collection on the task's host: what it found, or why it could not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


def run_module(
    action: ActionBase, name: str, arguments: Mapping[str, Any], task_vars: dict[str, Any]
) -> dict[str, Any]:
    """The answer of `hearth.llm.<name>`. Raises AnsibleActionFail with the host's words where it failed."""
    found = action._execute_module(f"hearth.llm.{name}", module_args=dict(arguments), task_vars=task_vars)
    if found.get("failed") or found.get("unreachable"):
        raise AnsibleActionFail(found.get("msg", "the host gave no reason"), result=found)
    return found
