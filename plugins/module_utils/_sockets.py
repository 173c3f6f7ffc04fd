# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who listens on which port of this host, from /proc."""

from __future__ import annotations

import ipaddress
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_TABLES = ("tcp", "tcp6", "udp", "udp6")
# A listening TCP socket; UDP knows no listening, a bound socket without a peer is what comes closest.
_LISTENING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}
_CONTAINER_IN_CGROUP = re.compile(r"(?:docker[-/])([0-9a-f]{64})")


@dataclass(frozen=True)
class Socket:
    """A listening socket: protocol is tcp, tcp6, udp or udp6."""

    protocol: str
    address: str
    port: int
    inode: int


def parse(protocol: str, table: str) -> list[Socket]:
    """The listening sockets of one table of /proc/net (its text, with the heading)."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTENING[protocol]:
            continue
        address, port = fields[1].split(":")
        if protocol.startswith("udp") and int(fields[2].split(":")[1], 16):
            continue
        found.append(Socket(protocol, _address(address), int(port, 16), int(fields[9])))
    return found


def _address(digits: str) -> str:
    """An address as the kernel prints it: 32-bit words in the machine's byte order."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(b"".join(struct.pack("=I", word) for word in words)))


def listening(containers: Iterable[Mapping[str, Any]], proc: str = "/proc") -> list[dict[str, Any]]:
    """[{port, address, protocol, holder, pid, container, project}], by port.

    containers: `describe`d ones (_docker.py), to name the container behind a port. holder (the process's name) and
    pid are None without the right to see them; container and project are None where no container is behind it.
    A published port without a socket (Docker without its userland proxy) is listed too, without holder.
    """
    sockets = []
    for name in _TABLES:
        try:
            with open(f"{proc}/net/{name}", encoding="ascii") as file:
                sockets += parse(name, file.read())
        except OSError:
            continue
    holders = _holders({socket.inode for socket in sockets}, proc)
    published = _published(containers)
    by_id = {item["id"]: item for item in containers}
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for socket in sockets:
        pid = holders.get(socket.inode)
        owner = published.get((socket.protocol[:3], socket.port)) or by_id.get(_container_of(pid, proc) or "")
        found[(socket.protocol, socket.address, socket.port)] = {
            "port": socket.port,
            "address": socket.address,
            "protocol": socket.protocol,
            "holder": _comm(pid, proc),
            "pid": pid,
            **_named(owner),
        }
    for (protocol, port), owner in published.items():
        if not any(key[0][:3] == protocol and key[2] == port for key in found):
            address = next(item["address"] for item in owner["ports"] if item["port"] == port)
            found[(protocol, address, port)] = {
                "port": port,
                "address": address,
                "protocol": protocol,
                "holder": None,
                "pid": None,
                **_named(owner),
            }
    return sorted(found.values(), key=lambda item: (item["port"], item["protocol"], item["address"]))


def _named(owner: Mapping[str, Any] | None) -> dict[str, Any]:
    return (
        {"container": owner["name"], "project": owner["project"]}
        if owner
        else dict.fromkeys(("container", "project"))
    )


def _published(containers: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], Mapping[str, Any]]:
    return {
        (port["protocol"], port["port"]): item
        for item in containers
        if item["state"] == "running"
        for port in item["ports"]
    }


def _holders(inodes: set[int], proc: str) -> dict[int, int]:
    """Socket inode → pid, as far as this user may look."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for pid in filter(str.isdigit, os.listdir(proc)):
        if len(found) == len(wanted):
            break
        try:
            with os.scandir(f"{proc}/{pid}/fd") as entries:
                for entry in entries:
                    inode = wanted.get(os.readlink(entry.path))
                    if inode is not None:
                        found.setdefault(inode, int(pid))
        except OSError:
            continue
    return found


def _comm(pid: int | None, proc: str) -> str | None:
    try:
        with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _container_of(pid: int | None, proc: str) -> str | None:
    """The container that a process runs in (host networking), by its control group."""
    try:
        with open(f"{proc}/{pid}/cgroup", encoding="ascii") as file:
            match = _CONTAINER_IN_CGROUP.search(file.read())
    except OSError:
        return None
    return match.group(1) if match else None
