# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at a host per run: taken by the preflight, or by the first stack where there was no preflight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils import cards, catalogue, model_digests
from . import platform_run
from .on_host import ask_engine, run_module

FACT = "hearth_look"
# Written by roles/host; looked at here so that the role need not go to a host that has it.
RECOVERY_UNIT = "/etc/systemd/system/hearth-recover.service"


def look_at(action: ActionBase, task_vars: dict[str, Any], service: Mapping[str, Any]) -> dict[str, Any]:
    """The run's look at this host, from the fact that the preflight set, else taken now."""
    found = task_vars.get(FACT)
    if found and service["name"] in found["stacks"]:
        return found
    return take_look(action, task_vars)


def take_look(action: ActionBase, task_vars: dict[str, Any]) -> dict[str, Any]:
    """Look at the host now, at all of its stacks in one call."""
    arguments = look_arguments(platform_run.fleet(task_vars), task_vars["inventory_hostname"], task_vars)
    found = ask_engine(action, arguments["state_dir"], {"do": "look", "arguments": arguments})
    if found is not None:
        return found
    found = run_module(action, "look", arguments, task_vars)
    return {key: value for key, value in found.items() if key not in ("invocation", "changed", "warnings")}


def take_stacks(action: ActionBase, task_vars: dict[str, Any]) -> dict[str, Any]:
    """`stacks` of a look, taken now: how the host's stacks are doing, and nothing else."""
    arguments = look_arguments(platform_run.fleet(task_vars), task_vars["inventory_hostname"], task_vars)
    part = {key: arguments[key] for key in ("stacks_dir", "state_dir", "stacks")}
    found = ask_engine(action, arguments["state_dir"], {"do": "look_at_stacks", "arguments": part})
    return found if found is not None else take_look(action, task_vars)


def program_of(fleet: Mapping[str, Any], host: str) -> str:
    """Where the program that carries out changes lies on a host."""
    return f"{fleet['hosts'][host]['directories']['state_dir']}/engine.py"


def look_arguments(fleet: Mapping[str, Any], host: str, task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """What to look for on one host: its stacks, their images, and the directories of the platform."""
    services = catalogue.instances(fleet, host)
    directories = fleet["hosts"][host]["directories"]
    return {
        "stacks": [service["name"] for service in services],
        "images": sorted({image for service in services for image in service["images"].values()}),
        "paths": [RECOVERY_UNIT, *data_directories(services)],
        "gpus": any(map(cards.wanted, services)),
        "digests": [program_of(fleet, host), *model_digests.places(fleet, host)],
        "packet_filter": fleet["hosts"][host]["packet_filter"],
        **directories,
    }


def data_directories(services: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where the data of services lie, volumes left out."""
    places = {item["place"] for service in services for item in service["data"].values()}
    return sorted(place for place in places if place.startswith("/"))
