# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue: from every service's description and every host's variables to the whole platform.

Pure: values in, plain data and problems out. It knows no service by name and reads no gathered fact, so that a run
limited to one host sees the same platform as a full one. What it returns is explained in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from . import secrets as secret_rules
from . import view_dns
from ._catalogue_acme import give_certificates
from ._catalogue_backups import backup_key, backups_of
from ._catalogue_cards import check_claims, check_same_models
from ._catalogue_gateway import check_gateways
from ._catalogue_instance import expand, instance
from ._catalogue_links import link
from ._catalogue_names import check_ports, export, name_services
from ._catalogue_resolving import resolve_names
from ._catalogue_settings import check_addresses, placements, settings_of
from ._catalogue_sign_on import SHARED_NETWORK, resolve_sign_on
from .chosen import chosen
from .inventory import Host
from .problems import EVERY_HOST, Problem
from .service_spec import Secret, ServiceSpec
from .variables import known_names, misspelt, renamed, typed


@dataclass(frozen=True)
class Platform:
    """What `resolve` found: the fleet (plain data), each secret by name, and everything that is wrong."""

    fleet: dict[str, Any]
    secrets: dict[str, Secret]
    problems: list[Problem]


def resolve(specs: Mapping[str, ServiceSpec], hosts: Sequence[Host]) -> Platform:
    """Resolve the whole platform. Never raises for what an operator wrote: that ends in `problems`."""
    problems: list[Problem] = []
    hosts = _typed_hosts(specs, hosts, problems)
    secrets = _all_secrets(specs, hosts, problems)
    _check_names(specs, hosts, secrets, problems)
    settings = settings_of(hosts, problems)
    placed = placements(specs, hosts, settings, problems)
    check_addresses(hosts, settings, problems)
    services = [instance(specs[name], host, settings, problems) for host, name in placed]
    check_claims(services, problems)
    check_same_models(services, problems)
    name_services(specs, services, settings, problems)
    sign_on = resolve_sign_on(specs, services, problems)
    read = {name for service in services for name in service["secrets"]}
    for spec in specs.values():
        if spec.oidc and spec.oidc.secret not in read:
            secrets.pop(spec.oidc.secret, None)  # nobody signs in by it
    link(specs, services, hosts, problems)
    check_gateways(services, problems)
    give_certificates(specs, services, settings, problems)
    resolve_names(specs, services)
    export(services)
    check_ports(services, problems)
    runs_on: dict[str, list[str]] = {}
    for host, name in placed:
        runs_on.setdefault(host.name, []).append(name)
    fleet: dict[str, Any] = {
        "platform": _platform(settings, hosts),
        "hosts": {
            host.name: {
                "address": settings[host.name]["address"],
                "domain": settings[host.name]["domain"],
                "tiers": [tier for tier in ("trusted", "compute") if tier in host.groups],
                "services": runs_on.get(host.name, []),
                "networks": _networks(services, host.name),
                "directories": {
                    name: settings[host.name][name] for name in ("stacks_dir", "data_dir", "state_dir")
                },
                "data_in": settings[host.name]["data_in"],
                "packet_filter": settings[host.name]["packet_filter"],
                "backups": None,
                "sources": settings[host.name]["source_addresses"]
                or [address for address in [settings[host.name]["address"]] if address],
            }
            for host in hosts
        },
        "services": services,
        "secrets": {name: describe(secret, specs) for name, secret in secrets.items()},
        "sign_on": sign_on,
    }
    for name, backups in backups_of(fleet, settings, problems).items():
        fleet["hosts"][name]["backups"] = backups
        key = backup_key(name)
        secrets[key.name] = key
        fleet["secrets"][key.name] = describe(key, specs)
    problems += view_dns.problems(fleet)
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
        names = provider["resolver"] or (service["resolver"] and (provider["fqdn"] or provider["publish"]))
        signed_on = provider["oidc"] or provider["forward_auth"]
        signs_on = signed_on and provider["sign_on"]["service"] == service["name"]
        if uses or keeps or names or signs_on or (routes and service["host"] != host):
            found.append(service)
    return found


def describe(secret: Secret, specs: Mapping[str, ServiceSpec]) -> dict[str, Any]:
    """A secret's description as plain data. Of a client's key, its provider says how it is taken and proven."""
    provider = secret.client_of or (secret.service if secret.client else None)
    keys = specs[provider].client_keys if provider and provider in specs else {}
    found = {**asdict(secret), "provider": provider, "reloads": keys.get("restart") is False}
    if keys.get("overlap") and secret.rotate == "restart":
        found["rotate"] = "overlap"
    return {**found, "prove": dict(secret.prove or keys.get("prove") or {})}


