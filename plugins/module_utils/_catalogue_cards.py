# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which cards services ask for, and which models they promise: what of it is wrong before any host is looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .models import canonical
from .problems import Problem, show
from .service_spec import ServiceSpec

ALL = "all"
_CARD = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]{4,}")


def cards(
    spec: ServiceSpec, variables: Mapping[str, Any], host: str, problems: list[Problem]
) -> dict[str, Any] | None:
    """What a service asks of its host's cards: {variable, chosen, models, context, parallel, cache_type}.

    chosen: `all`, or UUIDs and indexes as text; empty for none. models: the variable with them. None for a service
    that computes on no card.
    """
    if spec.cards is None:
        return None
    wanted = variables.get(spec.cards.chosen)
    listed = [] if not wanted and wanted != 0 else wanted if isinstance(wanted, list) else [wanted]
    chosen: list[str] = []
    for index, item in enumerate(listed):
        text = str(item)
        variable = f"{spec.cards.chosen}[{index}]" if isinstance(wanted, list) else spec.cards.chosen
        if text == ALL and len(listed) == 1:
            break
        if not _CARD.fullmatch(text):
            expected = "is no card: all, or a list of UUIDs as `nvidia-smi -L` shows them"
            problems.append(Problem(host, variable, show(item), expected, "nvidia-smi -L lists the cards"))
        elif text in chosen:
            problems.append(Problem(host, variable, text, "is listed twice", "list it once"))
        else:
            chosen.append(text)
    if spec.cards.needed and not listed:
        expected = f"is no card, and {spec.name} does not run without one"
        remedy = f"nvidia-smi -L lists the cards; or take {spec.name} out of the host's stacks"
        problems.append(Problem(host, spec.cards.chosen, show(wanted), expected, remedy))
    return {
        "variable": spec.cards.chosen,
        "chosen": ALL if listed == [ALL] or wanted == ALL else chosen,
        "models": spec.serves.models if spec.serves else None,
        **{
            key: variables.get(name) if name else None
            for key, name in vars(spec.cards).items()
            if key not in ("chosen", "needed")
        },
    }


def check_claims(services: Sequence[Mapping[str, Any]], problems: list[Problem]) -> None:
    """Two services of a host that ask for one card, as far as their words tell; the look knows the rest."""
    asking = [service for service in services if service["cards"] and service["cards"]["chosen"]]
    for index, service in enumerate(asking):
        for other in asking[:index]:
            mine, theirs = service["cards"], other["cards"]
            if service["host"] != other["host"]:
                continue
            shared = (
                {ALL}
                if ALL in (mine["chosen"], theirs["chosen"])
                else {*mine["chosen"]} & {*theirs["chosen"]}
            )
            for card in sorted(shared):
                problems.append(claimed_twice(service["host"], mine["variable"], card, other))


def claimed_twice(host: str, variable: str, card: str, other: Mapping[str, Any]) -> Problem:
    expected = f"is also {other['name']}'s ({other['cards']['variable']}): neither would know what the other has left"
    return Problem(host, variable, card, expected, "give each service cards of its own, by their UUIDs")


def check_same_models(services: Sequence[Mapping[str, Any]], problems: list[Problem]) -> None:
    """One name that stands for other models on other hosts: who asks for it would get now one, now the other."""
    seen: dict[tuple[str, str], dict[tuple[str, ...], tuple[str, Mapping[str, Any]]]] = {}
    for service in services:
        for model in service["models"]:
            different = seen.setdefault((service["name"], canonical(model["name"]).lower()), {})
            for host, one in different.values():
                if difference := _difference(one, model):
                    key, here, there = difference
                    expected = f"{host} has {there} under this name, and the gateway sends requests to both"
                    remedy = f"the same {key} on every host, or another name for one of them"
                    variable = f"{service['name']}: {model['name']}.{key}"
                    problems.append(Problem(service["host"], variable, here, expected, remedy))
                    break
            # One that is just like an earlier one differs from the same others.
            told = tuple(model[key] for key in ("digest", "source", "path", "reference"))
            different.setdefault(told, (service["host"], model))


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """(key, its value in the other, its value in the one) of what makes two models different ones."""
    digests = one["digest"], other["digest"]
    if all(digests):
        same = digests[0].startswith(digests[1]) or digests[1].startswith(digests[0])
        return None if same else ("digest", digests[1], digests[0])
    if one["source"] != other["source"]:
        return "source", other["source"], one["source"]
    key, value = ("path", "path") if one["source"] == "gguf" else ("from", "reference")
    here, there = other[value], one[value]
    if key == "from":
        return None if canonical(here) == canonical(there) else (key, here, there)
    return None if here == there else (key, here, there)
