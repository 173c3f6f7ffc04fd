# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where hosts differ from the catalogue, out of what a run in check mode and a look at each host found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import packet_filter
from .closing import columns
from .off import off

Row = Mapping[str, Any]
# What a host has besides stacks, in the table of what differs.
FILTER = "packet filter"


def drift(
    fleet: Mapping[str, Any],
    compared: Iterable[Row],
    looks: Mapping[str, Mapping[str, Any]],
    selected: Callable[[Row], bool],
) -> list[dict[str, Any]]:
    """What differs: [{host, name, reasons}], by host in the inventory's order.

    compared: {host, name, changed, reasons} of each part of a stack that was compared; looks: host → hearth.llm.look;
    selected: whether the run covers {host, name}.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for row in compared:
        if row["changed"]:
            reasons = ["is not deployed" if reason == "new" else reason for reason in row["reasons"]]
            found.setdefault((row["host"], row["name"]), []).extend(reasons)
    for host, look in looks.items():
        left = off(fleet, host, look)
        if selected({"host": host, "name": FILTER}):
            wanted = packet_filter.table(fleet, host, look)
            differing = packet_filter.differences(wanted, look["filter"])
            if differing:
                found[host, FILTER] = differing
        for name, stack in look["stacks"].items():
            if not selected({"host": host, "name": name}):
                continue
            if name in left:
                found.setdefault((host, name), []).append(_left(stack))
            elif stack.get("transaction") and name not in fleet["hosts"][host]["services"]:
                found.setdefault((host, name), []).append(
                    "an unfinished change of a stack that it no longer lists"
                )
    place = {host: index for index, host in enumerate(fleet["hosts"])}
    return [
        {"host": host, "name": name, "reasons": reasons}
        for (host, name), reasons in sorted(found.items(), key=lambda item: (place[item[0][0]], item[0][1]))
    ]


def _left(stack: Mapping[str, Any]) -> str:
    running = any(container["state"] == "running" for container in (stack.get("containers") or {}).values())
    return f"is no longer in its stacks and {'runs' if running else 'is still deployed'}"


def text(rows: Sequence[Row], count: int) -> str:
    """The table of what differs, and the command that mends it; count: how many stacks were compared."""
    if not rows:
        return f" {count} stacks compared, none differs\n"
    table = columns((row["host"], row["name"], "differs", "; ".join(row["reasons"])) for row in rows)
    return f"{table}\n\n → {remedy(rows)}\n"


def remedy(rows: Sequence[Row]) -> str:
    """The command that makes these hosts as the catalogue says."""
    hosts = ",".join(dict.fromkeys(row["host"] for row in rows))
    return f"ansible-playbook … playbooks/deploy-stacks.yml --limit {hosts}"
