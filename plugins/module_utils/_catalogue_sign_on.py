# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single sign-on: who offers it, for whom, and which guards it makes possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .problems import Problem, show
from .service_spec import ServiceSpec

SHARED_NETWORK = "frontend"


def resolve_sign_on(
    specs: Mapping[str, ServiceSpec], services: Sequence[dict[str, Any]], problems: list[Problem]
) -> dict[str, Any] | None:
    """The platform's sign-on, or None; gives each service `sign_on`, `forward_auth`, `oidc` and `network`.

    After `name_services`: it goes by public names.
    """
    found = _sign_on(specs, services, problems)
    for service in services:
        near = found is not None and service["front"] == found["host"]
        service["sign_on"] = found if near else None
        guards = {route["guard"] for route in service["http"]["routes"]} if service["http"] else set()
        service["forward_auth"] = near and not guards.isdisjoint({"sso", "admin"})
        problems.extend(_problems(specs, service, guards, found))
        if near and found and "oidc" in guards and service["host"] != found["host"]:
            problems.extend(_unbelieved(specs, services, service, found))
        if near and found and "oidc" in guards:
            service["oidc"] = _oidc(specs[service["name"]], service, found)
        http = specs[service["name"]].http
        if http and http.trusts_sign_on and "sso" in guards:
            service["network"] = f"{service['name']}_door"
            if service["front"] not in (service["host"], None):
                expected = "guard sso: it believes whoever reaches it, and its front door is on another host"
                remedy = f"use oidc, or run {service['name']} on {service['front']}"
                variable = f"{service['name']}_guard"
                problems.append(Problem(service["host"], variable, "sso", expected, remedy))
        if (spec := specs[service["name"]].oidc) and not service["oidc"]:
            service["secrets"].remove(spec.secret)  # nobody needs one that is not used
    _share_client_secrets(services, found)
    return found


def _sign_on(
    specs: Mapping[str, ServiceSpec], services: Sequence[Mapping[str, Any]], problems: list[Problem]
) -> dict[str, Any] | None:
    found = [(service, specs[service["name"]].sign_on) for service in services]
    offers = [(service, sign_on) for service, sign_on in found if sign_on]
    for other, _sign_on in offers[1:]:
        expected = (
            f"{offers[0][0]['name']} on {offers[0][0]['host']} is the platform's single sign-on already"
        )
        remedy = f"leave {other['name']} out of one of them"
        problems.append(Problem(other["host"], "stacks", other["name"], expected, remedy))
    if not offers:
        return None
    service, sign_on = offers[0]
    if service["front"] != service["host"]:
        expected = "single sign-on runs beside the front door, and this host has none"
        remedy = (
            f"move {service['name']} to {service['front'] or 'a host with a front door'}, or add one here"
        )
        problems.append(Problem(service["host"], "stacks", service["name"], expected, remedy))
        return None
    return {
        "service": service["name"],
        "host": service["host"],
        "fqdn": service["fqdn"],
        "url": service["url"],
        "outpost": f"http://{sign_on.container}:{sign_on.port}",
        "check": sign_on.check,
        "headers": list(sign_on.headers),
        "path": sign_on.path,
        "issuer": sign_on.issuer,
    }


def _unbelieved(
    specs: Mapping[str, ServiceSpec],
    services: Sequence[Mapping[str, Any]],
    service: Mapping[str, Any],
    sign_on: Mapping[str, Any],
) -> list[Problem]:
    """An application asks the sign-on by its public name, and its host does not know the front door's authority."""
    [door] = [item for item in services if item["front_door"] and item["host"] == sign_on["host"]]
    given = door["variables"].get(specs[door["name"]].front_door.get("certificate", ""))
    [offer] = [
        item for item in services if (item["name"], item["host"]) == (sign_on["service"], door["host"])
    ]
    if given or offer["access"] == "public":
        return []
    expected = f"guard oidc: the authority that vouches for {sign_on['fqdn']} is known on {door['host']} only"
    remedy = f"run {service['name']} on {door['host']}, or give {door['name']} a certificate that everybody believes"
    return [Problem(service["host"], f"{service['name']}_guard", "oidc", expected, remedy)]


def _oidc(spec: ServiceSpec, service: Mapping[str, Any], sign_on: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the service and the sign-on agree upon; None where the service cannot do it, which is reported."""
    if spec.oidc is None:
        return None
    issuer = sign_on["url"] + sign_on["issuer"].format(name=service["name"])
    return {
        "client_id": service["name"],
        "secret": spec.oidc.secret,
        "redirects": [service["url"] + path for path in spec.oidc.redirects],
        "issuer": issuer,
        "discovery": f"{issuer}.well-known/openid-configuration",
    }


def _share_client_secrets(services: Sequence[dict[str, Any]], sign_on: Mapping[str, Any] | None) -> None:
    """The sign-on reads the secrets of the applications that sign in at it."""
    for service in services:
        if sign_on and (service["name"], service["host"]) == (sign_on["service"], sign_on["host"]):
            wanted = [other["oidc"]["secret"] for other in services if other["oidc"]]
            service["secrets"] += [name for name in wanted if name not in service["secrets"]]


def _problems(
    specs: Mapping[str, ServiceSpec],
    service: Mapping[str, Any],
    guards: set[str],
    sign_on: Mapping[str, Any] | None,
) -> list[Problem]:
    host, name = service["host"], service["name"]
    variable = f"{name}_guard"
    problems = []
    for guard in sorted(guards & {"sso", "oidc"}):
        if sign_on is None:
            known = ", ".join(other for other, spec in specs.items() if spec.sign_on) or "one"
            expected = f"guard {guard} needs a single sign-on service, and no host runs one"
            remedy = f"add {known} to the stacks of the front door's host, or use basic or open"
            problems.append(Problem(host, variable, guard, expected, remedy))
        elif service["front"] != sign_on["host"]:
            expected = f"guard {guard}: {sign_on['service']} is on {sign_on['host']}, and people come in by "
            expected += f"{service['front']}" if service["front"] else "no front door"
            remedy = f"run {name} behind the front door of {sign_on['host']}, or use basic or open"
            problems.append(Problem(host, variable, guard, expected, remedy))
        if guard == "oidc" and specs[name].oidc is None:
            expected = f"guard oidc: {name} cannot sign people in by itself (its service.yml has no oidc)"
            problems.append(Problem(host, variable, guard, expected, "use sso"))
    if "oidc" in guards and guards & ({"sso", "admin"} if sign_on else {"sso"}):
        expected = "guard oidc beside sso or admin: sign-on knows one application by a name"
        problems.append(Problem(host, variable, "oidc", expected, "use one of them for all routes"))
    groups = f"{name}_groups"
    if service["groups"] and not guards & ({"sso", "oidc", "admin"} if sign_on else {"sso", "oidc"}):
        expected = f"would keep nobody out: no route of {name} asks the single sign-on"
        problems.append(
            Problem(host, groups, show(service["groups"]), expected, "set its guard to sso or oidc")
        )
    if sign_on and {"sso", "admin"} <= guards and not service["groups"]:
        expected = "guards sso and admin under one name, and sign-on admits to a name, not to a path"
        problems.append(Problem(host, groups, None, expected, "name the groups that may see both"))
    return problems
