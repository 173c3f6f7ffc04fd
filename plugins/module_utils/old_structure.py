# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the old structure, one compose file for each kind of host, to a stack for each service: the plan, pure.

The old structure is hand-kept: /opt/stacks/ai on trusted hosts and /opt/stacks/ai-compute on compute hosts. What it
runs and where its data lies is read from its containers, not from its files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .old_stacks import SUFFIX
from .problems import Problem

FOLDERS = ("/opt/stacks/ai", "/opt/stacks/ai-compute")
# The serial of the old zone: resolvers that know it take no lower one.
OLD_SERIAL = 2025101311


@dataclass(frozen=True)
class Old:
    """One service of the old structure.

    data: path inside its container → the name of the data in service.yml. keeps: whether the old data is copied, so
    that it stays as it was; otherwise it is moved, because it is large and the new version changes nothing in it.
    oldest: the oldest version whose data the new one reads. one_minor: it reads one minor version before only.
    """

    service: str
    data: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = True
    oldest: tuple[int, ...] = ()
    one_minor: bool = False


# By the last part of the image's name.
KNOWN = {
    "open-webui": Old("openwebui", {"/app/backend/data": "data"}, oldest=(0, 3)),
    "litellm": Old("litellm"),
    "ollama": Old("ollama", {"/root/.ollama": "models"}, keeps=False, oldest=(0, 2)),
    "qdrant": Old("qdrant", {"/qdrant/storage": "storage"}, one_minor=True),
    "rustpad": Old("rustpad"),
    "traefik": Old("traefik"),
}


@dataclass(frozen=True)
class Plan:
    """What is done on one host: steps for the host's side (old_stacks.py), lines for the operator, and problems."""

    steps: list[dict[str, Any]]
    services: list[str]
    lines: list[str]
    problems: list[Problem]


