# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host has the cards that its services ask for, and whether their models fit them: what a look can tell.

gpus: `gpus` of hearth.llm.look's answer. A service asks by `all`, by UUID, or by index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._catalogue_cards import ALL, claimed_twice
from .nvidia_trouble import INSTALL, WARNING
from .problems import Problem, show

_GIB = 2**30
# From this engine on a request for NVIDIA's driver is served by a CDI specification (moby, devices_nvidia_linux.go).
CDI_ENGINE = (29, 2)
# No archive of a distribution's has the toolkit, so apt alone does not find it.
TOOLKIT = (
    "host_manage_gpu: true, then playbooks/deploy-stacks.yml, which adds NVIDIA's archive and installs the toolkit; "
    "by hand: docs/gpu.md"
)
_PROFILE = re.compile(r"\.(\d+)gb")


def problems(host: str, services: Sequence[Mapping[str, Any]], gpus: Mapping[str, Any]) -> list[Problem]:
    """Cards that are not there, do not answer, are divided, or are asked for twice."""
    found: list[Problem] = []
    holders: dict[str, Mapping[str, Any]] = {}
    for service in services:
        if not wanted(service):
            continue
        asked = service["cards"]
        missing = _missing(host, asked, gpus) or _divided(host, asked, gpus["cards"])
        found += missing or _twice(host, asked, gpus["cards"])
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


def ready(look: Mapping[str, Any]) -> bool:
    """Whether roles/host has nothing to do for cards; look: the whole answer of hearth.llm.look.

    A run that was cut off may leave a hook that the engine does not know. (Where it names the runtime it once did, and
    the toolkit was updated since.) Inside LXC the toolkit may not write device rules.
    """
    if not handed_over(look) or not look["gpus"]["hook"]:
        return handed_over(look)  # CDI needs nothing of the role
    inside = look["container"]["kind"] is not None
    known = look["gpus"]["taken_up"] or "nvidia" in look["engine"]["runtimes"]
    return known and (look["gpus"]["no_cgroups"] or not inside)


def unreachable(host: str, services: Iterable[Mapping[str, Any]], look: Mapping[str, Any]) -> list[Problem]:
    """For a host whose engine the operator keeps: cards that it cannot hand over."""
    if handed_over(look):
        return []
    expected = "cannot be handed to a container: the engine has neither NVIDIA's container toolkit nor CDI"
    return [
        Problem(host, service["cards"]["variable"], show(service["cards"]["chosen"]), expected, TOOLKIT)
        for service in services
        if wanted(service)
    ]


def wanted(service: Mapping[str, Any]) -> bool:
    """Whether a service computes on cards."""
    return bool(service["cards"] and service["cards"]["chosen"])


def room(service: Mapping[str, Any], gpus: Mapping[str, Any], memory: int) -> list[int]:
    """Bytes of each of the service's cards that programs can have, nobody else being on it.

    memory: the machine's, which a card without a size of its own shares.
    """
    sizes = {}
    for card in gpus["cards"]:
        usable = memory if card["usable"] is None else card["usable"]
        sizes[card["uuid"]] = usable
        kept = card["reserved"] or 0
        sizes.update({part["uuid"]: _size(part["profile"], usable, kept) for part in card["instances"]})
    return [sizes[uuid] for uuid, _written in _chosen(service["cards"]["chosen"], gpus["cards"])]


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
        remedy = f"{INSTALL}; or {variable}: []"
        return [Problem(host, variable, show(chosen), expected, remedy)]
    known = {name for card in gpus["cards"] for name in _names(card)}
    absent = [] if chosen == ALL else [card for card in chosen if card not in known]
    broken = {name for card in gpus["cards"] if card["error"] for name in _names(card)}
    works = trouble is None or trouble["kind"] == WARNING
    if not works and (chosen == ALL or absent or broken.intersection(chosen)):
        expected = f"{trouble['meaning']}{': ' if trouble['said'] else ''}{trouble['said']}"
        return [Problem(host, variable, show(chosen), expected, trouble["remedy"])]
    if chosen == ALL and not gpus["cards"]:
        return [Problem(host, variable, ALL, "the driver names no card", "nvidia-smi; dmesg | grep -i nvrm")]
    there = "; ".join(f"{card['index']}: {card['uuid']} ({card['name']})" for card in gpus["cards"])
    expected = f"is no card of this host, which has {there or 'none'}"
    return [Problem(host, variable, card, expected, "nvidia-smi -L lists the cards") for card in absent]


def _divided(host: str, asked: Mapping[str, Any], cards: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Whole cards that were chosen and are divided: a program finds nothing on them but their parts."""
    found = []
    for card in cards:
        parts = ", ".join(f"{part['uuid']} ({part['profile']})" for part in card["instances"])
        if not card["mig"] or (asked["chosen"] == ALL and parts):
            continue
        number = card["index"]
        if parts:
            expected, remedy = f"is divided: name one of its parts, {parts}", "nvidia-smi -L lists the parts"
        else:
            expected = "is divided and has no parts" + (f" (card {number})" if asked["chosen"] == ALL else "")
            remedy = (
                f"nvidia-smi mig -i {number} -cgi PROFILE -C makes a part (-lgip shows the profiles); "
                f"or nvidia-smi -i {number} -mig 0 ends the division"
            )
        whole = (str(number), card["uuid"])
        chosen = [ALL] if asked["chosen"] == ALL else [name for name in asked["chosen"] if name in whole]
        found += [Problem(host, asked["variable"], name, expected, remedy) for name in chosen]
    return found


def _twice(host: str, asked: Mapping[str, Any], cards: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """One card that a service names by its UUID and by its index."""
    if asked["chosen"] == ALL:
        return []
    first: dict[str, str] = {}
    uuids = {name: uuid for card in cards for name, uuid in _names(card).items()}
    return [
        Problem(host, asked["variable"], name, f"is the same card as {other}", "list it once, by its UUID")
        for name in asked["chosen"]
        if (other := first.setdefault(uuids[name], name)) != name
    ]


def _chosen(chosen: Any, cards: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(UUID, as it was written) of each card or part of one that a service gets, each once."""
    if chosen == ALL:
        parts = [part["uuid"] for card in cards for part in card["instances"]]
        return [(uuid, ALL) for uuid in parts or [card["uuid"] for card in cards]]
    by_name = {name: uuid for card in cards for name, uuid in _names(card).items()}
    found: dict[str, str] = {}
    for name in chosen:
        if name in by_name:
            found.setdefault(by_name[name], name)
    return list(found.items())


def _names(card: Mapping[str, Any]) -> dict[str, str]:
    """What a card may be called → its UUID."""
    parts = {part["uuid"]: part["uuid"] for part in card["instances"]}
    return {str(card["index"]): card["uuid"], card["uuid"]: card["uuid"], **parts}


def _size(profile: str, usable: int, kept: int) -> int:
    """A part's memory, at most: so many eighths of the card's as its profile's name (3g.71gb) says, rounded up there,
    less what the driver keeps of each part as it does of a whole card."""
    match = _PROFILE.search(profile)
    if match is None or not usable:
        return 0
    named, eighth = int(match[1]) * _GIB, (usable + kept) / 8
    eighths = min(8, max(1, round(named / eighth)))
    return max(0, min(named, int(eighth * eighths) - kept))
