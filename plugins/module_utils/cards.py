# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host has the cards that its services ask for, and whether their models fit them: what a look can tell.

gpus: `gpus` of hearth.llm.look's answer. A service asks by `all`, by UUID, or by index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._catalogue_cards import ALL, claimed_twice
from .problems import Problem, show

_GIB = 2**30
# From this engine on a request for NVIDIA's driver is served by a CDI specification (moby, devices_nvidia_linux.go).
CDI_ENGINE = (29, 2)
_PROFILE = re.compile(r"\.(\d+)gb")


def problems(host: str, services: Sequence[Mapping[str, Any]], gpus: Mapping[str, Any]) -> list[Problem]:
    """Cards that are not there, do not answer, or are asked for twice."""
    found: list[Problem] = []
    holders: dict[str, Mapping[str, Any]] = {}
    for service in services:
        if not wanted(service):
            continue
        asked = service["cards"]
        missing = _missing(host, asked, gpus)
        found += missing
        for uuid, written in [] if missing else _chosen(asked["chosen"], gpus["cards"]):
            other = holders.setdefault(uuid, service)
            # The same word on both was found in the inventory already.
            if other is not service and written not in other["cards"]["chosen"]:
                found.append(claimed_twice(host, asked["variable"], written, other))
    return found


def handed_over(look: Mapping[str, Any]) -> bool:
    """Whether the engine has a way to hand cards to containers; look: the whole answer of hearth.llm.look."""
    version = tuple(int(part) for part in re.findall(r"\d+", look["engine"]["version"] or "")[:2])
    return bool(look["gpus"]["hook"]) or (look["gpus"]["cdi"] is not None and version >= CDI_ENGINE)


def unreachable(host: str, services: Iterable[Mapping[str, Any]], look: Mapping[str, Any]) -> list[Problem]:
    """For a host whose engine the operator keeps: cards that it cannot hand over."""
    if handed_over(look):
        return []
    expected = "cannot be handed to a container: the engine has neither NVIDIA's container toolkit nor CDI"
    remedy = "host_manage_gpu: true; or apt install nvidia-container-toolkit, then systemctl restart docker"
    return [
        Problem(host, service["cards"]["variable"], show(service["cards"]["chosen"]), expected, remedy)
        for service in services
        if wanted(service)
    ]


def wanted(service: Mapping[str, Any]) -> bool:
    """Whether a service computes on cards."""
    return bool(service["cards"] and service["cards"]["chosen"])


def room(service: Mapping[str, Any], gpus: Mapping[str, Any]) -> list[int]:
    """Bytes of each of the service's cards that programs can have, nobody else being on it."""
    parts = {part["uuid"]: part for card in gpus["cards"] for part in card["instances"]}
    cards = {card["uuid"]: card for card in gpus["cards"]}
    return [
        cards[uuid]["usable"] if uuid in cards else _size(parts[uuid]["profile"])
        for uuid, _written in _chosen(service["cards"]["chosen"], gpus["cards"])
    ]


def misfits(
    host: str, variable: str, models: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> list[Problem]:
    """The models that do not fit and were not accepted to spill.

    variable: the one with the models; rows: those of model_weighing, in the models' order.
    """
    found = []
    for model, row in zip(models, rows, strict=True):
        if row["fits"] is False and not model["spill"]:
            found.append(Problem(host, variable, model["name"], row["message"], row["remedy"]))
        elif row["fits"] is None and row["source"] == "" and model["source"] == "gguf":
            remedy = (
                "relative paths start in the inventory's directory; fetch the file again if it is damaged"
            )
            found.append(Problem(host, f"{variable}: {model['name']}", model["path"], row["message"], remedy))
    return found


def _missing(host: str, asked: Mapping[str, Any], gpus: Mapping[str, Any]) -> list[Problem]:
    variable, chosen = asked["variable"], asked["chosen"]
    trouble = gpus["trouble"]
    if not gpus["nvidia_smi"]:
        expected = "asks for cards of a host without NVIDIA's driver (there is no nvidia-smi)"
        remedy = (
            f"install the driver (Debian: nvidia-driver; Ubuntu: ubuntu-drivers install), or {variable}: []"
        )
        return [Problem(host, variable, show(chosen), expected, remedy)]
    known = {name for card in gpus["cards"] for name in _names(card)}
    absent = [] if chosen == ALL else [card for card in chosen if card not in known]
    if trouble and (chosen == ALL or absent):
        expected = f"{trouble['meaning']}{': ' if trouble['said'] else ''}{trouble['said']}"
        return [Problem(host, variable, show(chosen), expected, trouble["remedy"])]
    if chosen == ALL and not gpus["cards"]:
        return [Problem(host, variable, ALL, "the driver names no card", "nvidia-smi; dmesg | grep -i nvrm")]
    there = "; ".join(f"{card['index']}: {card['uuid']} ({card['name']})" for card in gpus["cards"])
    expected = f"is no card of this host, which has {there or 'none'}"
    return [Problem(host, variable, card, expected, "nvidia-smi -L lists the cards") for card in absent]


def _chosen(chosen: Any, cards: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(UUID, as it was written) of each card or part of one that a service gets."""
    if chosen == ALL:
        parts = [part["uuid"] for card in cards for part in card["instances"]]
        return [(uuid, ALL) for uuid in parts or [card["uuid"] for card in cards]]
    by_name = {name: uuid for card in cards for name, uuid in _names(card).items()}
    return [(by_name[name], name) for name in chosen if name in by_name]


def _names(card: Mapping[str, Any]) -> dict[str, str]:
    """What a card may be called → its UUID."""
    parts = {part["uuid"]: part["uuid"] for part in card["instances"]}
    return {str(card["index"]): card["uuid"], card["uuid"]: card["uuid"], **parts}


def _size(profile: str) -> int:
    """A part's memory is in its profile's name: 3g.71gb."""
    match = _PROFILE.search(profile)
    return int(match[1]) * _GIB if match else 0
