# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How containers resolve the platform's names: by its own resolvers, or by a few names written into each container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._catalogue_sign_on import SHARED_NETWORK
from .service_spec import ServiceSpec

# A container's resolver has an address and no port.
_PORT = 53


def resolve_names(specs: Mapping[str, ServiceSpec], services: Sequence[dict[str, Any]]) -> None:
    """Give each service `dns`, the resolvers' addresses, or where there is none `extra_hosts`, name → address.

    Only the names that a service needs, so that a new service elsewhere makes no container anew: those of the services
    that it uses, and of the sign-on service where it signs people in itself. After names and links are resolved.
    """
    resolvers = [service["address"] for service in services if _answers(service)]
    placed = {(service["host"], service["name"]): service for service in services}
    addresses = {service["host"]: service["address"] for service in services}
    sign_on = [service for service in services if specs[service["name"]].sign_on]
    for service in services:
        if resolvers and not service["resolver"]:
            service["dns"] = list(resolvers)
        elif not resolvers:
            service["extra_hosts"] = _needed(service, placed, sign_on, addresses)


def _answers(service: Mapping[str, Any]) -> bool:
    resolver = service["resolver"]
    return bool(resolver) and resolver["port"] == _PORT and not _is_loopback(service["address"])


def _needed(
    service: Mapping[str, Any],
    placed: Mapping[tuple[str, str], Mapping[str, Any]],
    sign_on: Sequence[Mapping[str, Any]],
    addresses: Mapping[str, Any],
) -> dict[str, str]:
    # One that meets the front door alone finds these names as the door's aliases there.
    uses = service["uses"].values() if service["network"] == SHARED_NETWORK else ()
    others = [placed[item["host"], item["name"]] for providers in uses for item in providers]
    if any(route["guard"] == "oidc" for route in (service["http"] or {}).get("routes", ())):
        # On its front door's host the front door itself has this name, as an alias in `frontend`.
        others += [other for other in sign_on if (other["front"] or other["host"]) != service["host"]]
    found: dict[str, str] = {}
    for other in others:
        address = addresses.get(other["front"] or other["host"])
        if other["fqdn"] and address and not _is_loopback(address):
            found.setdefault(other["fqdn"], address)
    return dict(sorted(found.items()))


def _is_loopback(address: Any) -> bool:
    return str(address).startswith("127.") or address == "::1"
