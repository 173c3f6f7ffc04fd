# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where each host's backups go: a repository of its own at every destination, under a key of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .platform import BACKUPS_DIR
from .problems import Problem, show
from .secrets import variable_part
from .service_spec import Secret

_URL = re.compile(r"(rest:https?://|s3:|sftp:|rclone:|b2:|azure:|gs:|swift:)\S+")
_HOLDS_PASSWORD = re.compile(r"^rest:https?://[^/@\s]*:[^/@\s]*@")
_KINDS = ("path", "host", "url")


def backup_key(host: str) -> Secret:
    """The secret that encrypts a host's repositories."""
    return Secret(
        name=f"backups_key_{variable_part(host)}",
        kind="key",
        rotate="never",
        why="Encrypts the host's backups; without it none of them can be read. Keep the vault off the hosts, too.",
    )


def backups_of(
    fleet: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> dict[str, dict[str, Any]]:
    """Host → {key: the secret's name, repositories: [{name, kind, place, append_only, host, account, address}]}.

    place: where the repository is, as restic writes it. Only hosts with something to save have an entry. What is wrong
    is reported and left out.
    """
    found = {}
    savers = {service["host"] for service in fleet["services"] if saves(service)}
    reachable = [name for name, item in fleet["hosts"].items() if item["address"]]
    nearest = sorted(reachable, key=lambda name: "trusted" not in fleet["hosts"][name]["tiers"])[:2]
    for host in (name for name in fleet["hosts"] if name in savers):
        wanted = settings[host]["backups_to"] or _default(host, nearest)
        repositories = []
        for index, item in enumerate(wanted):
            wrong = _wrong_with(fleet, host, item) or (
                ("is listed twice", "list it once") if item in wanted[:index] else None
            )
            if wrong:
                problems.append(Problem(host, f"backups_to[{index}]", show(item), *wrong))
            else:
                repositories.append(_repository(fleet, host, item))
        found[host] = {"key": backup_key(host).name, "repositories": repositories}
    return found


def saves(service: Mapping[str, Any]) -> bool:
    """Whether a service has data that a backup takes."""
    return bool(service["saved"] or saved_data(service))


def saved_data(service: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Those of a service's data that a backup takes, whole or in part, by name."""
    return {name: item for name, item in service["data"].items() if item["regain"] or not item["replaceable"]}


def _default(host: str, nearest: Sequence[str]) -> list[dict[str, Any]]:
    """Off the host where there is another one to go to; nearest: the two best hosts to go to."""
    other = next((name for name in nearest if name != host), None)
    return [{"host": other}] if other else [{"path": BACKUPS_DIR}]


def _wrong_with(fleet: Mapping[str, Any], host: str, item: Mapping[str, Any]) -> tuple[str, str] | None:
    """(what is wrong with a destination, how to mend it); None where nothing is."""
    given = [kind for kind in _KINDS if item.get(kind)]
    if len(given) != 1:
        return "does not name one of path, host and url", "write it like {host: edge} or {path: /mnt/backups}"
    kind, place = given[0], str(item[given[0]])
    if kind == "path" and (not place.startswith("/") or ".." in place.split("/") or not place.strip("/")):
        return "is not an absolute path of a directory", "write it like {path: /mnt/backups}"
    if kind == "host" and place == host:
        return "is the host itself: lost with it", "name another host, or a path on purpose"
    if kind == "host" and not (fleet["hosts"].get(place) or {}).get("address"):
        known = ", ".join(name for name in fleet["hosts"] if name != host) or "there is no other one"
        return "is no host of the inventory with an address", f"other hosts: {known}"
    if kind == "url" and not _URL.fullmatch(place):
        return "is no place that restic knows", "write it like {url: rest:https://backup.example.org:8000}"
    if kind == "url" and _HOLDS_PASSWORD.match(place):
        remedy = "set RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD in backups_environment"
        return "has a password in it, which would show in messages", remedy
    if item.get("append_only") and kind == "path":
        remedy = "name a trusted host instead, or the url of a rest-server with --append-only"
        return "cannot be append-only: whoever owns this host deletes what it wrote there", remedy
    if item.get("append_only") and kind == "host" and "trusted" not in fleet["hosts"][place]["tiers"]:
        expected = "is no trusted host: one that takes append-only backups has their key, to thin them out"
        return expected, "name a trusted host, or leave append_only out"
    return None


def _repository(fleet: Mapping[str, Any], host: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """One destination as a repository. Every host has its own below it, so that none reads another's."""
    kind = next(kind for kind in _KINDS if item.get(kind))
    place = str(item[kind]).rstrip("/")
    found: dict[str, Any] = {
        "name": place,
        "kind": kind,
        "place": f"{place}/{host}",
        "append_only": bool(item.get("append_only")),
        "host": None,
        "account": None,
        "address": None,
    }
    if kind == "host":
        address = fleet["hosts"][place]["address"]
        account = f"backup-{variable_part(host).replace('_', '-')}"[:32]
        there = f"[{address}]" if ":" in address else address
        # Append-only is what rclone serves; it is told there, where this host has no say, which directory it is.
        where = "rclone:hearth:" if found["append_only"] else f"sftp://{account}@{there}//repository"
        found.update(host=place, account=account, address=address, place=where)
    return found
