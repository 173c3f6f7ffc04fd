"""Who reaches what: every origin × every route and port × with and without credentials, and what must come of it.

Pure, and from the catalogue (the fleet, docs/architecture.md) alone: nothing here looks at the packet filter's view of
it, at labels or at rendered files. test_reach.py tries every cell in the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Fleet = Mapping[str, Any]
Service = Mapping[str, Any]

# What may come of a try. CLOSED: refused, silent, or no such name. REACHED: anything else. For HTTP besides:
# ANSWERED: the application itself spoke; TURNED_AWAY: a guard did, or sent to the sign-on; NO_ROUTE: 404.
CLOSED, REACHED, ANSWERED, TURNED_AWAY, NO_ROUTE = "closed", "reached", "answered", "turned away", "no route"
NOWHERE = "/hearth-nowhere"


@dataclass(frozen=True)
class Origin:
    """Where a try comes from. kind: outsider, neighbour (any private address), and on a host of the platform: host (a
    process), container (on `frontend`), stray (a container on no network of the platform).
    """

    kind: str
    host: str | None = None

    def __str__(self) -> str:
        return self.kind + (f" on {self.host}" if self.host else "")


@dataclass(frozen=True)
class Target:
    """What is tried. way: route (through the front door, by name), address (of the host), name (of the container),
    direct (the container's own address).
    """

    way: str
    service: str
    host: str
    port: int
    protocol: str = "tcp"
    container: str | None = None
    address: str | None = None
    fqdn: str | None = None
    path: str | None = None
    guard: str | None = None

    def __str__(self) -> str:
        if self.way == "route":
            return f"https://{self.fqdn}:{self.port}{self.path} ({self.guard})"
        where = {
            "address": self.address,
            "name": self.container,
            "direct": f"the address of {self.container}",
        }
        return f"{where[self.way]}:{self.port}/{self.protocol} ({self.service} on {self.host})"


@dataclass(frozen=True)
class Cell:
    origin: Origin
    target: Target
    credentials: bool
    expected: str

    def __str__(self) -> str:
        key = "with" if self.credentials else "without"
        return f"{self.origin} → {self.target}, {key} credentials: {self.expected}"


def cells(fleet: Fleet, image_ports: Callable[[str], list[int]]) -> list[Cell]:
    """Every cell. image_ports: the ports that the image of a reference listens on."""
    return [
        Cell(origin, target, credentials, _expected(fleet, origin, target, credentials))
        for target in targets(fleet, image_ports)
        for origin in origins(fleet)
        if _is_tried(origin, target) and not _is_anyones_guess(fleet, origin, target)
        for credentials in ((False, True) if target.way == "route" else (False,))
    ]


def origins(fleet: Fleet) -> list[Origin]:
    here = [name for name, host in fleet["hosts"].items() if host["services"]]
    return [
        Origin("outsider"),
        Origin("neighbour"),
        *(Origin(kind, host) for host in here for kind in ("host", "container", "stray")),
    ]


def targets(fleet: Fleet, image_ports: Callable[[str], list[int]]) -> list[Target]:
    found = []
    for service in fleet["services"]:
        found += [*_routes(fleet, service), *_published(service), *_inside(service, image_ports)]
    return list(dict.fromkeys(found))


def _routes(fleet: Fleet, service: Service) -> Iterator[Target]:
    """A path of each route, and one of none; at every front door where the service has a name and no route."""
    if not service["http"] or not service["fqdn"]:
        return
    routes = {_path(service, route): route["guard"] for route in service["http"]["routes"]}
    if "/" not in routes:  # an application's own 404 could not be told from the front door's
        routes[NOWHERE] = "internal"
    for door in _doors(fleet):
        if service["front"] in (None, door["host"]):
            for path, guard in routes.items():
                shown = guard if service["front"] else "internal"
                yield Target(
                    *("route", service["name"], door["host"], door["front_door"]["https"]),
                    address=door["address"],
                    fqdn=service["fqdn"],
                    path=path,
                    guard=shown,
                )


def _path(service: Service, route: Mapping[str, Any]) -> str:
    """A path that the route answers a GET for: the list of models of an API in OpenAI's way, else its first."""
    serves = service["serves"]
    if serves and serves["api"] == "openai" and f"{serves['path']}/models" in route["paths"]:
        return f"{serves['path']}/models"
    return route["paths"][0] if route["paths"] else "/"


def _published(service: Service) -> Iterator[Target]:
    """Ports on the host's address: of the front door, of the API (which may not be published), further ones."""
    at = {"service": service["name"], "host": service["host"]}
    for port in service["front_door"].values():
        if isinstance(port, int):
            yield Target("address", **at, port=port, address=service["address"])
    if service["publish"]:
        address, _colon, port = service["publish"].rpartition(":")
        yield Target("address", **at, port=int(port), address=address.strip("[]"))
    for listen in service["listens"]:
        where = {"address": listen["address"], "protocol": listen["protocol"]}
        yield Target("address", **at, port=listen["port"], **where)


def _inside(service: Service, image_ports: Callable[[str], list[int]]) -> Iterator[Target]:
    """Each container's ports: by its name, by its own address, and at the host's address, where it may not be."""
    if service["listens"]:
        return  # on which networks it is, the catalogue does not say
    inside = {(side["container"], side["port"]) for side in (service["http"], service["api"]) if side}
    for container, reference in service["images"].items():
        inside |= {(container, port) for port in image_ports(reference)}
    for container, port in sorted(inside):
        at = {"service": service["name"], "host": service["host"], "port": port, "container": container}
        yield Target("name", **at)
        yield Target("direct", **at)
        if (service["address"], port) not in {(t.address, t.port) for t in _published(service)}:
            yield Target("address", **at, address=service["address"])


def _is_tried(origin: Origin, target: Target) -> bool:
    """A host's own processes reach its containers at their addresses, and other hosts have no route to them."""
    return (
        target.way != "direct"
        or origin.host is None
        or (origin.kind != "host" and origin.host == target.host)
    )


def _is_anyones_guess(fleet: Fleet, origin: Origin, target: Target) -> bool:
    """A port that the image declares, of a container that its neighbours may talk to: whether it listens there depends
    on its settings, of which the catalogue knows nothing.
    """
    service = _service(fleet, target)
    declared = {side["port"] for side in (service["http"], service["api"]) if side}
    declared |= {port for port in service["front_door"].values() if isinstance(port, int)}
    declared |= {port for container, port in _outpost(fleet) if container == target.container}
    beside = origin.kind == "container" and origin.host == target.host
    guessed = target.way in ("name", "direct") and target.port not in declared
    return beside and guessed and _is_shared(fleet, service, target)


def _service(fleet: Fleet, target: Target) -> Service:
    def is_it(service: Service) -> bool:
        if target.way == "route":
            return service["fqdn"] == target.fqdn
        return (service["name"], service["host"]) == (target.service, target.host)

    return next(service for service in fleet["services"] if is_it(service))


def _expected(fleet: Fleet, origin: Origin, target: Target, credentials: bool) -> str:
    service = _service(fleet, target)
    if target.way == "address":
        return REACHED if _admitted(fleet, origin, service, target) else CLOSED
    if target.way == "route":
        return _of_route(fleet, origin, service, target, credentials)
    together = origin.kind == "container" and origin.host == target.host
    return REACHED if together and _is_shared(fleet, service, target) else CLOSED


def _is_shared(fleet: Fleet, service: Service, target: Target) -> bool:
    """Whether a container is on `frontend`: what people or services talk to, the front door, the sign-on's outpost."""
    sides = {side["container"] for side in (service["http"], service["api"]) if side}
    if service["front_door"]:
        sides.add(service["name"])
    outposts = {container for container, _port in _outpost(fleet)}
    return (service["network"] == "frontend" and target.container in sides) or target.container in outposts


def _outpost(fleet: Fleet) -> list[tuple[str | None, int | None]]:
    """Container and port of the sign-on's outpost, if there is one: Traefik talks to it."""
    url = urlsplit(fleet["sign_on"]["outpost"]) if fleet["sign_on"] else None
    return [(url.hostname, url.port)] if url else []


def _admitted(fleet: Fleet, origin: Origin, service: Service, target: Target) -> bool:
    """Whether a packet from there may arrive at this port of a host's address."""
    door = target.port in service["front_door"].values()
    listens = [
        item
        for item in service["listens"]
        if (item["port"], item["protocol"]) == (target.port, target.protocol)
    ]
    published = (service["publish"] or "").rpartition(":")[2] == str(target.port)
    if not (door or listens or published):
        return False
    if origin.kind == "host" and origin.host == service["host"]:
        return True
    if door:
        return _within(origin, {"lan": "private", "public": "anyone"}.get(_width(fleet, service)))
    if listens:
        return _within(origin, listens[0]["open_to"])
    # Its own host's containers come under addresses of their own, which are nobody's who uses it.
    return origin.host != service["host"] and origin.host in _hosts_of_users(fleet, service)


def _within(origin: Origin, whom: str | None) -> bool:
    """The lab's hosts and their containers have private addresses."""
    if whom == "platform":
        return origin.host is not None
    return whom == "anyone" or (whom == "private" and origin.kind != "outsider")


def _width(fleet: Fleet, door: Service) -> str:
    """The widest access of what the front door serves."""
    behind = [
        door["access"],
        *(item["access"] for item in fleet["services"] if item["front"] == door["host"]),
    ]
    return next(access for access in ("public", "lan", "local") if access in behind)


def _hosts_of_users(fleet: Fleet, service: Service) -> set[str]:
    """Any process of a host that runs a user of the service: hosts are told apart, what runs on them is not."""
    hosts = {service["front"]} - {None}
    for user in fleet["services"]:
        if any(item["host"] == service["host"] for item in user["uses"].get(service["name"], ())):
            hosts.add(user["host"])
    return hosts


def _of_route(fleet: Fleet, origin: Origin, service: Service, target: Target, credentials: bool) -> str:
    door = next(item for item in _doors(fleet) if item["host"] == target.host)
    at_door = Target("address", door["name"], door["host"], target.port, address=door["address"])
    if not _admitted(fleet, origin, door, at_door):
        return CLOSED
    if target.guard == "internal":
        return NO_ROUTE
    if service["access"] == "lan" and origin.kind == "outsider":
        return TURNED_AWAY
    if target.guard in ("open", "oidc") or credentials:
        return ANSWERED
    return TURNED_AWAY


def _doors(fleet: Fleet) -> list[Service]:
    return [service for service in fleet["services"] if service["front_door"]]


def outcome(tried: Mapping[str, Any], fleet: Fleet) -> str:
    """What came of a try, in the words above; tried: the answer of reach_probe.py."""
    status = tried.get("status")
    if status is None:
        return REACHED if tried["reached"] else CLOSED
    sign_on = fleet["sign_on"]
    if sign_on and status in (302, 303, 307) and sign_on["fqdn"] in tried["location"]:
        return TURNED_AWAY
    return {401: TURNED_AWAY, 403: TURNED_AWAY, 404: NO_ROUTE}.get(
        status, ANSWERED if status < 500 else f"{status}"
    )
