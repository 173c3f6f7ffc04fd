# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may reach the ports that Hearth publishes on a host.

A pure function over the fleet (docs/architecture.md). How it is said to the kernel is packet_filter.py's part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LOOPBACK = ("127.0.0.1", "::1")
# From the narrowest to the widest.
_ACCESS = ("local", "lan", "public")


def admitted(fleet: Mapping[str, Any], host: str) -> list[dict[str, Any]]:
    """The published ports of `host`: [{what, address, port, protocol, sources, containers}].

    what: in words, for whoever reads the rules; address: the host's address that is bound, None for all of them;
    sources: addresses and ranges that may come in, [] for nobody but the host itself, None for everyone;
    containers: whether those on the host's own networks of Hearth may, too.
    """
    rows: list[dict[str, Any]] = []
    for service in fleet["services"]:
        if service["host"] == host:
            rows += _front_door(fleet, service)
            rows += _api(fleet, service)
            rows += _listens(fleet, service)
    return rows


def every_source(fleet: Mapping[str, Any]) -> list[str]:
    """The addresses that the platform's hosts come from."""
    return [source for host in fleet["hosts"].values() for source in host["sources"]]


def _front_door(fleet: Mapping[str, Any], door: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    ports = [port for port in door["front_door"].values() if isinstance(port, int)]
    fronted = [service["access"] for service in fleet["services"] if service["front"] == door["host"]]
    widest = max([door["access"], *fronted], key=_ACCESS.index)
    for port in ports:
        row = {"port": port, "protocol": "tcp", "containers": False}
        if widest == "local":
            for address in LOOPBACK:
                what = f"{door['title']}, for this machine only"
                yield {**row, "what": what, "address": address, "sources": []}
        elif widest == "lan":
            what = f"{door['title']}, for private addresses"
            yield {**row, "what": what, "address": None, "sources": fleet["platform"]["private_ranges"]}
        else:
            yield {**row, "what": f"{door['title']}, for everyone", "address": None, "sources": None}


def _api(fleet: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not service["publish"]:
        return
    users = {
        (other["host"], other["name"])
        for other in fleet["services"]
        if other["host"] != service["host"]
        and any(used["host"] == service["host"] for used in other["uses"].get(service["name"], []))
    }
    if service["front"] not in (None, service["host"]):
        users.add((service["front"], "the front door"))
    address, _colon, port = service["publish"].rpartition(":")
    sources = [source for host in dict(sorted(users)) for source in fleet["hosts"][host]["sources"]]
    names = ", ".join(f"{name} on {host}" for host, name in sorted(users))
    yield {
        "what": f"{service['title']}, for {names or 'nobody yet'}",
        "address": address.strip("[]"),
        "port": int(port),
        "protocol": "tcp",
        "sources": sources,
        "containers": False,  # they have its name
    }


def _listens(fleet: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    # Hosts of the platform may have public addresses.
    private = [*fleet["platform"]["private_ranges"], *every_source(fleet)]
    open_to: dict[str, tuple[str, list[str] | None]] = {
        "platform": ("the hosts of the platform", every_source(fleet)),
        "private": ("private addresses and the hosts of the platform", private),
        "anyone": ("everyone", None),
    }
    for listen in service["listens"]:
        words, sources = open_to[listen["open_to"]]
        yield {
            "what": f"{service['title']}, for {words}",
            "address": listen["address"],
            "port": listen["port"],
            "protocol": listen["protocol"],
            "sources": sources,
            "containers": sources is not None,
        }
