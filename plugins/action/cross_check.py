# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refuse what only the looks at all hosts of a run show together. Answers on the controller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils import model_digests, moves, off
from ..module_utils.problems import EVERY_HOST, Problem, report
from ..plugin_utils import platform_run, scope
from ..plugin_utils.look import FACT
from ..plugin_utils.refusal import refusal


class ActionModule(ActionBase):
    """hearth.llm.cross_check"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        found = {host: task_vars["hostvars"][host].get(FACT) for host in scope.hosts(task_vars)}
        looks = {host: look for host, look in found.items() if look}
        fleet = platform_run.fleet(task_vars)
        problems = tags_of_nothing(fleet, looks, task_vars.get("hearth_tags_to_find", ()))
        if not boolean(task_vars.get("hearth_only_looks", False)):
            selected = scope.selects(task_vars)
            problems += [
                problem
                for problem in moves.problems(fleet, looks)
                if selected({"host": problem.host, "name": problem.value})
            ]
            problems += model_digests.problems(fleet, looks)
        if problems:
            return {**result, **refusal(report(problems, "between hosts and inventory"))}
        return {**result, "msg": "hosts and inventory agree"}


def tags_of_nothing(
    fleet: Mapping[str, Any], looks: Mapping[str, Mapping[str, Any]], tags: Iterable[str]
) -> list[Problem]:
    """Tags that select nothing to deploy and nothing to stop: the run would be green and have done nothing.

    tags: those of the run that no host of the inventory lists; such a stack may still run somewhere, to be stopped.
    """
    running = {name for host, look in looks.items() for name in off.off(fleet, host, look)}
    return [
        Problem(
            EVERY_HOST,
            "--tags",
            tag,
            f"is in the stacks of no host, and nothing of it runs on {', '.join(looks)}",
            "add it to a host's stacks, or leave the tag out",
        )
        for tag in tags
        if tag not in running
    ]
