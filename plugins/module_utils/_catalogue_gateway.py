# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a gateway offers besides the models of the services it uses: the operator's servers, providers, other names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from .models import parse_models
from .problems import Problem, show
from .secrets import variable_part
from .service_spec import ServiceSpec
from .weights import WEIGHTS, is_weight

# A provider's kind → how the gateway calls it.
PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "compatible": "openai"}
# What a client may be limited in.
LIMITS = ("rpm", "tpm", "parallel")
# As it can stand in the load balancer's configuration, in a header and in a log. The balancer has each server twice,
# the second time under its name with this ending.
_SERVER = re.compile(r"[A-Za-z0-9_.:-]+")
_UNCHECKED = "-unchecked"
# What an address may not hold, or what means something to the programs that read it.
_NOT_IN_URLS = re.compile(r"[^!-~]|[\"'`\\,*<>{}|^?#]")
# Names that a gateway takes for all models, or for none.
_WORDS = ("all-proxy-models", "all-team-models", "no-default-models")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_LIKE_IPV4 = re.compile(r"[0-9.]+")


def gateway(
    spec: ServiceSpec, variables: Mapping[str, Any], host: str, problems: list[Problem]
) -> dict[str, Any] | None:
    """What the operator lists for a gateway: {servers, providers, aliases, fallbacks}; None for another service.

    servers: [{name, url, weight, models}]; providers: [{name, prefix, url, secret, models}], whose models have `model`,
    the provider's own name for them; aliases: name → model; fallbacks: model → models. What is wrong is left out.
    """
    if spec.gateway is None:
        return None
    names = vars(spec.gateway)
    given = {part: variables.get(name) for part, name in names.items()}
    [key] = [secret.name for secret in spec.secrets if secret.each == names["providers"]]
    return {
        "servers": [
            made
            for index, item in enumerate(_mappings(given["servers"]))
            if (made := _server(item, host, f"{names['servers']}[{index}]", problems))
        ],
        "providers": [
            made
            for index, item in enumerate(_mappings(given["providers"]))
            if (made := _provider(key, item, host, f"{names['providers']}[{index}]", problems))
        ],
        "aliases": dict(_texts(given["aliases"], host, names["aliases"], problems)),
        "fallbacks": dict(_lists(given["fallbacks"], host, names["fallbacks"], problems)),
        "variables": dict(names),
    }


def check_gateways(services: Sequence[Mapping[str, Any]], problems: list[Problem]) -> None:
    """Names that stand for two things or for nothing, and gateways to nowhere.

    After `link`: it goes by what servers have.
    """
    for service in services:
        own = service["gateway"]
        if own:
            problems.extend(_wrong_names(service, own))
            problems.extend(_wrong_servers(service, own))
            if not (any(service["uses"].values()) or own["servers"] or own["providers"]):
                problems.append(_to_nowhere(service, own["variables"]))


def _to_nowhere(service: Mapping[str, Any], variables: Mapping[str, str]) -> Problem:
    expected = f"{service['name']} has no model server behind it, and no host runs one"
    remedy = f"add {' or '.join(service['uses'])} to the stacks of a host, or list {variables['servers']} or "
    remedy += variables["providers"]
    return Problem(service["host"], "stacks", service["name"], expected, remedy)


def _wrong_names(service: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Problem]:
    host, variables = service["host"], own["variables"]
    home = {model["name"] for model in service["models"]}
    known = dict.fromkeys(home, "a model of the platform's own servers")
    offered = [
        (f"{variables['providers']}: {provider['name']}", f"a model of {provider['name']}", model["name"])
        for provider in own["providers"]
        for model in provider["models"]
    ]
    aliases = [(variables["aliases"], "an alias", name) for name in own["aliases"]]
    for variable, what, name in [*offered, *aliases]:
        if name in known:
            expected = f"is also {known[name]}: nobody would know who answers"
            remedy = f"another name; {variables['fallbacks']} goes from one model to another"
            yield Problem(host, variable, name, expected, remedy)
        known.setdefault(name, what)
    models = [name for name, what in known.items() if what != "an alias"]
    for alias, model in own["aliases"].items():
        if model not in models:
            yield _unknown(host, f"{variables['aliases']}.{alias}", model, models)
    yield from _wrong_fallbacks(host, variables["fallbacks"], own["fallbacks"], known)
    yield from _wrong_clients(service, known)


