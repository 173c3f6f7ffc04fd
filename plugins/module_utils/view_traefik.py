# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Traefik is told about the platform: labels on this host's containers, a file for the other hosts' services.

Pure functions over the dictionaries of the catalogue (docs/architecture.md). The middlewares are those of the role
traefik's config/dynamic/middlewares.yaml; what every route goes through hangs on the entry point, not on routers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any
from urllib.parse import urlsplit

NOBODY = "nobody@file"
# A replica that went away is noticed after requests were sent to it: those are sent to another one.
RETRY = "retry@file"
# Of services whose requests may be acted on twice also those that a replica broke off before it began to answer.
REPEAT = "repeat@file"
# Seconds between two looks at a replica, and until one counts as failed: it accepts, and answers nothing.
_LOOK_EVERY = _LOOK_PATIENCE = 2
# Access → what it adds to every route of the service.
ACCESS: dict[str, tuple[str, ...]] = {
    "local": (),
    "lan": ("private-only@file",),
    "public": ("hsts@file",),
}
# Guard → what it adds. `key` adds nothing: forward-auth or htpasswd would eat the Authorization header.
GUARDS: dict[str, tuple[str, ...]] = {
    "open": (),
    "key": (),
    "oidc": (),
    "basic": ("basic@file",),
    "admin": ("admin@file",),
    "sso": ("sign-on@file",),
}
INTERNAL = "internal"
# The role's certificate resolver.
RESOLVER = "acme"

_FQDN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_PATH = re.compile(r"/[A-Za-z0-9._~!&'()*+,;=:@/-]*")


def labels(
    service: Mapping[str, Any],
    network: str | None = None,
    entrypoint: str = "websecure",
) -> dict[str, str]:
    """The labels for the container that Traefik reaches: name → value, unquoted, `$` single.

    service: `name`, `fqdn`, `http` with `port` and perhaps `routes` [{guard, paths}], perhaps `access`. Without routes
    everything is open; without access nothing is kept to private addresses. A service that has no route to the
    outside gets `traefik.enable: "false"` alone.
    network: where Traefik meets the container, by default the service's own `network`, else frontend; entrypoint:
    Traefik's. Raises ValueError.
    """
    routers = _routers(service)
    if not routers:
        return {"traefik.enable": "false"}
    network = network or service.get("network", "frontend")
    edition = _edition(service, routers, network, entrypoint) if _replicated(service) else ""
    name = service["name"] + edition
    found = {"traefik.enable": "true", "traefik.docker.network": network}
    for key, router in routers.items():
        router_label = f"traefik.http.routers.{key}{edition}"
        found[f"{router_label}.rule"] = router["rule"]
        found[f"{router_label}.priority"] = str(router["priority"])
        found[f"{router_label}.entrypoints"] = entrypoint
        found[f"{router_label}.tls"] = "true"
        found[f"{router_label}.service"] = name
        if router["middlewares"]:
            found[f"{router_label}.middlewares"] = ",".join(router["middlewares"])
        for index, domain in enumerate(router["tls"].get("domains", ())):
            found[f"{router_label}.tls.domains[{index}].main"] = domain["main"]
        if "certResolver" in router["tls"]:
            found[f"{router_label}.tls.certresolver"] = router["tls"]["certResolver"]
    balancer = f"traefik.http.services.{name}.loadbalancer"
    found[f"{balancer}.server.port"] = str(service["http"]["port"])
    if _replicated(service) and service["http"].get("health"):
        found[f"{balancer}.healthcheck.path"] = service["http"]["health"]
        found[f"{balancer}.healthcheck.interval"] = f"{_LOOK_EVERY}s"
        found[f"{balancer}.healthcheck.timeout"] = f"{_LOOK_PATIENCE}s"
    return found


