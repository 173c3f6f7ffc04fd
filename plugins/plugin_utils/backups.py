# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has hearth-backup do something on the task's host, and shows what it says meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from .on_host import follow_module, run_module

_ROUNDS = 20


def work(action: ActionBase, options: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
    """{code, said: [lines], problems}; options: of the module hearth.llm.backup. Raises AnsibleActionFail."""
    for _round in range(_ROUNDS):
        started = run_module(action, "backup", options, task_vars)
        ended = follow_module(action, "backup", options, started, "backup", task_vars)
        if started["joined"]:
            continue  # that was another run's work
        if "error" in ended:
            raise AnsibleActionFail(f"hearth-backup {' '.join(options['arguments'])}: {ended['error']}")
        return ended
    raise AnsibleActionFail("other runs keep this host's backups at work; try again when they are through")
