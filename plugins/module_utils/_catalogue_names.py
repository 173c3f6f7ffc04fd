# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Public names by the front door that serves them, and the ports that are bound on each host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ._catalogue_settings import LABEL
from .digest import digest
from .problems import Problem, show
from .service_spec import ServiceSpec


def name_services(
    specs: Mapping[str, ServiceSpec],
    services: list[dict[str, Any]],
    settings: Mapping[str, Mapping[str, Any]],
    problems: list[Problem],
) -> None:
    """Give each service its public name and address, by the front door that serves it."""
    doors = [service for service in services if service["front_door"]]
    for door in doors:
        place = specs[door["name"]].front_door.get("trust")
        for service in services:
            if place and service["host"] == door["host"]:
                service["trust"] = f"{settings[door['host']]['data_dir']}/{place}"
    taken: dict[str, dict[str, Any]] = {}
    for service in services:
        variable = f"{service['name']}_hostname"
        if service["hostname"] is None:
            continue
        if not (isinstance(service["hostname"], str) and LABEL.fullmatch(service["hostname"])):
            expected = "is not one label of a host name: a-z, 0-9 and -"
            value = show(service["hostname"])
            problems.append(Problem(service["host"], variable, value, expected, "write it like chat"))
            continue
        service["fqdn"] = f"{service['hostname']}.{service['domain']}"
        if service["http"] and any(route["guard"] != "internal" for route in service["http"]["routes"]):
            _open_door(service, doors, taken, variable, problems)


def export(services: Iterable[dict[str, Any]]) -> None:
    """Mark what others see of each service, so that a run can tell whose files go stale with it."""
    seen = ("address", "access", "acme", "publish", "url", "fqdn", "http", "models", "serves", "front_door")
    signed = ("title", "description", "groups", "oidc", "network")
    for service in services:
        service["exports"] = digest({key: service[key] for key in (*seen, *signed)})


def _open_door(
    service: dict[str, Any],
    doors: list[dict[str, Any]],
    taken: dict[str, dict[str, Any]],
    variable: str,
    problems: list[Problem],
) -> None:
    other = taken.setdefault(service["fqdn"], service)
    if other is not service:
        expected = f"also the hostname of {other['name']} on {other['host']}"
        remedy = "give one of them another name"
        problems.append(Problem(service["host"], variable, service["hostname"], expected, remedy))
    near = [door for door in doors if door["host"] == service["host"]] or doors
    if not near:
        return
    port = near[0]["front_door"].get("https", 443)
    service["front"] = near[0]["host"]
    service["url"] = f"https://{service['fqdn']}" + ("" if port == 443 else f":{port}")


def ports(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ports a service binds on its host: [{port, protocol, address, variable}]."""
    bound = [
        {"port": port, "protocol": "tcp", "address": "0.0.0.0", "variable": f"{service['name']}_{name}_port"}
        for name, port in service["front_door"].items()
        if isinstance(port, int)
    ]
    bound += [
        {key: listen[key] for key in ("port", "protocol", "address", "variable")}
        for listen in service["listens"]
        if isinstance(listen["port"], int)
    ]
    if service["publish"]:
        address, _sep, port = service["publish"].rpartition(":")
        if port.isdigit():
            variable = f"{service['name']}_port"
            bound.append(
                {"port": int(port), "protocol": "tcp", "address": address.strip("[]"), "variable": variable}
            )
    return bound


def check_ports(services: Iterable[Mapping[str, Any]], problems: list[Problem]) -> None:
    taken: dict[tuple[str, str, int], tuple[str, str]] = {}
    for service in services:
        for bound in ports(service):
            key = (service["host"], bound["protocol"], bound["port"])
            holder = taken.setdefault(key, (service["name"], bound["variable"]))
            if holder != (service["name"], bound["variable"]):
                expected = f"also {holder[1]} of {holder[0]} on {service['host']}"
                value = str(bound["port"])
                remedy = "give one of them another port"
                problems.append(Problem(service["host"], bound["variable"], value, expected, remedy))
            if not 1 <= bound["port"] <= 65535:
                expected = "is not a port number"
                remedy = "1 to 65535"
                problems.append(
                    Problem(service["host"], bound["variable"], str(bound["port"]), expected, remedy)
                )
