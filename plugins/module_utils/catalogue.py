# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue: from every service's description and every host's variables to the whole platform.

Pure: values in, plain data and problems out. It knows no service by name and reads no gathered fact, so that a run
limited to one host sees the same platform as a full one. What it returns is explained in docs/architecture.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import netaddr

from . import secrets as secret_rules
from .models import parse_models
from .platform import OPTIONS
from .problems import EVERY_HOST, Problem, show
from .service_spec import Secret, ServiceSpec
from .variables import check_value, known_names, misspelt

_LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_DOMAIN_OF = {"local": "localhost", "lan": "lan"}
_DOOR_PORTS = ("http", "https")
_LIMITS = ("cpus", "memory", "reserve_cpus", "reserve_memory")


@dataclass(frozen=True)
class Host:
    """A host of the inventory.

    groups: its groups' names; variables: the values of those variables that Hearth knows, templated; names: the names
    of all its variables, to find misspelt ones; broken: variables that could not be templated, name → why.
    """

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Any]
    names: tuple[str, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Platform:
    """What `resolve` found: the fleet (plain data), each secret by name, and everything that is wrong."""

    fleet: dict[str, Any]
    secrets: dict[str, Secret]
    problems: list[Problem]


def resolve(specs: Mapping[str, ServiceSpec], hosts: Sequence[Host]) -> Platform:
    """Resolve the whole platform. Never raises for what an operator wrote: that ends in `problems`."""
    problems: list[Problem] = []
    secrets = _all_secrets(specs, hosts)
    _check_variables(specs, hosts, secrets, problems)
    settings = _settings(hosts, problems)
    placed = _placements(specs, hosts, settings, problems)
    _check_addresses(hosts, settings, problems)
    services = [_instance(specs[name], host, settings, problems) for host, name in placed]
    runs_on: dict[str, list[str]] = {}
    for host, name in placed:
        runs_on.setdefault(host.name, []).append(name)
    fleet = {
        "platform": _platform(settings, hosts),
        "hosts": {
            host.name: {
                "address": settings[host.name]["address"],
                "tiers": [tier for tier in ("trusted", "compute") if tier in host.groups],
                "services": runs_on.get(host.name, []),
                "directories": {
                    name: settings[host.name][name] for name in ("stacks_dir", "data_dir", "state_dir")
                },
            }
            for host in hosts
        },
        "services": services,
    }
    _link(specs, services, hosts, problems)
    _name(specs, services, settings, problems)
    _check_ports(services, problems)
    return Platform(fleet, secrets, problems)


def instances(
    fleet: Mapping[str, Any], host: str | None = None, name: str | None = None
) -> list[dict[str, Any]]:
    """The fleet's service dictionaries, of one host or one service if given."""
    return [
        service
        for service in fleet["services"]
        if (host is None or service["host"] == host) and (name is None or service["name"] == name)
    ]


def dependents(fleet: Mapping[str, Any], host: str, name: str) -> list[dict[str, Any]]:
    """The services whose rendered files contain something of `name` on `host`: those that go stale when it changes."""
    provider = instances(fleet, host, name)[0]
    found = []
    for service in fleet["services"]:
        if service is provider:
            continue
        uses = any(item["host"] == host for item in service["uses"].get(name, []))
        routes = bool(service["front_door"] and provider["http"] and provider["front"] == service["host"])
        keeps = any(client["service"] == name for client in service["clients"])
        if uses or keeps or (routes and service["host"] != host):
            found.append(service)
    return found


def digest(value: Any) -> str:
    """A short, stable fingerprint of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


# --- variables ---------------------------------------------------------------------------------------------------


def _all_secrets(specs: Mapping[str, ServiceSpec], hosts: Sequence[Host]) -> dict[str, Secret]:
    found: dict[str, Secret] = {}
    for spec in specs.values():
        runs_on = [host for host in hosts if spec.name in (host.variables.get("stacks") or [])]
        for secret in spec.secrets:
            for host in runs_on:
                variables = {**spec.variables, **host.variables}
                found.update({item.name: item for item in _expand(secret, variables)})
    return found


def _expand(secret: Secret, variables: Mapping[str, Any]) -> list[Secret]:
    try:
        return secret_rules.expand(secret, variables)
    except (AttributeError, TypeError):  # not a list of named items: reported by its argument_spec
        return []


def _check_variables(
    specs: Mapping[str, ServiceSpec],
    hosts: Sequence[Host],
    secrets: Mapping[str, Secret],
    problems: list[Problem],
) -> None:
    known = known_names(specs.values(), secrets)
    for host in hosts:
        own = host.variables.get("own_variables") or []
        for name, why in host.broken.items():
            problems.append(
                Problem(host.name, name, None, f"cannot be resolved: {why}", "mend it, or remove it")
            )
        problems.extend(misspelt(host.name, host.names, known, specs, own if isinstance(own, list) else []))
        for name, value in host.variables.items():
            if name in known and not name.startswith("vault_"):
                problems.extend(check_value(host.name, name, value, known[name]))
        for name in host.variables.get("stacks") or []:
            spec = specs.get(name)
            for option, described in spec.options.items() if spec else ():
                if described.get("required") and option not in host.variables:
                    remedy = f"set it in the inventory: {_first_line(described.get('description'))}"
                    problems.append(Problem(host.name, option, None, f"is required by {name}", remedy))


def _first_line(description: Any) -> str:
    return (
        description[0] if isinstance(description, list) and description else str(description or "")
    ).split("\n")[0]


def _settings(hosts: Sequence[Host], problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """The platform's variables for each host, defaults filled in."""
    settings = {}
    for host in hosts:
        values = {name: host.variables.get(name, option.get("default")) for name, option in OPTIONS.items()}
        values = {
            name: OPTIONS[name].get("default") if item is None else item for name, item in values.items()
        }
        if values["access"] not in OPTIONS["access"]["choices"]:
            values["access"] = "local"  # reported by its argument_spec; go on, to find the rest
        values["domain"] = values["domain"] or _DOMAIN_OF.get(values["access"])
        values["address"] = values["address"] or _default_address(host, len(hosts))
        settings[host.name] = values
    _check_domain(hosts, settings, problems)
    return settings


def _check_domain(
    hosts: Sequence[Host], settings: Mapping[str, dict[str, Any]], problems: list[Problem]
) -> None:
    for host in hosts:
        domain = settings[host.name]["domain"]
        if domain is None:
            remedy = "set domain to a zone of your own"
            problems.append(Problem(host.name, "domain", None, "is required where access is public", remedy))
            settings[host.name]["domain"] = "invalid"
        elif not all(_LABEL.match(label) for label in str(domain).split(".")):
            expected = "is not a domain name: labels of a-z, 0-9 and -, joined by dots"
            problems.append(
                Problem(host.name, "domain", show(domain), expected, "write it like home.example.org")
            )


def _default_address(host: Host, count: int) -> str | None:
    if host.variables.get("ansible_connection") == "local" and count == 1:
        return "127.0.0.1"
    written = host.variables.get("ansible_host", host.name)
    return (
        written if isinstance(written, str) and netaddr.valid_ipv4(written, flags=netaddr.INET_PTON) else None
    )


def _check_addresses(
    hosts: Sequence[Host], settings: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> None:
    holders: dict[str, str] = {}
    for host in hosts:
        address = settings[host.name]["address"]
        if not settings[host.name]["stacks"]:
            continue
        if address is None:
            expected = "is missing, and ansible_host is not an IP address"
            remedy = "set address to the IP address at which other hosts reach this one"
            problems.append(Problem(host.name, "address", None, expected, remedy))
        elif not _is_address(address):
            expected = "is not an IP address"
            problems.append(
                Problem(host.name, "address", show(address), expected, "write it like 10.2.0.190")
            )
        elif address in holders:
            expected = f"is also the address of {holders[address]}"
            problems.append(
                Problem(host.name, "address", address, expected, "give one of them another address")
            )
        else:
            holders[address] = host.name


def _is_address(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    return netaddr.valid_ipv4(text, flags=netaddr.INET_PTON) or netaddr.valid_ipv6(text)


def _platform(settings: Mapping[str, Mapping[str, Any]], hosts: Sequence[Host]) -> dict[str, Any]:
    first = settings[hosts[0].name] if hosts else {}
    return {"domain": first.get("domain"), "access": first.get("access")}


# --- who runs what ------------------------------------------------------------------------------------------------


def _placements(
    specs: Mapping[str, ServiceSpec],
    hosts: Sequence[Host],
    settings: Mapping[str, Mapping[str, Any]],
    problems: list[Problem],
) -> list[tuple[Host, str]]:
    """(host, service) in deploy order: hosts as in the inventory, services by their order."""
    placed: list[tuple[Host, str]] = []
    for host in hosts:
        stacks = settings[host.name]["stacks"]
        wanted = [name for name in stacks if isinstance(name, str)] if isinstance(stacks, list) else []
        for name in sorted({name for name in wanted if wanted.count(name) > 1}):
            problems.append(Problem(host.name, "stacks", name, "is listed twice", "list it once"))
        for name in dict.fromkeys(wanted):
            if name not in specs:
                similar = get_close_matches(name, specs, n=1)
                hint = f"did you mean {similar[0]}? " if similar else ""
                remedy = f"{hint}known services: {', '.join(sorted(specs))}"
                problems.append(Problem(host.name, "stacks", name, "is not a known service", remedy))
            elif _fits_tier(specs[name], host):
                placed.append((host, name))
            else:
                tier = specs[name].tier
                expected = f"{name} runs on {tier} hosts, and {host.name} is not in the group {tier}"
                remedy = f"put {host.name} into the group {tier}, or {name} on another host"
                problems.append(Problem(host.name, "stacks", name, expected, remedy))
    place = {host.name: index for index, host in enumerate(hosts)}
    return sorted(placed, key=lambda item: (place[item[0].name], specs[item[1]].order, item[1]))


def _fits_tier(spec: ServiceSpec, host: Host) -> bool:
    return spec.tier == "every" or spec.tier in host.groups


# --- one service on one host --------------------------------------------------------------------------------------


def _instance(
    spec: ServiceSpec, host: Host, settings: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> dict[str, Any]:
    own = settings[host.name]
    variables = {name: host.variables.get(name, default) for name, default in spec.variables.items()}
    in_volumes = own["data_in"] == "volumes"
    volumes = {name: f"{spec.name}_{name}" for name in spec.data}
    directories = {
        name: f"{own['data_dir']}/{item.path or f'{spec.name}/{name}'}" for name, item in spec.data.items()
    }
    secrets = [
        item for secret in spec.secrets for item in _expand(secret, {**spec.variables, **host.variables})
    ]
    return {
        "name": spec.name,
        "role": spec.role,
        "title": spec.title,
        "description": spec.description,
        "host": host.name,
        "tier": spec.tier,
        "order": spec.order,
        "stage": spec.stage,
        "address": own["address"],
        "access": own["access"],
        "domain": own["domain"],
        "hostname": variables.get(f"{spec.name}_hostname"),
        "fqdn": None,
        "url": None,
        "front": None,
        "front_door": {
            name: variables.get(variable) for name, variable in spec.front_door.items() if name in _DOOR_PORTS
        },
        "ca_file": f"{own['data_dir']}/{spec.front_door['ca']}" if "ca" in spec.front_door else None,
        "images": _images(spec, variables, own["image_mirror"]),
        "versions": {name: str(variables.get(image.version)) for name, image in spec.images.items()},
        "variables": variables,
        "resources": _resources(spec, host, problems),
        "http": _http(spec, host),
        "api": {"port": spec.api.port, "container": spec.api.container} if spec.api else None,
        "publish": None,
        "serves": _serves(spec),
        "models": _models(spec, variables, host, problems),
        "uses": {name: [] for name in spec.uses},
        "clients": [],
        "secrets": [item.name for item in secrets],
        "secrets_owner": spec.secrets_owner,
        "mounts": volumes if in_volumes else directories,
        "volumes": sorted(volumes.values()) if in_volumes else [],
        "directories": []
        if in_volumes
        else [
            {"path": directories[n], "owner": item.owner, "mode": item.mode} for n, item in spec.data.items()
        ],
        "stack_dir": f"{own['stacks_dir']}/{spec.name}",
        "data_dir": f"{own['data_dir']}/{spec.name}",
        "state_dir": own["state_dir"],
        "deadline": spec.deadline,
        "reload": dict(spec.reload),
        "check": dict(spec.check),
        "exports": None,
    }


def _images(spec: ServiceSpec, variables: Mapping[str, Any], mirror: str) -> dict[str, str]:
    found = {}
    for container, image in spec.images.items():
        name = image.name
        if mirror:
            registry, _sep, path = name.partition("/")
            name = f"{mirror}/{path}" if "." in registry or ":" in registry else f"{mirror}/{name}"
        found[container] = f"{name}:{variables.get(image.version)}"
    return found


def _resources(spec: ServiceSpec, host: Host, problems: list[Problem]) -> dict[str, dict[str, Any]]:
    merged = {container: dict(limits) for container, limits in spec.resources.items()}
    override = host.variables.get(f"{spec.name}_resources")
    for container, limits in override.items() if isinstance(override, Mapping) else ():
        variable = f"{spec.name}_resources.{container}"
        unknown = set(limits) - set(_LIMITS) if isinstance(limits, Mapping) else {"?"}
        if container not in merged:
            remedy = f"containers of {spec.name}: {', '.join(merged)}"
            problems.append(Problem(host.name, variable, show(limits), "no such container", remedy))
        elif unknown:
            expected = f"unknown keys {', '.join(sorted(unknown))}"
            problems.append(
                Problem(host.name, variable, show(limits), expected, f"known: {', '.join(_LIMITS)}")
            )
        else:
            merged[container].update(limits)
    return merged


def _http(spec: ServiceSpec, host: Host) -> dict[str, Any] | None:
    if spec.http is None:
        return None
    guard = host.variables.get(f"{spec.name}_guard")
    routes = [
        {
            "name": spec.name if index == 0 else f"{spec.name}-{index}",
            "guard": route.guard,
            "paths": list(route.paths),
        }
        for index, route in enumerate(spec.http.routes)
    ]
    if guard:
        routes[0]["guard"] = guard
    return {"port": spec.http.port, "container": spec.http.container, "routes": routes}


def _serves(spec: ServiceSpec) -> dict[str, Any] | None:
    if spec.serves is None:
        return None
    return {
        "api": spec.serves.api,
        "path": spec.serves.path,
        "key": spec.serves.key,
        "prefix": dict(spec.serves.prefix),
    }


def _models(
    spec: ServiceSpec, variables: Mapping[str, Any], host: Host, problems: list[Problem]
) -> list[dict[str, Any]]:
    if spec.serves is None or spec.serves.models is None:
        return []
    variable = spec.serves.models
    models, faults = parse_models(variables.get(variable) or [])
    for fault in faults:
        value = None if fault["value"] is None else show(fault["value"])
        problems.append(
            Problem(host.name, variable + fault["where"], value, fault["expected"], fault["remedy"])
        )
    return models


# --- how services find each other ---------------------------------------------------------------------------------


def _link(
    specs: Mapping[str, ServiceSpec],
    services: list[dict[str, Any]],
    hosts: Sequence[Host],
    problems: list[Problem],
) -> None:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for service in services:
        by_name.setdefault(service["name"], []).append(service)
    trusted = {host.name for host in hosts if "trusted" in host.groups}
    needed_elsewhere: set[int] = set()
    for service in services:
        for other, which in specs[service["name"]].uses.items():
            chosen = _choose(which, service, by_name.get(other, []))
            if not chosen and which != "optional":
                remedy = f"add {other} to the stacks of a host"
                expected = f"{service['name']} needs {other}, and no host runs it"
                problems.append(Problem(service["host"], "stacks", service["name"], expected, remedy))
            service["uses"][other] = chosen  # instances for now; references below, once all are published
            needed_elsewhere.update(
                id(provider) for provider in chosen if provider["host"] != service["host"]
            )
    for service in services:
        if service["api"] and (id(service) in needed_elsewhere or service["host"] not in trusted):
            variable = specs[service["name"]].api.variable
            port = service["variables"].get(variable) if variable else service["api"]["port"]
            service["publish"] = f"{_bracketed(service['address'])}:{port}"
    for service in services:
        service["models"] = service["models"] or _models_behind(specs, service)
    keyed = _declared_keys(specs, services)
    for service in services:
        service["uses"] = {
            name: [_reference(service, provider) for provider in providers]
            for name, providers in service["uses"].items()
        }
        service["clients"] = _clients(specs, service, keyed, problems)


def _choose(which: str, consumer: Mapping[str, Any], providers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if which == "each":
        return list(providers)
    near = [provider for provider in providers if provider["host"] == consumer["host"]]
    return (near or providers)[:1]


def _models_behind(specs: Mapping[str, ServiceSpec], service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A gateway's models: those of the services it uses, each name once."""
    if service["serves"] is None or specs[service["name"]].serves.models is not None:
        return []
    found: dict[str, dict[str, Any]] = {}
    for providers in service["uses"].values():
        for provider in providers:
            for model in provider["models"]:
                found.setdefault(model["name"], model)
    return list(found.values())


def _reference(consumer: Mapping[str, Any], provider: Mapping[str, Any]) -> dict[str, Any]:
    """What a consumer learns of a provider: the address that works from where the consumer runs, and its models."""
    if provider["host"] == consumer["host"]:
        side = provider["api"] or provider["http"]
        url = f"http://{side['container']}:{side['port']}" if side else None
    else:
        url = f"http://{provider['publish']}" if provider["publish"] else None
    return {
        "host": provider["host"],
        "name": provider["name"],
        "url": url,
        "models": [
            {key: model.get(key) for key in ("name", "kind", "about")} for model in provider["models"]
        ],
        "serves": provider["serves"],
    }


def _clients(
    specs: Mapping[str, ServiceSpec],
    service: Mapping[str, Any],
    keyed: Mapping[str, list[tuple[str, str]]],
    problems: list[Problem],
) -> list[dict[str, Any]]:
    """Who has a key for this service: the operator's own list, then the services that declare one for it."""
    clients = []
    for secret in specs[service["name"]].secrets:
        if not (secret.client and secret.each):
            continue
        for item in service["variables"].get(secret.each) or []:
            if isinstance(item, Mapping) and "name" in item:
                name = secret.name.format(name=secret_rules.variable_part(str(item["name"])))
                clients.append({**item, "service": None, "secret": name})
    for other, secret_name in keyed.get(service["name"], []):
        name = "hearth" if other == service["name"] else other
        clients.append({"name": name, "service": other, "secret": secret_name})
        if secret_name not in service["secrets"]:
            service["secrets"].append(secret_name)
    names = [client["name"] for client in clients]
    for name in sorted({name for name in names if names.count(name) > 1}, key=str):
        expected = f"two clients of {service['name']} are called {name}"
        problems.append(
            Problem(service["host"], f"{service['name']}_clients", show(name), expected, "rename yours")
        )
    return clients


def _declared_keys(
    specs: Mapping[str, ServiceSpec], services: Iterable[Mapping[str, Any]]
) -> dict[str, list[tuple[str, str]]]:
    """Service → [(client service, secret)] of the keys that running services declare with `client_of`."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in dict.fromkeys(service["name"] for service in services):
        for secret in specs[name].secrets:
            if secret.client_of:
                found.setdefault(secret.client_of, []).append((name, secret.name))
    return found


def _bracketed(address: Any) -> str:
    return f"[{address}]" if isinstance(address, str) and ":" in address else str(address)


# --- names and ports ----------------------------------------------------------------------------------------------


def _name(
    specs: Mapping[str, ServiceSpec],
    services: list[dict[str, Any]],
    settings: Mapping[str, Mapping[str, Any]],
    problems: list[Problem],
) -> None:
    """Give each service its public name and address, by the front door that serves it."""
    doors = [service for service in services if service["front_door"]]
    taken: dict[str, dict[str, Any]] = {}
    for service in services:
        variable = f"{service['name']}_hostname"
        if service["hostname"] is None:
            continue
        if not (isinstance(service["hostname"], str) and _LABEL.match(service["hostname"])):
            expected = "is not one label of a host name: a-z, 0-9 and -"
            value = show(service["hostname"])
            problems.append(Problem(service["host"], variable, value, expected, "write it like chat"))
            continue
        service["fqdn"] = f"{service['hostname']}.{service['domain']}"
        if service["http"] and any(route["guard"] != "internal" for route in service["http"]["routes"]):
            _open_door(service, doors, taken, variable, problems)
    sso = any(
        spec.name in {s["name"] for s in services} for spec in specs.values() if spec.front_door.get("sso")
    )
    for service in services:
        for route in service["http"]["routes"] if service["http"] else ():
            if route["guard"] in ("sso", "oidc") and not sso:
                expected = f"guard {route['guard']} needs a single sign-on service, and no host runs one"
                variable = f"{service['name']}_guard"
                problems.append(
                    Problem(service["host"], variable, route["guard"], expected, "use basic or open")
                )
    for service in services:
        seen = ("address", "publish", "url", "fqdn", "http", "models", "serves", "front_door")
        service["exports"] = digest({key: service[key] for key in seen})


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
    """The ports a service binds on its host: [{port, address, variable}]."""
    bound = [
        {"port": port, "address": "0.0.0.0", "variable": f"{service['name']}_{name}_port"}
        for name, port in service["front_door"].items()
        if isinstance(port, int)
    ]
    if service["publish"]:
        address, _sep, port = service["publish"].rpartition(":")
        if port.isdigit():
            variable = f"{service['name']}_port"
            bound.append({"port": int(port), "address": address.strip("[]"), "variable": variable})
    return bound


def _check_ports(services: Iterable[Mapping[str, Any]], problems: list[Problem]) -> None:
    taken: dict[tuple[str, int], tuple[str, str]] = {}
    for service in services:
        for bound in ports(service):
            key = (service["host"], bound["port"])
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


def missing_secrets(platform: Platform, values: Mapping[str, Any]) -> list[Secret]:
    """The secrets without a value, in the order of their declaration."""
    return [secret for name, secret in platform.secrets.items() if not values.get(f"vault_{name}")]


def check_secrets(platform: Platform, hosts: Sequence[Host]) -> list[Problem]:
    """Every secret that a service on a host reads, checked on that host's own variables."""
    problems = []
    by_name = {host.name: host for host in hosts}
    for service in platform.fleet["services"]:
        host = by_name[service["host"]]
        for name in service["secrets"]:
            value = host.variables.get(f"vault_{name}")
            problems.extend(secret_rules.check(EVERY_HOST, platform.secrets[name], value))
    return list(dict.fromkeys(problems))
