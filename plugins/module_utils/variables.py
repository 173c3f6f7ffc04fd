# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of single inventory variables: known names, and values against their argument_specs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .platform import OPTIONS, PER_SERVICE, RENAMED, REPLICAS
from .problems import Problem, show
from .secrets import previous
from .service_spec import ServiceSpec

# Alike enough to be a slip of the fingers: domian, stack, ollama_model. Not alike enough: domains_of_mail.
_SLIP = 0.82


def known_names(specs: Iterable[ServiceSpec], secrets: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Every variable name that Hearth knows, with its argument_spec option."""
    known = {name: dict(option) for name, option in OPTIONS.items()}
    for spec in specs:
        known.update({name: dict(option) for name, option in spec.options.items()})
        known.update({f"{spec.name}_{suffix}": dict(option) for suffix, option in PER_SERVICE.items()})
        if spec.replicas is not None:
            known[f"{spec.name}_replicas"] = dict(REPLICAS)
        for name in spec.variables:
            known.setdefault(name, {"type": "raw"})
    for secret in secrets:
        known.update({f"vault_{secret}": {"type": "str"}, previous(secret): {"type": "str"}})
    return known


def renamed(host: str, names: Iterable[str], specs: Iterable[ServiceSpec]) -> list[Problem]:
    """Variables that an earlier version of Hearth called otherwise."""
    now = {**RENAMED, **{old: new for spec in specs for old, new in spec.renamed.items()}}
    expected = "has another name in this version of Hearth"
    return [Problem(host, name, None, expected, f"rename it to {now[name]}") for name in names if name in now]


def misspelt(
    host: str, names: Iterable[str], known: Mapping[str, Any], services: Iterable[str], own: Iterable[str]
) -> list[Problem]:
    """Names with a service's prefix that it does not have, and names a slip away from a known one."""
    prefixes = tuple(f"{service}_" for service in services)
    own = set(own)
    problems = []
    for name in names:
        if name in known or name in own:
            continue
        similar = get_close_matches(name, known, n=1, cutoff=_SLIP)
        if name.startswith(prefixes):
            similar = similar or get_close_matches(name, known, n=1)
            remedy = f"did you mean {similar[0]}?" if similar else "remove it"
            service = name.split("_", 1)[0]
            expected = f"the service {service} has no such variable"
        elif similar:
            remedy = f"rename it to {similar[0]}, or list it in own_variables if it is yours"
            expected = f"not a variable of Hearth, but very like {similar[0]}"
        else:
            continue
        problems.append(Problem(host, name, None, expected, remedy))
    return problems


def typed(host: str, name: str, value: Any, option: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    """One value as its option types it, and what is wrong with it; suboptions are checked too.

    `-e port=8443` is text and becomes a number here, `stacks: ollama` becomes a list, as everywhere in Ansible.
    """
    option = {key: item for key, item in _plain(option).items() if key != "required"}
    written = _written(copy.deepcopy(value), option)
    try:
        result = ArgumentSpecValidator({name: option}).validate({name: written})
    except TypeError:  # Ansible's validator expects a dictionary wherever one has options
        expected = f"is not {option.get('type')} of {option.get('elements', 'values')}"
        return value, [Problem(host, name, show(value), expected, _remedy(option))]
    problems = [
        Problem(host, name, "***" if option.get("no_log") else show(value), message, _remedy(option))
        for message in [*result.error_messages, *_silent_conversions(written, option, name)]
    ]
    # A dictionary stays as it was written.
    if problems or option.get("type") in ("dict", "raw"):
        return value, problems
    return _written(result.validated_parameters[name], option), []


def _written(value: Any, option: Mapping[str, Any]) -> Any:
    """Without the keys that have no value: nothing after the colon means not set, and validation adds all it knows."""
    options = option.get("options")
    if not isinstance(options, Mapping):
        return value
    if isinstance(value, list):
        return [_written(item, option) for item in value]
    if isinstance(value, Mapping):
        return {key: _written(item, options.get(key, {})) for key, item in value.items() if item is not None}
    return value


def _silent_conversions(value: Any, option: Mapping[str, Any], where: str) -> Iterator[str]:
    """What Ansible would take and nobody means: yes as the number 1, an empty element as an empty text."""
    kind = option.get("type")
    if kind == "list" and isinstance(value, list):
        element = {**option, "type": option.get("elements", "raw")}
        for index, item in enumerate(value):
            if item is None and element["type"] == "str":
                yield f"{where}[{index}] has no value"
            yield from _silent_conversions(item, element, f"{where}[{index}]")
    elif kind == "dict" and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _silent_conversions(item, (option.get("options") or {}).get(key, {}), f"{where}.{key}")
    elif kind == "int" and isinstance(value, bool):
        yield f"{where} is {show(value)}, not a number"


def _plain(option: Mapping[str, Any]) -> dict[str, Any]:
    """argument_specs' spelling in the form that ArgumentSpec takes: docs and defaults left out, at every depth."""
    left_out = ("description", "version_added", "default")
    kept = {key: value for key, value in option.items() if key not in left_out}
    if isinstance(kept.get("options"), Mapping):
        kept["options"] = {name: _plain(sub) for name, sub in kept["options"].items()}
    return kept


def _remedy(option: Mapping[str, Any]) -> str:
    if option.get("choices"):
        return "one of " + ", ".join(map(str, option["choices"]))
    if isinstance(option.get("options"), Mapping):
        return "known keys: " + ", ".join(option["options"])
    return f"give it a value of type {option.get('type', 'str')}"