def plan(
    host: str,
    found: Mapping[str, Any],
    services: Iterable[Mapping[str, Any]],
    fresh: Collection[str],
    dropped: Collection[str],
) -> Plan:
    """The plan for one host.

    found: what old_stacks.look says of the host. services: the host's service dictionaries. fresh: services that start
    without their old data; dropped: old containers without a counterpart that may go.
    """
    here = {service["name"]: service for service in services}
    made = Plan([], [], [], [])
    for folder in found["folders"]:
        if not any(item["folder"] == folder for item in found["containers"]):
            expected = "has no containers, so what it runs and where its data lies cannot be told"
            remedy = "start it once with `docker compose up -d`, or remove the directory by hand"
            made.problems.append(Problem(host, folder, None, expected, remedy))
    for item in found["containers"]:
        old = KNOWN.get(_image_name(item["image"]))
        service = here.get(old.service) if old else None
        if old and service:
            _replace(made, host, item, old, service, found, fresh)
        elif item["name"] in dropped:
            made.lines.append(f"{item['name']} stops and goes: nothing takes its place")
            made.steps.extend(_stop(item))
        else:
            remedy = (
                f"add {old.service} to the stacks of {host}, or"
                if old
                else "give it a service of your own, or"
            )
            expected = "runs in the old structure, and nothing of the new one takes its place"
            remedy = f'{remedy} let it go with -e \'{{"drop": ["{item["name"]}"]}}\''
            made.problems.append(Problem(host, item["name"], item["image"], expected, remedy))
    # Containers first: nothing may write to data that is copied.
    made.steps.sort(key=lambda step: ("stop", "rename", "move", "copy").index(step["do"]) // 2)
    return made


def inventory_problems(
    host: str, services: Iterable[Mapping[str, Any]], variables: Mapping[str, Any]
) -> list[Problem]:
    """What the inventory must carry over: the key of Open WebUI's sessions, and a serial above the old zone's."""
    problems = []
    names = {service["name"]: service for service in services}
    old_key = variables.get("vault_webui_secret_key")
    if "openwebui" in names and old_key and variables.get("vault_openwebui_secret_key") != old_key:
        expected = "is not the old vault_webui_secret_key: everybody would be signed out"
        remedy = 'write vault_openwebui_secret_key: "{{ vault_webui_secret_key }}"'
        problems.append(Problem(host, "vault_openwebui_secret_key", "***", expected, remedy))
    floor = names.get("bind9", {}).get("variables", {}).get("bind9_serial_floor")
    if floor is not None and floor < OLD_SERIAL:
        expected = f"is below {OLD_SERIAL}, the serial of the old zone"
        problems.append(
            Problem(host, "bind9_serial_floor", str(floor), expected, f"set it to {OLD_SERIAL} or more")
        )
    return problems


def _replace(
    made: Plan,
    host: str,
    item: Mapping[str, Any],
    old: Old,
    service: Mapping[str, Any],
    found: Mapping[str, Any],
    fresh: Collection[str],
) -> None:
    """One old container's part of the plan."""
    made.services.append(old.service)
    made.steps.extend(_stop(item))
    new = next(iter(service["versions"].values()))
    text = (
        f"{item['name']} {item['version'] or '(version unknown)'} stops and gives way to {old.service} {new}"
    )
    made.lines.append(text)
    owners = {entry["path"]: entry["owner"] for entry in service["directories"]}
    for mount in item["mounts"]:
        name = old.data.get(mount["destination"])
        if name is None:
            continue
        source, target = mount["source"], service["mounts"][name]
        starts_fresh = old.service in fresh
        problem = _data_problem(host, item, old, new, mount, target, found, starts_fresh)
        if problem:
            made.problems.append(problem)
            continue
        steps, line = _carry(source, target, owners.get(target, "0:0"), mount, old, starts_fresh)
        made.steps.extend(steps)
        made.lines.append(line)


def _carry(
    source: str, target: str, owner: str, mount: Mapping[str, Any], old: Old, fresh: bool
) -> tuple[list[dict[str, Any]], str]:
    """The steps for one directory of data, and what they do in words."""
    kept = f"{source}.{SUFFIX}"
    aside = {"do": "move", "from": source, "to": kept}
    if fresh:
        steps = [aside] if source == target else []
        return steps, f"its data stays in {kept if steps else source}; {old.service} starts without it"
    if source == target:
        return [
            aside,
            {"do": "copy", "from": kept, "to": target, "owner": owner},
        ], f"its data is copied to {kept}"
    if old.keeps or mount["type"] == "volume":
        copy = {"do": "copy", "from": source, "to": target, "owner": owner}
        return [copy], f"its data is copied from {source} to {target}"
    return [{"do": "move", "from": source, "to": target}], f"its data moves from {source} to {target}"


def _data_problem(
    host: str,
    item: Mapping[str, Any],
    old: Old,
    new: str,
    mount: Mapping[str, Any],
    target: str,
    found: Mapping[str, Any],
    fresh: bool,
) -> Problem | None:
    """Why the data cannot be carried over, None where it can."""
    source = mount["source"]
    again = (
        f'let {old.service} start without it, -e \'{{"fresh_start": ["{old.service}"]}}\': the old data stays'
    )
    if not target.startswith("/"):
        expected = "the new structure would keep data in a volume"
        return Problem(host, "data_in", "volumes", expected, "set data_in: directories for the migration")
    if source.startswith(tuple(f"{folder}/" for folder in FOLDERS)):
        expected = "lies in a stack's directory, which is removed at the end"
        return Problem(
            host, item["name"], source, expected, "move it elsewhere, and mount it from there first"
        )
    place = target if target != source else f"{source}.{SUFFIX}"
    if place in found["taken"]:
        expected = f"already has data, and {item['name']}'s comes from {source}"
        return Problem(host, place, None, expected, "move one of the two away")
    if fresh:
        return None
    reason = _unreadable(item["version"], new, old)
    if reason:
        return Problem(host, item["name"], item["version"] or item["image"], reason, again)
    size = found["sizes"].get(source, 0)
    if old.keeps and size + 1024**3 > found["free"].get(source, 0):
        expected = f"its copy takes {size / 1024**3:.1f} GiB, and that is not free"
        return Problem(host, source, None, expected, f"free some space, or {again}")
    return None


def _unreadable(version: str, new: str, old: Old) -> str | None:
    """Why the new version cannot read the old one's data."""
    before, after = number(version), number(new)
    if not before:
        return (
            "has a version that cannot be told, so whether the new one reads its data cannot be told either"
        )
    if after and before > after:
        return f"is newer than {new}, which cannot read its data"
    if old.oldest and before < old.oldest:
        oldest = ".".join(map(str, old.oldest))
        return f"has data that {new} cannot read: it takes those of {oldest} and newer"
    if old.one_minor and after and (before[0] != after[0] or after[1] - before[1] > 1):
        return f"has data that {new} cannot read: it takes those of one minor version before only"
    return None


def number(version: str) -> tuple[int, ...]:
    """Major, minor and patch of a version as tags write it; empty for `latest`, `main` and the like."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version or "")
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _stop(item: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """Out of the way and not gone: its name and ports are free, and it can be started again."""
    return (
        {"do": "stop", "container": item["id"], "name": item["name"], "ran": item["running"]},
        {"do": "rename", "container": item["id"], "from": item["name"], "to": f"{item['name']}-{SUFFIX}"},
    )


def _image_name(reference: str) -> str:
    return reference.split("@", 1)[0].rpartition("/")[2].split(":", 1)[0]
