# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stacks that left the inventory, and the data that they leave behind."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from .problems import EVERY_HOST, Problem
from .service_spec import ServiceSpec

_PLAYBOOK = "playbooks/deploy-stacks.yml"


def off(fleet: Mapping[str, Any], host: str, look: Mapping[str, Any]) -> list[str]:
    """Names of the stacks that Hearth committed on a host and that the inventory no longer lists for it."""
    listed = fleet["hosts"][host]["services"]
    return [name for name, stack in look["stacks"].items() if stack.get("state") and name not in listed]


def directories(spec: ServiceSpec, data_dir: str) -> dict[str, str]:
    """Name of a service's data → the directory it has where data lives in directories."""
    return {name: f"{data_dir}/{item.path or f'{spec.name}/{name}'}" for name, item in spec.data.items()}


def volumes(spec: ServiceSpec) -> dict[str, str]:
    """Name of a service's data → the volume it has where data lives in Docker's named volumes."""
    return {name: f"{spec.name}_{name}" for name in spec.data}


def copies(spec: ServiceSpec, settings: Mapping[str, Any]) -> str:
    """Where copies of a service's data from before an update are kept: beside them where that can be.

    settings: the host's `data_dir`, `state_dir` and `data_in`.
    """
    in_volumes = settings["data_in"] == "volumes"
    folder = f"{settings['state_dir']}/before" if in_volumes else f"{settings['data_dir']}/.before"
    return f"{folder}/{spec.name}"


def places(spec: ServiceSpec, settings: Mapping[str, Any]) -> list[str]:
    """Where a service's data lies on a host, in words; settings: the host's `data_dir` and `data_in`."""
    if settings["data_in"] == "volumes":
        return [f"the volume {volume}" for volume in volumes(spec).values()]
    return list(directories(spec, settings["data_dir"]).values())


def knew(fleet: Mapping[str, Any], host: str, name: str, spec: ServiceSpec | None) -> list[dict[str, str]]:
    """The services whose files named `name` on `host` while it was there: [{host, name}].

    spec: None where the service's folder is gone too; then only those that use it are known.
    """
    keepers = {secret.client_of for secret in spec.secrets} if spec else set()
    routed = bool(spec and spec.http)
    return [
        {"host": service["host"], "name": service["name"]}
        for service in fleet["services"]
        if name in service["uses"]
        or service["name"] in keepers
        or (routed and service["front_door"] and service["host"] != host)
    ]


def deletion_problems(
    specs: Mapping[str, ServiceSpec],
    fleet: Mapping[str, Any],
    hosts: Iterable[str],
    name: str,
    confirmed: str | None,
) -> list[Problem]:
    """Everything that speaks against deleting a service's data on these hosts.

    confirmed: the name as the operator repeated it; None where nothing will be deleted, so that nothing is to repeat.
    """
    if name not in specs:
        similar = get_close_matches(name, specs, n=1)
        hint = f"did you mean {similar[0]}? " if similar else ""
        remedy = f"{hint}services with a service.yml: {', '.join(sorted(specs))}"
        expected = "has no service.yml, so what its data is cannot be told"
        return [Problem(EVERY_HOST, "service", name, expected if name else "is not given", remedy)]
    problems = [
        Problem(
            host,
            "stacks",
            name,
            "is still listed, so its data is in use",
            f"take it out and run {_PLAYBOOK}, or leave this host out with --limit",
        )
        for host in hosts
        if name in fleet["hosts"][host]["services"]
    ]
    for path in (item.path for item in specs[name].data.values()):
        problems += [
            Problem(EVERY_HOST, f"{name}: data", path, expected, "delete by hand what is its own")
            for expected in _not_its_own(path, name, specs)
        ]
    if confirmed is not None and confirmed != name:
        remedy = f"-e service={name} -e confirm={name} deletes it; --check lists what would go"
        expected = "does not repeat the service's name"
        problems.append(Problem(EVERY_HOST, "confirm", confirmed or None, expected, remedy))
    return problems


def _not_its_own(path: str | None, name: str, specs: Mapping[str, ServiceSpec]) -> list[str]:
    """Why a path below data_dir that a service.yml gives may not be deleted; empty when it is the service's alone."""
    if path is None:
        return []
    if os.path.isabs(path) or os.path.normpath(path) != path or path.split("/")[0] in ("", ".", ".."):
        return ["is not a plain path below data_dir"]
    return [
        f"is shared with {other.name}"
        for other in specs.values()
        for theirs in directories(other, "").values()
        if other.name != name and _overlap(f"/{path}", theirs)
    ]


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")
