# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say which versions run, are pinned and are known, and plan the way between them. Answers on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import catalogue, versions
from ..module_utils.closing import columns
from ..module_utils.problems import EVERY_HOST, Problem, report
from ..plugin_utils import platform_run, scope
from ..plugin_utils.look import FACT
from ..plugin_utils.refusal import refusal

_OPTIONS = {"walk": {"type": "list", "elements": "str", "default": []}}


class ActionModule(ActionBase):
    """hearth.llm.upgrade"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=_OPTIONS)
        fleet = platform_run.fleet(task_vars)
        looks = {host: task_vars["hostvars"][host].get(FACT) for host in scope.hosts(task_vars)}
        covered = [
            (service, look["stacks"].get(service["name"]))
            for service in catalogue.instances(fleet)
            if (look := looks.get(service["host"])) and scope.selects(task_vars)(service)
        ]
        rows = [
            (service["host"], service["name"], row)
            for service, stack in covered
            for row in versions.found(service, stack)
        ]
        Display().display(f"{columns(versions.table(rows))}\n")
        wanted = arguments["walk"]
        names = {service["name"] for service, _stack in covered}
        problems = [
            Problem(
                EVERY_HOST,
                "walk",
                name,
                "is not a service of these hosts",
                f"all, or {', '.join(sorted(names))}",
            )
            for name in wanted
            if name not in names | {"all"}
        ]
        steps: dict[str, list[dict[str, Any]]] = {}
        for service, stack in covered:
            if {"all", service["name"]} & set(wanted) and any(
                row["running"] for row in versions.found(service, stack)
            ):
                problems += versions.problems(service, stack, walks=True)
                steps.setdefault(service["host"], []).extend(
                    {"name": service["name"], "role": service["role"], "versions": chosen}
                    for chosen in versions.walk(service, stack)
                )
        if problems:
            return {**result, **refusal(report(problems, "with these versions"))}
        images: dict[str, list[str]] = {}
        for service in catalogue.instances(fleet):
            images.setdefault(service["host"], []).extend(service["images"].values())
        return {**result, "ansible_facts": {"hearth_steps": steps, "hearth_images": images}}
