# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether hosts have the same model under one name: a registry's tag may have moved between two hosts' pulls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .model_registry import manifest_place
from .models import canonical
from .problems import Problem


def places(fleet: Mapping[str, Any], host: str) -> list[str]:
    """The manifests, on a host, of the models that another host serves under the same name.

    Of those with a `digest` nothing has to be known: every host is given that one. Data in volumes are not looked into.
    """
    shared = [holders for holders in _served(fleet).values() if len(holders) > 1]
    return sorted(holders[host] for holders in shared if host in holders)


def problems(fleet: Mapping[str, Any], looks: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """looks: by host, of the hosts of this run; what a host does not have yet is no problem."""
    found = []
    for (service, name), holders in _served(fleet).items():
        digests = {
            host: looks[host]["digests"].get(place) for host, place in holders.items() if host in looks
        }
        there = [(host, digest) for host, digest in digests.items() if digest]
        for host, digest in there[1:]:
            first, other = there[0]
            if digest != other:
                found.append(_differs(host, f"{service}: {name}", digest, first, other))
    return found


def _differs(host: str, variable: str, digest: str, first: str, other: str) -> Problem:
    expected = f"is {digest[:12]} here and {other[:12]} on {first}, and the gateway sends requests to both"
    remedy = f"give it `digest: {other[:12]}`, or the other one, on both: the next deploy brings it"
    return Problem(host, variable, None, expected, remedy)


def _served(fleet: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, str]]:
    """(service, model) → host → where its manifest is there."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for service in fleet["services"]:
        directory = str(service["mounts"].get("models", ""))
        for model in service["models"]:
            if directory.startswith("/") and model.get("source") == "registry" and not model["digest"]:
                place = str(manifest_place(Path(directory), model["reference"]))
                key = (service["name"], canonical(model["name"]).lower())
                found.setdefault(key, {})[service["host"]] = place
    return found