def _wrong_servers(service: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Problem]:
    """Names as the load balancer is told them, the hosts' among them (view_backends.py)."""
    variable = own["variables"]["servers"]
    home = [provider for providers in service["uses"].values() for provider in providers]
    named = [(host, "inventory_hostname", host) for host in dict.fromkeys(server["host"] for server in home)]
    listed = [(service["host"], variable, server["name"]) for server in own["servers"]]
    for host, where, name in [*named, *listed]:
        if not _SERVER.fullmatch(name) or name.endswith(_UNCHECKED):
            expected = f"cannot be written to the load balancer of {service['name']}"
            remedy = f"letters, digits and . _ : - alone, without {_UNCHECKED} at the end"
            yield Problem(host, where, show(name), expected, remedy)
    # An answer names its server. One program beside another on the same host may be called the same.
    taken = {(server["host"], model["name"]) for server in home for model in server["models"]}
    for server in own["servers"]:
        mine = {(server["name"], model["name"]) for model in server["models"]}
        for name, model in sorted(mine & taken):
            expected = f"is also the name of another server of {model}"
            yield Problem(service["host"], variable, show(name), expected, "rename this one")
        taken |= mine


def _wrong_fallbacks(
    host: str, variable: str, fallbacks: Mapping[str, Sequence[str]], known: Collection[str]
) -> Iterator[Problem]:
    """Two models may stand in for each other: a gateway goes from one to the next only so often."""
    for name, others in fallbacks.items():
        if name not in known:
            yield _unknown(host, variable, name, known)
        for index, other in enumerate(others):
            where = f"{variable}.{name}"
            if other not in known:
                yield _unknown(host, where, other, known)
            elif other == name:
                yield Problem(host, where, other, "is the model itself, which did not answer", "take it out")
            elif other in others[:index]:
                yield Problem(host, where, other, "is listed twice", "list it once")


def _wrong_clients(service: Mapping[str, Any], known: Collection[str]) -> Iterator[Problem]:
    """A gateway may read a name that it does not know as all models, and a limit below 1 as none."""
    for client in service["clients"]:
        variable = f"{service['name']}_clients: {client['name']}"
        for model in client.get("models") or []:
            if model not in known:
                yield _unknown(service["host"], f"{variable}.models", model, known)
        for limit in LIMITS:
            value = client.get(limit)
            if isinstance(value, int) and value < 1:
                expected, remedy = "is less than 1", "leave it out for no limit"
                yield Problem(service["host"], f"{variable}.{limit}", show(value), expected, remedy)


def _unknown(host: str, variable: str, name: str, known: Collection[str]) -> Problem:
    similar = get_close_matches(name, known, n=1)
    hint = f"did you mean {similar[0]}? " if similar else ""
    remedy = f"{hint}models here: {', '.join(sorted(known)) or 'none'}"
    return Problem(host, variable, name, "is no model of this gateway", remedy)


def _server(
    item: Mapping[str, Any], host: str, variable: str, problems: list[Problem]
) -> dict[str, Any] | None:
    url, weight = str(item.get("url")), item.get("weight", 1)
    wrong = _wrong_url(url, ("http",))
    if wrong:
        remedy = "write it like http://10.2.0.77:11434; what speaks TLS belongs to the providers"
        problems.append(Problem(host, f"{variable}.url", _masked(url), wrong, remedy))
    if not is_weight(weight):
        expected = f"is not a share of the load: {WEIGHTS}"
        problems.append(Problem(host, f"{variable}.weight", show(weight), expected, "leave it out for 1"))
    models = _models(item.get("models"), host, f"{variable}.models", problems)
    if wrong or not is_weight(weight):
        return None
    return {"name": str(item.get("name")), "url": url.rstrip("/"), "weight": weight, "models": models}


def _provider(
    key: str, item: Mapping[str, Any], host: str, variable: str, problems: list[Problem]
) -> dict[str, Any] | None:
    """key: the name of its secret, with `{name}` in it."""
    name, kind, url = str(item.get("name")), item.get("kind"), item.get("url")
    wrong = None
    if kind == "compatible" and not url:
        wrong = "is missing: only the operator knows where a compatible provider is"
    elif url:
        wrong = _wrong_url(str(url), ("https", "http"), path=True)
    if wrong:
        remedy = "write it like https://api.example.org/v1; its key belongs in the vault"
        problems.append(Problem(host, f"{variable}.url", _masked(url) if url else None, wrong, remedy))
    if not item.get("models"):
        expected, remedy = "has no model that could be asked for", "list its models, or take the provider out"
        problems.append(Problem(host, f"{variable}.models", "[]", expected, remedy))
    models = [
        made
        for index, model in enumerate(item.get("models") or [])
        if (made := _provided(model, host, f"{variable}.models[{index}]", problems))
    ]
    if wrong or kind not in PROVIDERS:
        return None
    return {
        "name": name,
        "prefix": PROVIDERS[kind],
        "url": str(url).rstrip("/") if url else None,
        "secret": key.format(name=variable_part(name)),
        "models": models,
    }


