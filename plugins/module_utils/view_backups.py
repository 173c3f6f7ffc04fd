# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform as backups see it: what a host's program saves and where to, and who brings backups to a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._catalogue_backups import saves
from .catalogue import instances
from .platform import BACKUPS_DIR


def plan(fleet: Mapping[str, Any], host: str) -> dict[str, Any]:
    """What the program of a host is told by the catalogue.

    {host, state_dir, data_dir, stacks: [names of all that it runs], key: the secret's name,
    repositories: [{name, kind, place, append_only, host, account}],
    services: [{name, title, versions, reversible, stack_dir, deadline, images: {container: reference},
    data: [{name, place, container, save, databases, dump, restore}]}]}, in deploy order. Data that can be had again
    from elsewhere are not among them. A data's `place` is a directory, or the name of a volume.
    """
    settings = fleet["hosts"][host]
    directories = settings["directories"]
    return {
        "host": host,
        "state_dir": directories["state_dir"],
        "data_dir": directories["data_dir"],
        "stacks": settings["services"],
        "key": (settings["backups"] or {}).get("key"),
        "repositories": (settings["backups"] or {}).get("repositories", []),
        "services": [_service(service) for service in instances(fleet, host) if saves(service)],
    }


def clients(fleet: Mapping[str, Any], host: str) -> list[dict[str, str]]:
    """The hosts that bring their backups to this one by sftp: [{host, account, folder}]."""
    return [
        {"host": name, "account": item["account"], "folder": f"{BACKUPS_DIR}/{item['account']}"}
        for name, settings in fleet["hosts"].items()
        for item in (settings["backups"] or {}).get("repositories", [])
        if item["host"] == host
    ]


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    data = [
        {
            "name": name,
            "place": item["place"],
            **{key: item[key] for key in ("container", "save", "databases", "dump", "restore")},
        }
        for name, item in service["data"].items()
        if not item["replaceable"]
    ]
    plain: dict[str, Any] = {"container": None, "save": "files", "databases": [], "dump": [], "restore": []}
    data += [{"name": name, "place": f"{service['data_dir']}/{name}", **plain} for name in service["saved"]]
    return {
        **{key: service[key] for key in ("name", "title", "versions", "images", "stack_dir", "deadline")},
        "reversible": service["update"]["reversible"],
        "data": data,
    }
