# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refuse that two hosts serve different models under one name. Answers on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils import model_digests
from ..module_utils.problems import report
from ..plugin_utils import platform_run, scope
from ..plugin_utils.look import FACT
from ..plugin_utils.refusal import refusal


class ActionModule(ActionBase):
    """hearth.llm.model_digests"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        looks = {host: task_vars["hostvars"][host].get(FACT) for host in scope.hosts(task_vars)}
        there = {host: look for host, look in looks.items() if look}
        problems = model_digests.problems(platform_run.fleet(task_vars), there)
        if problems:
            return {**result, **refusal(report(problems, "with models of one name"))}
        return {**result, "msg": "one model for each name"}