def _all_secrets(
    specs: Mapping[str, ServiceSpec], hosts: Sequence[Host], problems: list[Problem]
) -> dict[str, Secret]:
    """Every secret of the services that run somewhere, and the platform's own."""
    found = {secret_rules.FINGERPRINT_KEY.name: secret_rules.FINGERPRINT_KEY}
    for spec in specs.values():
        runs_on = [host for host in hosts if spec.name in (host.variables.get("stacks") or [])]
        for host in runs_on:
            for secret in spec.secrets:
                problems.extend(
                    secret_rules.check_each(host.name, secret, {**spec.variables, **host.variables})
                )
        for item in (
            item
            for host in runs_on
            for secret in chosen(spec, host.variables).secrets
            for item in expand(secret, {**spec.variables, **host.variables})
        ):
            other = found.setdefault(item.name, item)
            if (other.kind, other.prefix) != (item.kind, item.prefix):
                expected = f"is a {other.kind} of {other.service} and a {item.kind} of {item.service}"
                remedy = "give one of the two another name in its service.yml"
                problem = Problem(EVERY_HOST, f"vault_{item.name}", None, expected, remedy)
                if problem not in problems:
                    problems.append(problem)
    return found


def _typed_hosts(
    specs: Mapping[str, ServiceSpec], hosts: Sequence[Host], problems: list[Problem]
) -> list[Host]:
    """The hosts with every variable of its type; a value that is wrong is reported and left out, to find the rest."""
    known = known_names(specs.values(), ())
    made = []
    for host in hosts:
        for name, why in host.broken.items():
            expected = f"cannot be resolved: {why}"
            problems.append(Problem(host.name, name, None, expected, "mend it, or remove it"))
        # Nothing written after the colon means: not set.
        variables = {name: value for name, value in host.variables.items() if value is not None}
        for name in [name for name in variables if name in known]:
            variables[name], wrong = typed(host.name, name, variables[name], known[name])
            if wrong:
                problems.extend(wrong)
                del variables[name]
        made.append(replace(host, variables=variables))
        _check_required(specs, made[-1], problems)
    return made


def _check_names(
    specs: Mapping[str, ServiceSpec],
    hosts: Sequence[Host],
    secrets: Mapping[str, Secret],
    problems: list[Problem],
) -> None:
    # Those of services and parts that are left out just now stay in the vault.
    kept = [secret.name for spec in specs.values() for secret in spec.secrets if not secret.each]
    known = known_names(specs.values(), [*secrets, *kept])
    # A client that was renamed or taken out leaves its key in the vault, and all of them are alike.
    left = [
        secret.name.replace("{name}", "*")
        for spec in specs.values()
        for secret in spec.secrets
        if secret.each
    ]
    for host in hosts:
        own = host.variables.get("own_variables") or []
        old = renamed(host.name, host.names, specs.values())
        problems.extend(old)
        names = [
            name
            for name in host.names
            if name not in {problem.variable for problem in old}
            and not any(fnmatchcase(name, f"vault_{pattern}") for pattern in left)
        ]
        problems.extend(misspelt(host.name, names, known, specs, own))


def _check_required(specs: Mapping[str, ServiceSpec], host: Host, problems: list[Problem]) -> None:
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


def _platform(settings: Mapping[str, Mapping[str, Any]], hosts: Sequence[Host]) -> dict[str, Any]:
    first = settings[hosts[0].name] if hosts else {}
    return {name: first.get(name) for name in ("domain", "access", "private_ranges")}


def _networks(services: Sequence[Mapping[str, Any]], host: str) -> dict[str, str]:
    """The networks that stacks of a host share → their bridges: the one for all, then those of services that meet
    Traefik alone.
    """
    here = [
        service for service in services if service["host"] == host and service["network"] != SHARED_NETWORK
    ]
    return {
        SHARED_NETWORK: f"hearth-{SHARED_NETWORK}",
        **{service["network"]: f"{service['bridge']}0" for service in here},
    }


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
            if f"vault_{name}" in host.broken:
                continue  # reported already, with the reason
            value = host.variables.get(f"vault_{name}")
            problems.extend(secret_rules.check(EVERY_HOST, platform.secrets[name], value))
    return list(dict.fromkeys(problems))