def routes(fleet: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Traefik's file-provider configuration on `host` for the services of other hosts that it fronts.

    Empty without any. Raises ValueError for a service with routes that publishes no port to reach it by.
    """
    routers: dict[str, Any] = {}
    services: dict[str, Any] = {}
    for service in fleet["services"]:
        if service["front"] != host or service["host"] == host:
            continue
        name = f"{service['name']}-{service['host']}"
        found = _routers(service)
        if not found:
            continue
        if not service["publish"] or service["api"]["port"] != service["http"]["port"]:
            raise ValueError(
                f"{service['name']} on {service['host']} does not publish the port of its `http`; expected an `api` "
                f"with the same port in its service.yml, so that Traefik on {host} can reach it"
            )
        for key, router in found.items():
            routers[f"{key}-{service['host']}"] = {
                "rule": router["rule"],
                "priority": router["priority"],
                "entryPoints": ["websecure"],
                "tls": router["tls"],
                "service": name,
                "middlewares": router["middlewares"],
            }
        services[name] = {"loadBalancer": {"servers": [{"url": f"http://{service['publish']}"}]}}
    return {"http": {"routers": routers, "services": services}} if routers else {}


def dashboard(service: Mapping[str, Any]) -> dict[str, Any]:
    """The file-provider configuration of Traefik's own page; empty where `service`, Traefik itself, has no route."""
    routers = {
        key: {
            "rule": router["rule"],
            "priority": router["priority"],
            "entryPoints": ["websecure"],
            "tls": router["tls"],
            "service": "api@internal",
            "middlewares": router["middlewares"],
        }
        for key, router in _routers(service).items()
    }
    return {"http": {"routers": routers}} if routers else {}


def names(fleet: Mapping[str, Any], host: str) -> list[str]:
    """The names in the certificate that the platform's own authority issues for the front door on `host`, in order.

    Every routed service's name, and the wildcard of each domain that has a dot: no client believes `*.localhost`. None
    that comes by ACME, because Traefik asks for no certificate for a name that it has one for; where that is all
    names, one that nobody has.
    """
    fronted = [service for service in fleet["services"] if service["front"] == host]
    by_acme = [service for service in fronted if service["acme"]]
    own = {service["fqdn"] for service in fronted if not service["acme"]}
    near = [service for service in fleet["services"] if host in (service["front"], service["host"])]
    domains = {service["domain"] for service in near} - {service["domain"] for service in by_acme}
    if by_acme and not own:
        return [f"nobody.{by_acme[0]['domain']}"]
    return sorted(own) + sorted(f"*.{domain}" for domain in domains if "." in domain)


def acme_names(fleet: Mapping[str, Any], host: str) -> list[str]:
    """The public names for which the front door on `host` gets certificates by ACME, in order."""
    return sorted(s["fqdn"] for s in fleet["services"] if s["front"] == host and s["acme"])


def networks(fleet: Mapping[str, Any], host: str) -> dict[str, list[str]]:
    """The shared networks that Traefik on `host` joins: network → the platform's names that it has as aliases there.

    In `frontend` the sign-on's name, by which applications check who signed in; in the network of a service that meets
    Traefik alone the names of what that service uses. Containers then reach these as browsers do.
    """
    sign_on = fleet.get("sign_on")
    found = {"frontend": [sign_on["fqdn"]] if sign_on and sign_on["host"] == host else []}
    for service in fleet["services"]:
        if service["host"] == host and service["network"] != "frontend":
            used = [provider for providers in service["uses"].values() for provider in providers]
            urls = [urlsplit(provider["url"] or "") for provider in used]
            found[service["network"]] = sorted({str(url.hostname) for url in urls if url.scheme == "https"})
    return found


def _routers(service: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Router name → rule, priority, middlewares, tls, for each route that leads outside.

    An internal route below one that leads outside becomes a router too, one that turns everybody away: without it the
    other route would answer for its paths.
    """
    _check(service)
    if not service.get("http"):
        return {}
    by_access = ACCESS.get(service.get("access", "local"), ())
    all_routes = _routes_of(service["http"])
    outside = [route for route in all_routes if route["guard"] != INTERNAL]
    found = {}
    for index, route in enumerate(all_routes):
        paths = _paths(route)
        if route["guard"] != INTERNAL:
            again = (_again(service["http"]),) if _replicated(service) else ()
            middlewares = [*by_access, *GUARDS[route["guard"]], *again]
        elif any(_refines(path, other) for path in paths for other in outside):
            middlewares = [NOBODY]
        else:
            continue
        name = service["name"] if index == 0 else f"{service['name']}-{index}"
        found[route.get("name", name)] = {
            "rule": _rule(service["fqdn"], route.get("paths") or ()),
            "priority": _priority(paths),
            "middlewares": middlewares,
            "tls": _tls(service),
        }
    return found


def _replicated(service: Mapping[str, Any]) -> bool:
    """Whether there are several of the container that Traefik reaches."""
    return bool(service.get("replicated")) and service["replicated"] == service["http"].get("container")


def _again(http: Mapping[str, Any]) -> str:
    return REPEAT if http.get("repeatable") else RETRY


def _edition(service: Mapping[str, Any], *said: Any) -> str:
    """An ending for names that differs where anything that the labels say does.

    While replicas are replaced, old and new ones stand side by side. Traefik drops a router that two containers
    describe differently; under names of their own both serve.
    """
    text = json.dumps([service["http"], *said], sort_keys=True)
    return f"-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _tls(service: Mapping[str, Any]) -> dict[str, Any]:
    """Where the router's certificate comes from; empty: from the store of the role's config/dynamic/tls.yaml.

    By DNS one certificate serves all names of the domain, and the public lists of certificates do not show the names.
    """
    if not service.get("acme"):
        return {}
    by_dns = {"domains": [{"main": f"*.{service['domain']}"}]} if service["acme"] == "dns-01" else {}
    return {"certResolver": RESOLVER, **by_dns}


def _routes_of(http: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return http.get("routes") or [{"guard": "open"}]


def _paths(route: Mapping[str, Any]) -> Sequence[str]:
    return list(route.get("paths") or ("/",))


def _refines(path: str, general: Mapping[str, Any]) -> bool:
    """Whether the path lies within one of the route's paths."""
    return any((path.rstrip("/") + "/").startswith(above.rstrip("/") + "/") for above in _paths(general))


def _rule(fqdn: str, paths: Iterable[str]) -> str:
    """Whole segments: `/v1` also admits `/v1/models`, never `/v1beta`, which another guard may have to hold."""
    matchers = []
    for path in paths:
        if path.endswith("/"):
            matchers.append(f"PathPrefix(`{path}`)")
        else:
            matchers += [f"Path(`{path}`)", f"PathPrefix(`{path}/`)"]
    if not matchers:
        return f"Host(`{fqdn}`)"
    return f"Host(`{fqdn}`) && ({' || '.join(matchers)})"


def _priority(paths: Sequence[str]) -> int:
    """The deeper route wins. Traefik's own measure, the rule's length, would prefer many short paths to one long."""
    return 1 + min(len(path.rstrip("/")) for path in paths)


def _check(service: Mapping[str, Any]) -> None:
    name = service.get("name")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise _wrong("name", name, "lower-case letters, digits, _ and -")
    if service.get("access", "local") not in ACCESS:
        raise _wrong(f"{name}: access", service["access"], f"one of {', '.join(ACCESS)}")
    http = service.get("http")
    if not http:
        return
    if not isinstance(http, Mapping):
        raise _wrong(f"{name}: http", http, "a dictionary with `port`")
    port = http.get("port")
    if isinstance(port, bool) or not (isinstance(port, int) and 1 <= port <= 65535):
        raise _wrong(f"{name}: http.port", port, "the container's port, 1 to 65535")
    all_routes = _routes_of(http)
    for index, route in enumerate(all_routes):
        _check_route(f"{name}: http.routes[{index}]", route)
    if any(route["guard"] != INTERNAL for route in all_routes):
        fqdn = service.get("fqdn")
        if not (isinstance(fqdn, str) and _FQDN.fullmatch(fqdn)):
            raise _wrong(f"{name}: fqdn", fqdn, "a full host name in lower case, such as wiki.example.org")
    _check_order(str(name), all_routes)


def _check_route(where: str, route: Any) -> None:
    if not isinstance(route, Mapping) or "guard" not in route:
        raise _wrong(where, route, "a dictionary with `guard`, perhaps with `paths`")
    if route["guard"] not in (*GUARDS, INTERNAL):
        raise _wrong(f"{where}.guard", route["guard"], f"one of {', '.join((*GUARDS, INTERNAL))}")
    for path in route.get("paths") or ():
        if not (isinstance(path, str) and _PATH.fullmatch(path)):
            raise _wrong(f"{where}.paths", path, "a path that begins with / and has no spaces, quotes or ?")


def _check_order(name: str, all_routes: Sequence[Mapping[str, Any]]) -> None:
    """One priority a route is enough as long as a path that refines another route's belongs to a deeper route."""
    for special, general in permutations(all_routes, 2):
        if _priority(_paths(special)) > _priority(_paths(general)):
            continue
        for path in _paths(special):
            if _refines(path, general):
                raise _wrong(
                    f"{name}: http.routes", path, "a path of one route only, or a route of its own for it"
                )


def _wrong(where: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{where} = {value!r}: expected {expected}")
