# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stack that nobody reaches: for the proof of a new version before anything is routed to it.

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ._docker import PROJECT_LABEL, Docker

_OUR_LABELS = "hearth."
_FIXED = ("ipv4_address", "ipv6_address", "link_local_ips", "mac_address")


def unrouted(model: Mapping[str, Any], project: str) -> dict[str, Any]:
    """The stack without its published ports and labels, and with a network of its own for each shared one.

    model: what `docker compose config --format json` says. Its containers still reach each other by all their names.
    """
    found = copy.deepcopy(dict(model))
    shared = {key for key, item in (found.get("networks") or {}).items() if (item or {}).get("external")}
    for key in shared:
        found["networks"][key] = {"name": f"{_prefix(project)}{key}"}
    for service in found["services"].values():
        service.pop("ports", None)
        service["labels"] = {
            name: value
            for name, value in (service.get("labels") or {}).items()
            if name.startswith(_OUR_LABELS)
        }
        for key, joined in (service.get("networks") or {}).items():
            if key in shared and joined:
                service["networks"][key] = {
                    name: value for name, value in joined.items() if name not in _FIXED
                }
    return found


def remove_networks(docker: Docker, project: str) -> None:
    """Take away what `unrouted` made, once nothing is in it."""
    answer = docker.call(
        "network", "ls", "--filter", f"label={PROJECT_LABEL}={project}", "--format", "{{.Name}}"
    )
    names = [name for name in answer.out.split() if name.startswith(_prefix(project))]
    if names:
        docker.call("network", "rm", *names)


def _prefix(project: str) -> str:
    return f"{project}_unrouted_"
