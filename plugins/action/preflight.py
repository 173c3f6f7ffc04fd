# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at a host before anything is touched, and say everything that stands in the way."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils import catalogue, preflight
from ..module_utils.problems import report
from ..plugin_utils import platform_run
from ..plugin_utils.look import FACT, take_look
from ..plugin_utils.refusal import refusal


class ActionModule(ActionBase):
    """hearth.llm.preflight"""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = task_vars["inventory_hostname"]
        services = catalogue.instances(platform_run.fleet(task_vars), host)
        look = take_look(self, task_vars)
        managed = boolean(task_vars.get("host_manage_engine", True))
        problems = preflight.problems(host, services, look, managed)
        if problems:
            return {**result, **refusal(report(problems, f"on {host}"))}
        return {**result, "ansible_facts": {FACT: look}, "msg": "ready"}
