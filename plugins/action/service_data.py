# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Delete a service's data: what speaks against it is found on the controller, for all hosts at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import off
from ..module_utils.problems import report
from ..plugin_utils import platform_run, scope
from ..plugin_utils.follow import amount
from ..plugin_utils.on_host import run_module
from ..plugin_utils.refusal import refusal

_OPTIONS = {"name": {"type": "str", "required": True}, "confirm": {"type": "str", "default": ""}}


class ActionModule(ActionBase):
    """hearth.llm.service_data"""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=_OPTIONS)
        host, name, check = task_vars["inventory_hostname"], arguments["name"], self._task.check_mode
        fleet = platform_run.fleet(task_vars)
        specs = platform_run.load_specs(platform_run.own_folders(task_vars))
        hosts = scope.hosts(task_vars)
        confirmed = None if check else arguments["confirm"]
        problems = off.deletion_problems(specs, fleet, hosts, name, confirmed)
        if problems:
            told = report(problems, f"with deleting the data of {name or 'a service'}")
            # Every host finds the same; the first one says it.
            silent = {"failed": True, "told": True, "msg": told.split("\n", 1)[0]}
            failed = refusal(told) if host == hosts[0] else silent
            return {**result, **failed}
        settings = fleet["hosts"][host]
        data_dir, in_volumes = settings["directories"]["data_dir"], settings["data_in"] == "volumes"
        places = {
            "directories": [] if in_volumes else list(off.directories(specs[name], data_dir).values()),
            "volumes": list(off.volumes(specs[name]).values()) if in_volumes else [],
            "copies": off.copies(specs[name], {**settings["directories"], "data_in": settings["data_in"]}),
            "data_dir": data_dir,
            "state_dir": settings["directories"]["state_dir"],
        }
        wanted = {"name": name, "confirm": arguments["confirm"], **places}
        found = run_module(self, "service_data", wanted, task_vars)
        for line in lines(host, name, found["removed"], check):
            Display().display(line)
        return {**result, **found}


def lines(host: str, name: str, removed: list[Mapping[str, Any]], check: bool) -> list[str]:
    """What is said of one host: each thing that went, or would go, with its size."""
    if not removed:
        return [f" {host:<7} {name:<10} has no data here"]
    word = "would be deleted" if check else "deleted"
    sizes = ["size unknown" if item["bytes"] is None else amount(item["bytes"]) for item in removed]
    return [
        f" {host:<7} {name:<10} {item['kind']} {item['name']} {word}, {size}"
        for item, size in zip(removed, sizes, strict=True)
    ]
