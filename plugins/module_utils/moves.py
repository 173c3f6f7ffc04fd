# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stacks that are to begin anew on one host while their data lie on another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .off import off
from .problems import Problem


def problems(fleet: Mapping[str, Any], looks: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """A stack with data that was committed on a host which lists it no more, and is new on another one without them.

    looks: host → hearth.llm.look, of the hosts that the run covers; what lies on others is not known.
    """
    left: dict[str, list[str]] = {}
    for host, look in looks.items():
        for name in off(fleet, host, look):
            left.setdefault(name, []).append(host)
    made = []
    for service in fleet["services"]:
        here = looks.get(service["host"])
        before = left.get(service["name"])
        places = [item["place"] for item in service["data"].values() if not item["replaceable"]]
        if here is None or not before or not places:
            continue
        new = not (here["stacks"].get(service["name"]) or {}).get("state")
        if new and not any(has_data(here, place) for place in places):
            expected = f"is new here, and its data are on {', '.join(before)}, which lists it no more"
            remedy = (
                f"copy {', '.join(places)} from there first, or restore a backup here; to begin with nothing, leave it"
                " out of all stacks for one run"
            )
            made.append(Problem(service["host"], "stacks", service["name"], expected, remedy))
    return made


def has_data(look: Mapping[str, Any], place: str) -> bool:
    """Whether there is something at a place: a directory with anything in it, or a volume."""
    found = look["paths"].get(place)
    return not found["empty"] if found else place in look["volumes"]
