# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Traefik is told about single sign-on: the forward-auth middleware, and the path that it needs under each name.

Fails closed: while the outpost does not answer, Traefik answers the guarded routes with an error of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .view_traefik import ACCESS

NAME = "sign-on"
# Above every route of a service: the outpost's path is never an application's.
PRIORITY = 10000
# The answer to one question is a redirect or a few headers; more is not read.
LARGEST_ANSWER = 1024 * 1024


def dynamic(fleet: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Traefik's file-provider configuration of the sign-on on `host`; empty where people come in by another host."""
    sign_on = fleet["sign_on"]
    if not sign_on or sign_on["host"] != host:
        return {}
    guarded = [
        service for service in fleet["services"] if service["front"] == host and service["forward_auth"]
    ]
    http = {
        "middlewares": {NAME: {"forwardAuth": _forward_auth(sign_on)}},
        "services": {NAME: {"loadBalancer": {"servers": [{"url": sign_on["outpost"]}]}}},
        "routers": {f"{NAME}-{service['name']}": _router(service, sign_on) for service in guarded},
    }
    return {"http": {key: value for key, value in http.items() if value}}


def _forward_auth(sign_on: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "address": sign_on["outpost"] + sign_on["check"],
        # The outpost finds the application by X-Forwarded-Host. The entry point believes no client's: it is Traefik's.
        "trustForwardHeader": True,
        "maxResponseBodySize": LARGEST_ANSWER,
        "authResponseHeaders": sign_on["headers"],
    }


def _router(service: Mapping[str, Any], sign_on: Mapping[str, Any]) -> dict[str, Any]:
    """Where a browser comes back to after signing in: kept to whom the service is kept, but not behind itself."""
    return {
        "rule": f"Host(`{service['fqdn']}`) && PathPrefix(`{sign_on['path']}/`)",
        "priority": PRIORITY,
        "entryPoints": ["websecure"],
        "tls": {},
        "service": NAME,
        "middlewares": list(ACCESS.get(service["access"], ())),
    }
