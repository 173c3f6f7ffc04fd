# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which secrets a run replaces, what that does to the platform, and in which order.

Pure. A secret is being rotated as long as the vault has its old value (`vault_x_previous`) beside the new one, so that
a run which was killed tells the next one where it was. The order, for all secrets of a run at once:

1. store      new and old values, in one file that changes whole
2. apply      `in-place` only: change it inside the running service
3. deploy     `first`: whoever reads one of them gets the new value; where both can be valid, both are
4. prove      the new ones work
5. deploy     `second`: those that took both take the new one only
6. prove      the old ones are refused
7. forget     the old values leave the vault
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from .closing import columns
from .problems import EVERY_HOST, Problem

# Both values are valid for a while, so the old one has to be taken away by a second deploy.
_BOTH = ("overlap", "migrate")

Described = Mapping[str, Any]


@dataclass(frozen=True)
class Wish:
    """What the operator asked for: one secret, those of some services (tags), or those older than `days`."""

    secret: str | None = None
    services: frozenset[str] = frozenset()
    days: int | None = None
    keep_old: bool = False


@dataclass
class Plan:
    """names: all secrets of the run; fresh: those that need a new value, the others go on where a run was killed.

    first, second: [(host, service)] to deploy, of which `reloads` go on without a restart and `twice` restart in both
    rounds; skipped: [(name, why)].
    """

    names: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    first: list[tuple[str, str]] = field(default_factory=list)
    second: list[tuple[str, str]] = field(default_factory=list)
    reloads: list[tuple[str, str]] = field(default_factory=list)
    twice: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def choose(
    secrets: Mapping[str, Described],
    ages: Mapping[str, int | None],
    under_way: Collection[str],
    unmovable: Mapping[str, str],
    wish: Wish,
) -> tuple[list[str], list[tuple[str, str]], list[Problem]]:
    """(names to rotate, [(name left out, why)], problems).

    ages: days by name, None where unknown, which counts as old; under_way: names with an old value in the vault;
    unmovable: names whose value cannot be replaced, with the reason.
    """
    if wish.secret is not None:
        name = wish.secret.removeprefix("vault_")
        if name not in secrets:
            similar = get_close_matches(name, secrets, n=1)
            hint = f"did you mean {similar[0]}? " if similar else ""
            remedy = f"{hint}secrets of this inventory: {', '.join(secrets)}"
            return [], [], [Problem(EVERY_HOST, "secret", name, "is not a secret of this inventory", remedy)]
        why = _why_not(secrets[name], unmovable.get(name))
        if why:
            return [], [], [Problem(EVERY_HOST, "secret", name, why, "leave it as it is")]
        return [name], [], []
    names, skipped = [], []
    for name, secret in secrets.items():
        if wish.services and secret["service"] not in wish.services:
            continue
        age = ages.get(name)
        if wish.days is not None and name not in under_way and age is not None and age <= wish.days:
            continue
        why = _why_not(secret, unmovable.get(name))
        if why:
            skipped.append((name, why))
        else:
            names.append(name)
    return names, skipped, []


def _why_not(secret: Described, unmovable: str | None) -> str | None:
    if secret["rotate"] == "never":
        return f"is never rotated: {secret['why']}"
    if secret["rotate"] == "in-place" and not secret["apply"]:
        return "changes inside the running service, and its service.yml does not say how (`apply`)"
    return unmovable


def plan(
    fleet: Mapping[str, Any],
    names: Iterable[str],
    under_way: Collection[str],
    skipped: Iterable[tuple[str, str]],
    wish: Wish,
) -> Plan:
    """What replacing these secrets does. Services come in the order of the fleet, which is that of a deploy."""
    found = Plan(names=list(names), skipped=list(skipped))
    found.fresh = [name for name in found.names if name not in under_way]
    restarting: set[tuple[str, str]] = set()
    rereading: set[tuple[str, str]] = set()
    closing: set[tuple[str, str]] = set()
    twice: set[tuple[str, str]] = set()
    for name in found.names:
        secret = fleet["secrets"][name]
        for service in readers(fleet, name):
            place = (service["host"], service["name"])
            takes_both = service["name"] == keeper(secret)
            (rereading if takes_both and secret["reloads"] else restarting).add(place)
            if takes_both and secret["rotate"] in _BOTH and not wish.keep_old:
                closing.add(place)
                if not secret["reloads"]:
                    twice.add(place)
    order = [(service["host"], service["name"]) for service in fleet["services"]]
    found.first = [place for place in order if place in restarting | rereading]
    found.second = [place for place in order if place in closing]
    found.twice = [place for place in order if place in twice]
    found.reloads = [place for place in order if place in rereading - restarting]
    return found


def readers(fleet: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The services that read a secret."""
    return [service for service in fleet["services"] if name in service["secrets"]]


def keeper(secret: Described) -> str:
    """The service that asks for the secret: of a client's key the provider, else the one that declares it."""
    return secret["provider"] or secret["service"]


def stages(
    fleet: Mapping[str, Any], places: Collection[tuple[str, str]]
) -> dict[str, dict[str, list[dict[str, str]]]]:
    """Stage → host → [{name, role}]: what the playbook's plays loop over."""
    made: dict[str, dict[str, list[dict[str, str]]]] = {"names": {}, "compute": {}, "trusted": {}}
    for service in fleet["services"]:
        if (service["host"], service["name"]) in places:
            row = {"name": service["name"], "role": service["role"]}
            made[service["stage"]].setdefault(service["host"], []).append(row)
    return made


def text(fleet: Mapping[str, Any], found: Plan, wish: Wish) -> str:
    """The plan in words."""
    if not found.names:
        return "\n".join([" no secret to rotate", *_left_out(found)]) + "\n"
    rows = []
    for name in found.names:
        secret = fleet["secrets"][name]
        word = "rotate" if name in found.fresh else "resume"
        rows.append((word, f"vault_{name}", secret["rotate"], secret["ends"]))
    restarts = [place for place in found.first if place not in found.reloads]
    lines = [columns(rows), *_left_out(found)]
    if restarts:
        lines.append(f" restarts: {_places(restarts)}")
    if found.twice:
        lines.append(f" restarts twice, the second time without the old value: {_places(found.twice)}")
    if found.reloads:
        lines.append(f" goes on without a restart: {_places(found.reloads)}")
    unproven = [f"vault_{name}" for name in found.names if not fleet["secrets"][name]["prove"]]
    if unproven:
        lines.append(f" cannot be proven, because service.yml does not say how: {', '.join(unproven)}")
    if wish.keep_old:
        lines.append(" old values stay valid where both can be, until a run without keep_old")
    return "\n".join(lines) + "\n"


def _left_out(found: Plan) -> list[str]:
    return [f" leaves vault_{name}: {why}" for name, why in found.skipped]


def _places(places: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{service} on {host}" for host, service in places)
