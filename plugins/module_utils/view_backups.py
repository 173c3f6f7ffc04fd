# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform as backups see it: what a host saves, where to, and what of it together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._catalogue_backups import saved_data, saves
from .catalogue import instances
from .secrets import variable_part


def plan(fleet: Mapping[str, Any], host: str) -> dict[str, Any]:
    """What the program of a host is told by the catalogue.

    {host, state_dir, data_dir, stacks: [names of all that it runs], key: the secret's name,
    repositories: [{name, kind, place, append_only, host, account}], together: those that it is in,
    follows: [{host, account}] that are saved when it says so,
    clients: [accounts that others have on it], thinned: [those of them that may only append],
    services: [{name, role, title, versions, reversible, stack_dir, deadline, images: {container: reference},
    drill: null or {container, port, program: the file's name},
    data: [{name, place, container, save, databases, dump, restore, regain: null or the file's name}]}]}, in deploy
    order. Data of which all can be had again from elsewhere are not among them. A data's `place` is a directory, or the
    name of a volume.
    """
    settings = fleet["hosts"][host]
    directories = settings["directories"]
    groups = [group for group in together(fleet) if host in group["members"]]
    bringing = _bringing(fleet, host)
    return {
        "host": host,
        "state_dir": directories["state_dir"],
        "data_dir": directories["data_dir"],
        "stacks": settings["services"],
        "key": (settings["backups"] or {}).get("key"),
        "repositories": (settings["backups"] or {}).get("repositories", []),
        "together": groups,
        "follows": [
            {"host": other, "account": group["account"]}
            for group in groups
            if group["lead"] == host
            for other in group["addresses"]
        ],
        "clients": sorted({*bringing, *_leading(groups, host)}),
        "thinned": sorted(account for account, append_only in bringing.items() if append_only),
        "services": [_service(service) for service in instances(fleet, host) if saves(service)],
    }


def together(fleet: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Services with data of which one uses another: saved at one moment, since one's data name what is in the other's.

    [{lead: the host that has them saved, account: its account on the others, addresses: {host: address} of those,
    members: {host: [names]}, holds: {host: [names of those that write to others]}}]
    """
    saving = {(item["host"], item["name"]): item for item in fleet["services"] if saves(item)}
    uses = {
        key: [
            (row["host"], name)
            for name, rows in item["uses"].items()
            for row in rows
            if (row["host"], name) in saving
        ]
        for key, item in saving.items()
    }
    groups: list[set[tuple[str, str]]] = []
    for one, others in uses.items():
        joined = {one, *others}
        for group in [group for group in groups if group & joined]:
            groups.remove(group)
            joined |= group
        groups.append(joined)
    return [_group(fleet, sorted(group), uses) for group in groups if len(group) > 1]


def _bringing(fleet: Mapping[str, Any], host: str) -> dict[str, bool]:
    """The accounts of the hosts whose backups come to this one → whether they may only append.

    By address: a machine may have another name as the place of its own backups.
    """
    address = fleet["hosts"][host]["address"]
    return {
        item["account"]: item["append_only"]
        for other in fleet["hosts"].values()
        for item in (other["backups"] or {}).get("repositories", [])
        if item["host"] == host or (address and item["address"] == address)
    }


def _leading(groups: Sequence[Mapping[str, Any]], host: str) -> set[str]:
    """The accounts of the hosts that say when some of this one's services are saved."""
    return {group["account"] for group in groups if host in group["addresses"]}


def _group(
    fleet: Mapping[str, Any],
    members: Sequence[tuple[str, str]],
    uses: Mapping[tuple[str, str], Sequence[tuple[str, str]]],
) -> dict[str, Any]:
    """The host of a service that uses others leads, a trusted one before others: it may reach them, not they it."""
    writers = [member for member in members if uses[member]]
    lead = min(writers, key=lambda member: ("trusted" not in fleet["hosts"][member[0]]["tiers"], member))[0]
    hosts = sorted({host for host, _name in members})
    return {
        "lead": lead,
        "account": f"lead-{variable_part(lead).replace('_', '-')}"[:32],
        "addresses": {host: fleet["hosts"][host]["address"] for host in hosts if host != lead},
        "members": {host: [name for there, name in members if there == host] for host in hosts},
        "holds": {host: [name for there, name in writers if there == host] for host in hosts},
    }


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    data = [
        {
            "name": name,
            "place": item["place"],
            **{key: item[key] for key in ("container", "save", "databases", "dump", "restore", "regain")},
        }
        for name, item in saved_data(service).items()
    ]
    plain: dict[str, Any] = {
        "container": None,
        "save": "files",
        "databases": [],
        "dump": [],
        "restore": [],
        "regain": None,
    }
    data += [{"name": name, "place": f"{service['data_dir']}/{name}", **plain} for name in service["saved"]]
    return {
        **{
            key: service[key]
            for key in ("name", "role", "title", "versions", "images", "stack_dir", "deadline")
        },
        "reversible": service["update"]["reversible"],
        "drill": service["drill"] or None,
        "data": data,
    }
