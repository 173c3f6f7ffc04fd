# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Leave the old structure: the plan is made and told on the controller, its steps are carried out on the host."""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import catalogue, old_structure
from ..module_utils.problems import report
from ..plugin_utils import platform_run
from ..plugin_utils.on_host import run_module
from ..plugin_utils.refusal import refusal
from ..plugin_utils.secret_values import resolved

_OPTIONS = {
    "state": {"type": "str", "choices": ["planned", "aside", "back", "gone"], "required": True},
    "fresh_start": {"type": "list", "elements": "str", "default": []},
    "drop": {"type": "list", "elements": "str", "default": []},
}
_CARRIED = ("vault_webui_secret_key", "vault_openwebui_secret_key")
_PLAN = "hearth_old"


class ActionModule(ActionBase):
    """hearth.llm.old_stacks"""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=_OPTIONS)
        if arguments["state"] == "planned":
            return {**result, **self._plan(arguments, task_vars)}
        steps = json.dumps(task_vars[_PLAN]["steps"])
        return {**result, **self._module(task_vars, state=arguments["state"], steps=steps)}

    def _plan(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        host = task_vars["inventory_hostname"]
        services = catalogue.instances(platform_run.fleet(task_vars), host)
        targets = [entry["path"] for service in services for entry in service["directories"]]
        found = self._module(task_vars, state="planned", targets=targets)["found"]
        if found["interrupted"] and not self._task.check_mode:
            Display().display(f" {host:<7} brings back what a run that was interrupted left half done")
            self._module(task_vars, state="back")
            found = self._module(task_vars, state="planned", targets=targets)["found"]
        made = old_structure.plan(host, found, services, arguments["fresh_start"], arguments["drop"])
        problems = list(made.problems)
        there = bool(found["folders"] or found["containers"])
        if there:
            variables = {name: resolved(self, task_vars, name) for name in _CARRIED}
            problems += old_structure.inventory_problems(host, services, variables)
        for line in made.lines if there else ["has nothing of the old structure"]:
            Display().display(f" {host:<7} {line}")
        if problems:
            return refusal(report(problems, f"in the way of leaving the old structure on {host}"))
        facts = {"steps": made.steps, "services": made.services, "there": there}
        return {"ansible_facts": {_PLAN: facts}}

    def _module(self, task_vars: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        settings = platform_run.fleet(task_vars)["hosts"][task_vars["inventory_hostname"]]
        state_dir = settings["directories"]["state_dir"]
        given = {**arguments, "folders": list(old_structure.FOLDERS), "state_dir": state_dir}
        return run_module(self, "old_stacks", given, task_vars)
