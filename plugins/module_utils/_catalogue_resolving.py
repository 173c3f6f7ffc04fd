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
    resolvers = [
        service["address"]
        for service in services
        if service["resolver"] and _answers(specs[service["name"]], service)
    ]
    for service in services:
        if resolvers and not service["resolver"]:
            service["dns"] = list(resolvers)
        elif not resolvers:
            service["extra_hosts"] = _needed(specs, service, services)


def _answers(spec: ServiceSpec, service: Mapping[str, Any]) -> bool:
    port = service["variables"][spec.resolver.port] if spec.resolver else None
    return port == _PORT and not _is_loopback(service["address"])


def _needed(
    specs: Mapping[str, ServiceSpec], service: Mapping[str, Any], services: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    used = {(item["host"], item["name"]) for providers in service["uses"].values() for item in providers}
    signs_in = any(route["guard"] == "oidc" for route in (service["http"] or {}).get("routes", ()))
    addresses = {item["host"]: item["address"] for item in services}
    found: dict[str, str] = {}
    for other in services:
        place = other["front"] or other["host"]
        if specs[other["name"]].sign_on:
            # On its front door's host the front door itself has this name, as an alias in `frontend`.
            wanted = signs_in and place != service["host"]
        elif service["network"] != SHARED_NETWORK:
            wanted = False  # the front door, which it meets alone, has these names as aliases there
        else:
            wanted = (other["host"], other["name"]) in used
        if wanted and other["fqdn"] and not _is_loopback(addresses[place]):
            found.setdefault(other["fqdn"], addresses[place])
    return dict(sorted(found.items()))


def _is_loopback(address: Any) -> bool:
    return str(address).startswith("127.") or address == "::1"
