# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has hearth-backup do something on the task's host, and shows what it says meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from .follow import follow
from .on_host import run_module

_ROUNDS = 20


def work(
    action: ActionBase, options: Mapping[str, Any], host: str, task_vars: dict[str, Any]
) -> dict[str, Any]:
    """{code, said: [lines], problems}; options: of the module hearth.llm.backup. Raises AnsibleActionFail."""
    for _round in range(_ROUNDS):
        started = run_module(action, "backup", options, task_vars)
        ended = _followed(action, {**options, "job": started["job"]}, started, host, task_vars)
        if started["joined"]:
            continue  # that was another run's work
        if "error" in ended:
            raise AnsibleActionFail(f"hearth-backup {' '.join(options['arguments'])}: {ended['error']}")
        return ended
    raise AnsibleActionFail(f"other runs keep the backups of {host} at work; try again when they are through")


def _followed(
    action: ActionBase,
    options: Mapping[str, Any],
    started: dict[str, Any],
    host: str,
    task_vars: dict[str, Any],
) -> dict[str, Any]:
    """How a job ended, of which `started` is the first that was heard."""
    first = [started]

    def poll(offset: int) -> dict[str, Any]:
        if first:
            return first.pop()
        return run_module(action, "backup", {**options, "offset": offset, "wait": 3}, task_vars)

    return dict(follow(Display(), poll, host, "backup", retry_on=(AnsibleConnectionFailure,)))