def _provided(item: Any, host: str, variable: str, problems: list[Problem]) -> dict[str, Any] | None:
    """A provider's model: its name there, or {name, model, kind, about} where it has another one here."""
    if isinstance(item, str):
        item = {"name": item}
    if (
        not isinstance(item, Mapping)
        or not item.get("name")
        or set(item) - {"name", "model", "kind", "about"}
    ):
        expected = "is neither a model's name nor a dictionary with name, and perhaps model, kind and about"
        remedy = "write it like gpt-4o, or {name: smart, model: gpt-4o}"
        problems.append(Problem(host, variable, show(item), expected, remedy))
        return None
    there = item.get("model")
    if there is not None and not isinstance(there, str):
        expected = "is not what a provider calls a model"
        problems.append(Problem(host, f"{variable}.model", show(there), expected, "put it into quotes"))
        return None
    here = {key: item[key] for key in ("name", "kind", "about") if key in item}
    models = _models([here], host, variable, problems)
    return {**models[0], "model": str(there or item["name"])} if models else None


def _models(value: Any, host: str, variable: str, problems: list[Problem]) -> list[dict[str, Any]]:
    models, faults = parse_models(value)
    for fault in faults:
        shown = None if fault["value"] is None else show(fault["value"])
        problems.append(Problem(host, variable + fault["where"], shown, fault["expected"], fault["remedy"]))
    return [{key: model.get(key) for key in ("name", "kind", "about")} for model in models]


def _wrong_url(url: str, schemes: tuple[str, ...], path: bool = False) -> str | None:
    """Why it is not an address of a server, in one sentence that shows nothing of a password in it."""
    scheme, _colon, rest = url.partition("://")
    if scheme.lower() not in schemes or not rest:
        return f"is not an address that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    if "@" in rest.partition("/")[0]:
        return "has a user or a password in it, which would stand in a file for all to read"
    strange = _NOT_IN_URLS.search(rest)
    if strange:
        return f"has {strange[0]!r} in it, which no address of a server has"
    try:
        parts = urlsplit(url)
        port_is_good = parts.port != 0
    except ValueError:
        return "has a host or a port that cannot be read; an IPv6 address stands in brackets"
    if not port_is_good:
        return "has a port that is none"
    if not _is_host(parts.hostname or ""):
        return "has neither a host's name nor an IP address in it"
    if parts.path.strip("/") and not path:
        return "has a path; the server's API is asked for below /v1"
    return None


def _is_host(text: str) -> bool:
    if ":" not in text and not _LIKE_IPV4.fullmatch(text):
        return bool(_HOST.fullmatch(text))
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # an interface's name means nothing in a container


def _masked(url: Any) -> str:
    """An address without who signs in there, however it is written."""
    text = str(url)
    return show(f"***@{text.rpartition('@')[2]}" if "@" in text else text)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    """Items that are no dictionaries were reported by the argument_specs."""
    return [item for item in value or [] if isinstance(item, Mapping)]


def _texts(value: Any, host: str, variable: str, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    for name, other in (value or {}).items():
        if _means_many(str(name)):
            expected = (
                "is no name of one model: empty, with a * or a character that is not seen, or a word for many"
            )
            problems.append(Problem(host, variable, show(name), expected, "another name"))
        elif isinstance(other, str) and other:
            yield str(name), other
        else:
            expected = "is not the name of a model"
            problems.append(Problem(host, f"{variable}.{name}", show(other), expected, "write it as text"))


def _means_many(name: str) -> bool:
    """Whether a gateway may take a name for others than itself, or a file cannot hold it."""
    return not name.strip() or "*" in name or not name.isprintable() or name in _WORDS


def _lists(value: Any, host: str, variable: str, problems: list[Problem]) -> Iterator[tuple[str, list[str]]]:
    for name, others in (value or {}).items():
        if isinstance(others, list) and others and all(isinstance(other, str) for other in others):
            yield str(name), list(others)
        else:
            expected = "is not a list of models"
            remedy = "write it like [small:1b], in the order in which they are tried"
            problems.append(Problem(host, f"{variable}.{name}", show(others), expected, remedy))
