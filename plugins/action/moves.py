# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refuse to begin a stack anew on one host while its data lie on another. Answers on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils import moves
from ..module_utils.problems import report
from ..plugin_utils import platform_run, scope
from ..plugin_utils.look import FACT
from ..plugin_utils.refusal import refusal


class ActionModule(ActionBase):
    """hearth.llm.moves"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        looks = {host: task_vars["hostvars"][host].get(FACT) for host in scope.hosts(task_vars)}
        selected = scope.selects(task_vars)
        fleet = platform_run.fleet(task_vars)
        problems = [
            problem
            for problem in moves.problems(fleet, {host: look for host, look in looks.items() if look})
            if selected({"host": problem.host, "name": problem.value})
        ]
        if problems:
            return {**result, **refusal(report(problems, "with data that would be left behind"))}
        return {**result, "msg": "no data are left behind"}
