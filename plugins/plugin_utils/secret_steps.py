# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has to do to change and to prove secrets: `apply` and `prove` of service.yml, with values filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils import catalogue, rotation
from ..module_utils.secrets import previous
from . import platform_run
from .secret_values import open_store

_INTERPRETERS = {".py": ["python3", "-c"], ".sh": ["sh", "-c"]}


def apply_steps(
    action: ActionBase, run: Mapping[str, Any], task_vars: dict[str, Any], name_of_service: str
) -> list[dict[str, Any]]:
    """The changes inside a service of this host, for those secrets that are changed there."""
    store = open_store(action, task_vars)
    return [
        {
            "name": name,
            "what": "apply",
            **_program(secret["apply"], service),
            "new": store.value(f"vault_{name}"),
            "old": store.value(previous(name)),
        }
        for name, secret, service in _here(run, task_vars)
        if secret["rotate"] == "in-place" and service["name"] == name_of_service
    ]


def prove_steps(
    action: ActionBase, run: Mapping[str, Any], task_vars: dict[str, Any], old: bool
) -> list[dict[str, Any]]:
    """The trials of this host's services, with the new values or with the old ones."""
    fleet = platform_run.fleet(task_vars)
    store = open_store(action, task_vars)
    steps = []
    for name, secret, service in _here(run, task_vars):
        value = store.value(previous(name) if old else f"vault_{name}")
        trial = _trial(fleet, secret, service) if secret["prove"] and value else None
        if trial:
            steps.append({"name": name, "what": "prove", "value": value, **trial})
    return steps


def _here(
    run: Mapping[str, Any], task_vars: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """(name, description, service) of the run's secrets that a service of this host asks for."""
    fleet = platform_run.fleet(task_vars)  # type: ignore[arg-type]
    for name in run["names"]:
        secret = fleet["secrets"][name]
        for service in catalogue.instances(fleet, task_vars["inventory_hostname"], rotation.keeper(secret)):
            yield name, secret, service


def _trial(
    fleet: Mapping[str, Any], secret: Mapping[str, Any], service: Mapping[str, Any]
) -> dict[str, Any] | None:
    """`prove` without its value; None where nothing of the platform asks for this secret now."""
    described = secret["prove"]
    if "program" in described:
        return _program(described, service)
    if "guard" in described:
        return _through_the_door(fleet, described, service)
    side = service["api"] or service["http"] or {}
    variables = {**service["variables"], "domain": service["domain"]}
    return {
        "container": described.get("container", side.get("container")),
        "port": described.get("port", side.get("port")),
        "path": described["path"],
        "headers": _filled(described.get("headers"), variables),
        "body": _filled(described.get("body"), variables),
        "user": _filled(described.get("basic"), variables),
        "accepted": described.get("accepted", 200),
        "refused": described.get("refused", 401),
    }


def _through_the_door(
    fleet: Mapping[str, Any], described: Mapping[str, Any], door: Mapping[str, Any]
) -> dict[str, Any] | None:
    for service in fleet["services"]:
        guards = [described["guard"]]
        if described["guard"] == "basic" and not service["sign_on"]:
            guards.append("admin")  # asks for the same password then, and for a private address besides
        for route in service["http"]["routes"] if service["http"] and service["url"] else ():
            if route["guard"] in guards and service["front"] == door["host"]:
                path = (route["paths"] or ["/"])[0]
                return {
                    "url": service["url"] + path,
                    "address": door["address"],
                    "ca_file": door["ca_file"],
                    "user": described["user"],
                    "accepted": None,
                    "refused": 401,
                }
    return None


def _program(described: Mapping[str, Any], service: Mapping[str, Any]) -> dict[str, Any]:
    """A program of the role's files/, and what runs it in the container."""
    suffix = Path(described["program"]).suffix
    if suffix not in _INTERPRETERS:
        raise AnsibleActionFail(f"{service['name']}: {described['program']} is neither a .py nor a .sh file")
    return {
        "container": described["container"],
        "interpreter": _INTERPRETERS[suffix],
        "program": platform_run.role_program(service["role"], described["program"]),
    }


def _filled(item: Any, variables: Mapping[str, Any]) -> Any:
    """Texts with `{variable}` replaced by the service's variables; `{secret}` is left for the host."""
    if isinstance(item, Mapping):
        return {key: _filled(part, variables) for key, part in item.items()}
    if isinstance(item, str):
        for name, value in variables.items():
            item = item.replace(f"{{{name}}}", str(value))
    return item
