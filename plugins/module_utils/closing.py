# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text that a run ends with, out of what was kept during it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .off import off

Row = Mapping[str, Any]


def stale(
    fleet: Mapping[str, Any],
    rows: Iterable[Row],
    selected: Callable[[Row], bool],
    dependents: Callable[[Mapping[str, Any], str, str], list[dict[str, Any]]],
) -> list[dict[str, str]]:
    """Services outside this run whose files contain something that this run changed: [{host, name, why}]."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        if not (row["changed"] and row["exports_changed"]) or row["failed"]:
            continue
        for other in dependents(fleet, row["host"], row["name"]):
            if not selected(other):
                why = f"uses {row['name']} on {row['host']}"
                found.setdefault(
                    (other["host"], other["name"]), {"host": other["host"], "name": other["name"], "why": why}
                )
    return list(found.values())


def stale_without(stopped: Iterable[Row], selected: Callable[[Row], bool]) -> list[dict[str, str]]:
    """Services outside this run that still know a stack that it stopped: [{host, name, why}]."""
    return [
        {**other, "why": f"knew {row['name']} on {row['host']}"}
        for row in stopped
        for other in row["known_to"]
        if not selected(other)
    ]


def orphans(
    fleet: Mapping[str, Any], looks: Mapping[str, Mapping[str, Any]], stopped: Iterable[Row]
) -> list[dict[str, str]]:
    """Stacks that left the inventory and that this run did not stop: [{host, name}]."""
    done = {(row["host"], row["name"]) for row in stopped}
    return [
        {"host": host, "name": name}
        for host, look in looks.items()
        for name in off(fleet, host, look)
        if (host, name) not in done
    ]


def text(
    fleet: Mapping[str, Any],
    rows: Sequence[Row],
    health: Mapping[tuple[str, str], str],
    stale_services: Sequence[Mapping[str, str]],
    orphaned: Sequence[Mapping[str, str]],
    check: bool,
    stopped: Sequence[Row] = (),
) -> str:
    """Changes, the count, a table of what is where, and what is left to do."""
    parts = [_changes(rows, stopped, check), _count(rows, stopped, check), _table(fleet, health)]
    if stale_services:
        parts.append(_stale(stale_services))
    parts += [
        f" {item['host']}: {item['name']} is no longer in its stacks and was not stopped;"
        " a run that covers it, and in which nothing fails, stops it"
        for item in orphaned
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _changes(rows: Sequence[Row], stopped: Sequence[Row], check: bool) -> str:
    word = "would change" if check else "changed"
    table = []
    for row in rows:
        if not row["changed"]:
            continue
        new = row["reasons"] == ["new"]
        what = ("would be new" if check else "new") if new else word
        if row["failed"]:
            what = "rolled back" if row["outcome"] == "undone" else "failed"
        why = "" if new else "; ".join(row["reasons"])
        after = (
            ""
            if check or row["failed"] or row["seconds"] is None
            else f"healthy after {row['seconds']:.0f} s"
        )
        if row["copy"]:
            after += f", data from before kept in {row['copy']}"
        table.append((row["host"], row["name"], what, why or _versions(row), after))
    word = "would stop" if check else "stopped"
    table += [(row["host"], row["name"], word, _left(row["data"]), "") for row in stopped]
    return columns(table)


def _left(data: Sequence[str] | None) -> str:
    """What became of a stopped stack's data; None where its service.yml is gone."""
    if data is None:
        return "its data stays; where, only its service.yml tells"
    return f"data kept in {', '.join(data)}" if data else "it has no data"


def _versions(row: Row) -> str:
    return row["versions"].get(row["name"]) or next(iter(row["versions"].values()), "")


def _count(rows: Sequence[Row], stopped: Sequence[Row], check: bool) -> str:
    if not rows and not stopped:
        return ""
    failed = sum(row["failed"] for row in rows)
    changed = sum(row["changed"] and not row["failed"] for row in rows)
    same = len(rows) - failed - changed
    counts = [f"{same} unchanged", f"{changed} {'would change' if check else 'changed'}"]
    counts += [f"{len(stopped)} {'would stop' if check else 'stopped'}"] if stopped else []
    return " " + " · ".join([*counts, f"{failed} failed"])


def _table(fleet: Mapping[str, Any], health: Mapping[tuple[str, str], str]) -> str:
    return columns(
        (
            service["name"],
            service["host"],
            service["url"] or (f"internal, {service['publish']}" if service["publish"] else "internal"),
            f"{service['title']} {_versions(service)}",
            health[service["host"], service["name"]],
        )
        for service in fleet["services"]
        if (service["host"], service["name"]) in health
    )


def _stale(services: Sequence[Mapping[str, str]]) -> str:
    lines = [f" stale: {item['name']} on {item['host']} ({item['why']})" for item in services]
    hosts = ",".join(dict.fromkeys(item["host"] for item in services))
    tags = ",".join(dict.fromkeys(item["name"] for item in services))
    return "\n".join(
        [*lines, f" → ansible-playbook … playbooks/deploy-stacks.yml --limit {hosts} --tags {tags}"]
    )


def columns(rows: Iterable[Sequence[str]]) -> str:
    """A table as text, a blank before each line; empty without rows."""
    rows = [tuple(map(str, row)) for row in rows]
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f" {line.rstrip()}" for line in padded)
