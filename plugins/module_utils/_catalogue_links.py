# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How services find each other: addresses that work from where a consumer runs, models, and keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import secrets as secret_rules
from ._catalogue_sign_on import SHARED_NETWORK
from .inventory import Host
from .problems import Problem
from .service_spec import ServiceSpec


def link(
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
            if not chosen and which == "one":
                remedy = f"add {other} to the stacks of a host"
                expected = f"{service['name']} needs {other}, and no host runs it"
                problems.append(Problem(service["host"], "stacks", service["name"], expected, remedy))
            service["uses"][other] = chosen  # instances for now; references below, once all are published
            needed_elsewhere.update(
                id(provider) for provider in chosen if provider["host"] != service["host"]
            )
    for service in services:
        if service["network"] != SHARED_NETWORK:
            continue  # it believes whoever reaches it
        if service["api"] and (id(service) in needed_elsewhere or service["host"] not in trusted):
            api = specs[service["name"]].api
            variable = api.variable if api else None
            port = service["variables"].get(variable) if variable else service["api"]["port"]
            service["publish"] = f"{_bracketed(service['address'])}:{port}"
            _check_published_once(service, problems)
    for service in services:
        service["models"] = service["models"] or _models_behind(specs, service)
    keyed = _declared_keys(specs, services)
    for service in services:
        service["uses"] = {
            name: [_reference(service, provider, problems) for provider in providers]
            for name, providers in service["uses"].items()
        }
        service["clients"] = _clients(specs, service, keyed, problems)
    _lend_secrets(specs, services)


def _lend_secrets(specs: Mapping[str, ServiceSpec], services: Iterable[Mapping[str, Any]]) -> None:
    """Let each service read the secrets that name it among their consumers, where their owner runs somewhere."""
    for owner in [specs[name] for name in dict.fromkeys(service["name"] for service in services)]:
        for secret in owner.secrets:
            for service in services:
                if service["name"] in secret.consumers and secret.name not in service["secrets"]:
                    service["secrets"].append(secret.name)


def _check_published_once(service: Mapping[str, Any], problems: list[Problem]) -> None:
    if service["replicas"] > 1:
        expected = f"publishes its port on {service['publish']}, which only one container can hold"
        remedy = f"{service['name']}_replicas: 1, or what uses it, and the front door, on the same host"
        variable = f"{service['name']}_replicas"
        problems.append(Problem(service["host"], variable, str(service["replicas"]), expected, remedy))


def _choose(which: str, consumer: Mapping[str, Any], providers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if which == "each":
        return list(providers)
    near = [provider for provider in providers if provider["host"] == consumer["host"]]
    return (near or providers)[:1]


def _models_behind(specs: Mapping[str, ServiceSpec], service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A gateway's models: those of the services it uses and of the operator's own servers, each name once."""
    serves = specs[service["name"]].serves
    if serves is None or serves.models is not None:
        return []
    found: dict[str, dict[str, Any]] = {}
    used = [provider for providers in service["uses"].values() for provider in providers]
    for server in [*used, *(service["gateway"] or {"servers": []})["servers"]]:
        for model in server["models"]:
            found.setdefault(model["name"], model)
    return list(found.values())


def _reference(
    consumer: Mapping[str, Any], provider: Mapping[str, Any], problems: list[Problem]
) -> dict[str, Any]:
    """What a consumer learns of a provider: the address that works from where the consumer runs, and its models."""
    if provider["host"] != consumer["host"]:
        url = f"http://{provider['publish']}" if provider["publish"] else None
    elif consumer["network"] == SHARED_NETWORK:
        side = provider["api"] or provider["http"]
        url = f"http://{side['container']}:{side['port']}" if side else None
    else:
        url = provider["url"]
        if url is None:
            expected = (
                f"guard sso leaves {consumer['name']} alone with the front door, by which {provider['name']} "
            )
            expected += "on the same host cannot be reached"
            remedy = f"use oidc, or run {provider['name']} on another host"
            variable = f"{consumer['name']}_guard"
            problems.append(Problem(consumer["host"], variable, "sso", expected, remedy))
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
    # Two of the operator's own with one name have one secret, which is told where secrets are listed.
    taken = {client["name"] for client in clients if client["service"]}
    for name in dict.fromkeys(str(client["name"]) for client in clients if not client["service"]):
        if name in taken:
            expected = f"is how {service['name']} knows a service of the platform"
            variable = f"{service['name']}_clients"
            problems.append(Problem(service["host"], variable, name, expected, "rename yours"))
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
