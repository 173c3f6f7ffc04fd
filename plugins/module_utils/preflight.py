# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What only a look at a host can tell: busy ports, a missing engine, a full disk."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from . import cards
from ._catalogue_names import ports
from .problems import Problem

OLDEST_ENGINE = (20, 10)
OLDEST_COMPOSE = (2, 20)
LEAST_FREE = 2 * 1024**3
ARCHITECTURES = ("x86_64", "aarch64", "amd64", "arm64")
_ANYWHERE = ("0.0.0.0", "::", "")


def problems(
    host: str,
    services: Sequence[Mapping[str, Any]],
    look: Mapping[str, Any],
    engine_managed: bool,
    off: Collection[str] = (),
) -> list[Problem]:
    """Everything in the way of deploying these services on this host.

    services: this host's service dictionaries; look: the result of hearth.llm.look; engine_managed: whether
    roles/host may install a missing engine; off: stacks that run here and left the inventory.
    """
    newer = _newer(host, look["stacks"])
    if newer or not services:
        return newer
    return [
        *_engine(host, look["engine"], engine_managed),
        *_architecture(host, look["system"]),
        *_disks(host, look["disks"]),
        *_busy_ports(host, services, look["listening"], off),
    ]


def lacks(
    look: Mapping[str, Any],
    unit: str,
    options: Mapping[str, Any],
    networks: Collection[str] = ("frontend",),
    wants_cards: bool = False,
) -> list[str]:
    """The parts of roles/host that have something to do on a host: engine, compose, gpu, daemon, network, recovery.

    look: the result of hearth.llm.look; unit: where the recovery unit would be; options: the host_* variables that are
    set: manage_engine, manage_gpu and recover_at_boot (true if missing), daemon_options; networks: what its stacks
    share; wants_cards: whether one of them computes on cards.
    """
    engine, system = look["engine"], look["system"]
    managed = options.get("manage_engine", True)
    unit_there = look["paths"].get(unit, {}).get("exists", False)
    parts = {
        "engine": managed and not engine["running"],
        "compose": managed and not engine["compose"],
        "gpu": wants_cards and options.get("manage_gpu", True) and not cards.ready(look),
        "daemon": bool(options.get("daemon_options")),  # whether they differ only the file itself says
        "network": not set(networks) <= set(look["networks"]),
        "recovery": options.get("recover_at_boot", True) and system["systemd"] and not unit_there,
    }
    return [part for part, wanted in parts.items() if wanted]


def _newer(host: str, stacks: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """State that this Hearth cannot read: deploying over it would lose what the newer one knows."""
    told = [stack["state"]["newer"] for stack in stacks.values() if (stack.get("state") or {}).get("newer")]
    remedy = "git pull, or ansible-galaxy collection install --upgrade hearth.llm"
    return [Problem(host, "state_dir", None, text, remedy) for text in told[:1]]


def _engine(host: str, engine: Mapping[str, Any], managed: bool) -> list[Problem]:
    if not engine["running"]:
        if managed:
            return []
        expected = f"no Docker engine answers: {engine.get('error') or 'not installed'}"
        return [Problem(host, "Docker engine", None, expected, "start it, or set host_manage_engine: true")]
    found = []
    if _version(engine["version"]) < OLDEST_ENGINE:
        expected = f"is older than {OLDEST_ENGINE[0]}.{OLDEST_ENGINE[1]}"
        found.append(
            Problem(host, "Docker engine", engine["version"], expected, "upgrade Docker on this host")
        )
    if not engine.get("compose"):
        if not managed:
            remedy = (
                "install the Compose plugin (docker-compose-plugin or docker-compose of the distribution)"
            )
            found.append(Problem(host, "docker compose", None, "is not there", remedy))
    elif _version(engine["compose"]) < OLDEST_COMPOSE:
        expected = f"is older than {OLDEST_COMPOSE[0]}.{OLDEST_COMPOSE[1]}"
        found.append(
            Problem(host, "docker compose", engine["compose"], expected, "upgrade the Compose plugin")
        )
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _architecture(host: str, system: Mapping[str, Any]) -> list[Problem]:
    if system["arch"] in ARCHITECTURES:
        return []
    expected = "is an architecture without images of every service"
    return [Problem(host, "architecture", system["arch"], expected, "use an x86-64 or 64-bit Arm host")]


def _disks(host: str, disks: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    found: dict[str, Problem] = {}
    for path, disk in disks.items():
        if disk["free"] < LEAST_FREE:
            free = f"{disk['free'] / 1024**3:.1f} GiB free"
            expected = f"has less than {LEAST_FREE // 1024**3} GiB left"
            remedy = "free some space: `docker system df` shows what Docker holds"
            found.setdefault(disk["device"], Problem(host, path, free, expected, remedy))
    return list(found.values())


def _busy_ports(
    host: str,
    services: Iterable[Mapping[str, Any]],
    listening: Sequence[Mapping[str, Any]],
    off: Collection[str],
) -> list[Problem]:
    found = []
    for service in services:
        for wanted in ports(service):
            for other in listening:
                if _collide(wanted, other) and other.get("project") != service["name"]:
                    expected = f"the port is held by {_holder(other)}"
                    remedy = f"stop it, or set {wanted['variable']} to a free port"
                    if (
                        other.get("project") in off
                    ):  # stopped only after the deploys, which this port is in the way of
                        remedy = f"leave {service['name']} out of stacks for one run, which stops {other['project']}"
                    found.append(Problem(host, wanted["variable"], str(wanted["port"]), expected, remedy))
                    break
    return found


def _collide(wanted: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if other["port"] != wanted["port"] or not other["protocol"].startswith(wanted["protocol"]):
        return False
    return wanted["address"] in _ANYWHERE or other["address"] in (*_ANYWHERE, wanted["address"])


def _holder(other: Mapping[str, Any]) -> str:
    if other.get("container"):
        return f"the container {other['container']}"
    if other.get("holder"):
        return f"{other['holder']} (process {other['pid']})"
    return "another program"
