# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How one gets from the version that runs to the one that is wanted, by what a service.yml says under `update`.

any            in one step
one_minor      one minor version at a time; into a new major version from the last known minor one
every_major    through every release that is known, a release being the first two numbers (2026.5, 2026.8)
dump_restore   in one step; the engine carries the data over by dump and restore where the first number changes
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._journal import COMMIT
from ._state import tag
from .problems import Problem

Version = tuple[int, ...]


def numbers(version: str) -> Version:
    """(1, 19, 0) of `v1.19.0` or `v1.19.0-rc1`; empty for a tag without a number in front."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def steps(rules: Mapping[str, Any], running: str, wanted: str) -> list[str] | None:
    """The versions to go through, the last one wanted; empty when that one runs, None where no way is known.

    rules: {path, known} of the version's variable.
    """
    if running == wanted:
        return []
    if not (numbers(running) and numbers(wanted)) or rules["path"] in ("any", "dump_restore"):
        return [wanted]
    if numbers(wanted) < numbers(running):
        return [wanted]
    way, at = [], running
    for version in [*_between(rules["known"], running, wanted), wanted]:
        if not _one_step(rules, at, version):
            return None
        way.append(version)
        at = version
    return way


def _between(known: Iterable[str], running: str, wanted: str) -> list[str]:
    """The last known version of each release between two, in order."""
    last: dict[Version, str] = {}
    for version in sorted(known, key=numbers):
        release = numbers(version)[:2]
        if numbers(running)[:2] < release < numbers(wanted)[:2]:
            last[release] = version
    return list(last.values())


def _one_step(rules: Mapping[str, Any], running: str, wanted: str) -> bool:
    before, after = numbers(running)[:2], numbers(wanted)[:2]
    releases = {numbers(version)[:2] for version in rules["known"]}
    if before == after:
        return True
    if rules["path"] == "every_major":
        # A release that is in no list may be any number of releases away.
        return {before, after} <= releases and not any(before < release < after for release in releases)
    if before[0] == after[0]:
        return after[1:] == (before[-1] + 1,)
    last = max((release for release in releases if release[0] == before[0]), default=None)
    return before == last and after == (before[0] + 1, 0)


def running(stack: Mapping[str, Any] | None, container: str) -> str | None:
    """The tag that a container of a stack runs with, or was committed with; None where there is none.

    What stands there in the middle of a change that will be undone is not what counts. stack: of the look at its host.
    """
    stack = stack or {}
    there = stack.get("containers") or {}
    committed = (stack.get("state") or {}).get("containers") or {}
    interrupted = stack.get("transaction")
    proven = not interrupted or interrupted["decision"] == COMMIT
    for containers in (there, committed) if proven else (committed,):
        for item in containers.values():
            if item["service"] == container:
                return tag(item["image"])
    return None


def found(service: Mapping[str, Any], stack: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Each version of a service: {variable, running, wanted, newest (known, or None), steps}."""
    rows: dict[str, dict[str, Any]] = {}
    for container, variable in service["update"]["variables"].items():
        rules = service["update"]["versions"].get(variable, {"path": "any", "known": []})
        now, wanted = running(stack, container), service["versions"][container].partition("@")[0]
        rows.setdefault(
            variable,
            {
                "variable": variable,
                "running": now,
                "wanted": wanted,
                "newest": max(rules["known"], key=numbers, default=None),
                "steps": [wanted] if now is None else steps(rules, now, wanted),
            },
        )
    return list(rows.values())


def problems(
    service: Mapping[str, Any], stack: Mapping[str, Any] | None, walks: bool = False
) -> list[Problem]:
    """Versions that a deploy must not jump to, and ones that the data have left behind.

    walks: several steps are no problem, because they are taken one after the other.
    """
    made = []
    for row in found(service, stack):
        now, wanted, way = row["running"], row["wanted"], row["steps"]
        if now is None:
            continue
        back = numbers(wanted) < numbers(now) and numbers(wanted) and not service["update"]["reversible"]
        if back:
            expected = f"{now} runs here and has changed the data for good: {service['update']['why']}"
            remedy = f"{row['variable']}: {now}; for the way back see docs/architecture.md, 'Updates'"
        elif way is None:
            expected = f"{now} runs here, and no versions between are known through which one gets there"
            remedy = "a newer Hearth may know them; else set one release after the other"
        elif len(way) > 1 and not walks:
            expected = f"{now} runs here, and one gets there only by {' → '.join([now, *way])}"
            remedy = f"playbooks/upgrade.yml --limit {service['host']} -e walk={service['name']} walks it"
        else:
            continue
        made.append(Problem(service["host"], row["variable"], wanted, expected, remedy))
    return made


def walk(service: Mapping[str, Any], stack: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """What to deploy one after the other: version variable → version; empty where nothing is to do or no way is known.

    One variable at a time, in the order of service.yml: of two versions that change, which one broke it is then plain.
    """
    at = {row["variable"]: row["running"] or row["wanted"] for row in found(service, stack)}
    way: list[dict[str, str]] = []
    for row in found(service, stack):
        for version in row["steps"] or ():
            at[row["variable"]] = version
            way.append(dict(at))
    return way


def with_versions(service: Mapping[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    """The service as if these were its version variables."""
    images, versions = dict(service["images"]), dict(service["versions"])
    for container, variable in service["update"]["variables"].items():
        if variable in chosen and chosen[variable] != versions[container].partition("@")[0]:
            name = images[container].removesuffix(f":{versions[container]}")
            images[container] = f"{name}:{chosen[variable]}"
            versions[container] = chosen[variable]
    variables = {
        **service["variables"],
        **{name: item for name, item in chosen.items() if name in service["variables"]},
    }
    return {**service, "images": images, "versions": versions, "variables": variables}


def table(rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[tuple[str, ...]]:
    """(host, service, row of `found`) as the cells of a table."""
    cells: list[tuple[str, ...]] = [("host", "service", "runs", "pinned", "newest known", "")]
    for host, name, row in rows:
        way = row["steps"]
        if row["running"] is None:
            note = "is not deployed yet"
        elif way is None:
            note = "no way is known"
        elif len(way) > 1:
            note = " → ".join([row["running"], *way])
        else:
            note = "the next deploy updates it" if way else ""
        newest = row["newest"] or ""
        if newest and numbers(newest) > numbers(row["wanted"]):
            note = "; ".join(filter(None, [note, f"newer: {row['variable']}: {newest}"]))
        cells.append((host, name, row["running"] or "", row["wanted"], newest, note))
    return cells
