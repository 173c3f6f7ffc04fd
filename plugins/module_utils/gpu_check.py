# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a container really computes on its host's cards: one check for each thing that breaks, and its remedy.

Pure: `Facts` is what was found (gpu_facts.py), `checks` what it means. A check is {name, verdict, found, expected,
remedy}; the verdict is ok, wrong, risk (works now, and is known to break) or unknown (what it needs is not there).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .cards import CDI_ENGINE, TOOLKIT
from .models import canonical
from .nvidia_smi import App, Card, Instance, Said, Trouble, listed, trouble
from .nvidia_trouble import INSTALL, WARNING

_GIB = 2**30
_LIBRARY = re.compile(r"libcuda\.so\.(\d+(?:\.\d+)+)")
_CUDA_NEEDED = re.compile(r"cuda>=(\d+\.\d+)")
_CONDITION = re.compile(r"(cuda|driver)(>=|<=|>|<)([\d.]+)")
_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
# NVIDIA's devices among those that systemd lets a container have; 195 is their number.
_ALLOWED = re.compile(r"/dev/char/195:|/dev/nvidia|char-nvidia")
_KEEP = (
    'host_daemon_options: {exec-opts: ["native.cgroupdriver=cgroupfs"]}, then playbooks/deploy-stacks.yml; '
    "or hand cards over by CDI (docs/gpu.md)"
)


@dataclass(frozen=True)
class Facts:
    """What was found on a host.

    driver_module: the loaded kernel module's version. toolkit: nvidia-ctk's version. hook: the program by which an
    engine hands over cards; no_cgroups: whether it leaves device rules to the machine outside. runtimes, engine,
    cgroup_driver: of `docker info`. cdi: the specification's text, None without one; cdi_path: where it is.
    container: whether it runs; asked: whether it was started with cards; devices: which ones, as far as they were
    named; rules: the devices that systemd lets it have, None where there is no such list; needs: its image's
    NVIDIA_REQUIRE_CUDA; seen: what `nvidia-smi -L` says in it; pids: its programs. is_ollama: whether it says where its
    models are; loaded: its /api/ps, None where it does not answer.
    """

    cards: Sequence[Card] = ()
    trouble: Trouble | None = None
    nvidia_smi: str | None = None
    cuda: str | None = None
    driver_module: str | None = None
    toolkit: str | None = None
    hook: str | None = None
    engine: str | None = None
    runtimes: Sequence[str] = ()
    cgroup_driver: str | None = None
    no_cgroups: bool = False
    cdi: str | None = None
    cdi_path: str | None = None
    container: bool = False
    asked: bool = False
    devices: Sequence[str] = ()
    rules: str | None = None
    needs: str = ""
    seen: Said | None = None
    pids: Sequence[int] = ()
    apps: Sequence[App] = ()
    is_ollama: bool = True
    loaded: Sequence[Mapping[str, Any]] | None = field(default=None)


def checks(
    facts: Facts, name: str, oldest_driver: str, may_spill: Collection[str] = ()
) -> list[dict[str, str]]:
    """Every check of a container, in the order in which a fault of one makes the next fail.

    name: the container's; may_spill: the models that may run on the processor in part.
    """
    return [
        _driver(facts, oldest_driver),
        _versions(facts),
        _toolkit(facts),
        _engine(facts),
        _container(facts, name),
        _reload(facts, name),
        *(
            [_model(facts, name, {canonical(model).lower() for model in may_spill})]
            if facts.is_ollama
            else []
        ),
        _memory(facts),
    ]


def _check(name: str, verdict: str, found: str, expected: str, remedy: str = "") -> dict[str, str]:
    return {"name": name, "verdict": verdict, "found": found, "expected": expected, "remedy": remedy}


def _driver(facts: Facts, oldest: str) -> dict[str, str]:
    cuda_needed = _CUDA_NEEDED.search(facts.needs)
    expected = f"driver {oldest} or newer" + (f", CUDA {cuda_needed[1]} or newer" if cuda_needed else "")
    if facts.nvidia_smi is None:
        return _check("driver", "wrong", "no nvidia-smi", expected, INSTALL)
    if not facts.cards:
        found = facts.trouble.said or facts.trouble.meaning if facts.trouble else "no card"
        remedy = facts.trouble.remedy if facts.trouble else "nvidia-smi -L; dmesg | grep -i nvrm"
        return _check("driver", "wrong", found, expected, remedy)
    version = facts.cards[0].driver
    found = f"driver {version}" + (f", CUDA {facts.cuda}" if facts.cuda else "")
    if _number(version) < _number(oldest):
        return _check("driver", "wrong", found, expected, f"install a newer one: {INSTALL}")
    # The toolkit asks for the same before it lets a container start.
    if not _usable(facts) and not _allowed(facts.needs, {"cuda": facts.cuda, "driver": version}):
        return _check("driver", "wrong", found, expected, f"an older image, or a newer driver: {INSTALL}")
    if facts.trouble:
        verdict = "risk" if facts.trouble.kind == WARNING else "wrong"
        return _check("driver", verdict, facts.trouble.said, "every card is in order", facts.trouble.remedy)
    return _check("driver", "ok", found, expected)


def _allowed(needs: str, versions: Mapping[str, str | None]) -> bool:
    """Whether an image's NVIDIA_REQUIRE_CUDA is met: by one of its alternatives (between them a space) with all of its
    conditions (a comma). What cannot be judged here, as a card's brand, is taken for met."""

    def met(condition: str) -> bool:
        match = _CONDITION.fullmatch(condition)
        version = versions[match[1]] if match else None
        return not match or not version or _COMPARE[match[2]](_number(version), _number(match[3]))

    return not needs or any(all(map(met, alternative.split(","))) for alternative in needs.split())


def _versions(facts: Facts) -> dict[str, str]:
    expected = "kernel module and libraries of one version"
    module = facts.driver_module or "none"
    if facts.trouble and facts.trouble.kind == "mismatch":
        found = f"module {module}; {facts.trouble.said}"
        return _check("versions", "wrong", found, expected, facts.trouble.remedy)
    if facts.cards:  # else nvidia-smi would have refused
        return _check("versions", "ok", f"both {facts.cards[0].driver}", expected)
    if facts.driver_module is None:
        found = "no module of NVIDIA's is loaded"
        return _check(
            "versions", "wrong", found, expected, "modprobe nvidia; dkms status; mokutil --sb-state"
        )
    return _check("versions", "unknown", f"module {module}", expected)


def _toolkit(facts: Facts) -> dict[str, str]:
    expected = "NVIDIA's container toolkit"
    if facts.toolkit or facts.hook:
        return _check("toolkit", "ok", facts.toolkit or str(facts.hook), expected)
    found = "neither nvidia-ctk nor nvidia-container-runtime-hook"
    return _check("toolkit", "wrong", found, expected, TOOLKIT)


def _engine(facts: Facts) -> dict[str, str]:
    """By the hook, or by CDI. A runtime without the hook serves no device request, which is how Hearth asks."""
    expected = "a way for the engine to hand over cards: the toolkit's hook, or CDI and engine 29.2"
    reads_cdi = _number(facts.engine or "0") >= CDI_ENGINE
    library = _LIBRARY.search(facts.cdi or "")
    version = facts.cards[0].driver if facts.cards else None
    if reads_cdi and library and version and library[1] != version:
        found = f"a CDI specification for driver {library[1]}, and the driver is {version}"
        remedy = f"nvidia-ctk cdi generate --output={facts.cdi_path}"
        return _check("engine", "wrong", found, "a specification made by the driver that is loaded", remedy)
    ways = [
        *(["the hook"] if facts.hook else []),
        *(["CDI"] if facts.cdi is not None and reads_cdi else []),
    ]
    if ways:
        return _check("engine", "ok", ", ".join(ways), expected)
    found = f"engine {facts.engine or '?'} with the runtimes {', '.join(facts.runtimes) or 'none'}"
    return _check("engine", "wrong", found, expected, TOOLKIT)


def _container(facts: Facts, name: str) -> dict[str, str]:
    expected = "the container sees its cards"
    if not facts.container:
        return _check("container", "unknown", f"{name} does not run", expected, f"docker start {name}")
    if not facts.asked:
        found = f"{name} was started without cards"
        return _check("container", "wrong", found, expected, f"{name}_gpus: all, or UUIDs; then deploy again")
    said = facts.seen or Said(None, "", hung=True)
    usable, wrong = _usable(facts), trouble(said)
    if usable:
        return _check("container", "ok", f"{len(usable)} of {len(facts.cards)} cards", expected)
    if wrong is None and listed(said):
        found = "the card is divided, and none of its parts is in the container"
        remedy = (
            f"{name}_gpus: the UUIDs of parts (nvidia-smi -L shows them), then playbooks/deploy-stacks.yml"
        )
        return _check("container", "wrong", found, expected, remedy)
    if "executable file not found" in said.text:
        found = "there is no nvidia-smi in it, which the toolkit puts there beside the driver's libraries"
        remedy = f"nvidia-container-cli info; docker restart {name}; journalctl -u docker | grep -i nvidia"
        return _check("container", "wrong", found, expected, remedy)
    found = (wrong.said or wrong.meaning) if wrong else "no card"
    remedy = f"docker restart {name}; if it comes back: journalctl -u docker | grep -i nvidia"
    return _check("container", "wrong", found, expected, remedy)


def _usable(facts: Facts) -> list[str]:
    """The cards that a container can compute on; of a divided one it needs a part."""
    wrong = trouble(facts.seen) if facts.seen else None
    if facts.seen is None or (wrong and wrong.kind != WARNING):
        return []
    divided = {card.uuid for card in facts.cards if card.mig}
    return [uuid for uuid, parts in listed(facts.seen).items() if parts or uuid not in divided]


def _reload(facts: Facts, name: str) -> dict[str, str]:
    """`systemctl daemon-reload` takes a container's cards away where systemd holds its device rules and was not told of
    the devices: the toolkit's hook adds them behind it (NVIDIA's troubleshooting; nvidia-container-toolkit#1744)."""
    expected = "cards survive systemctl daemon-reload"
    said = facts.seen.text if facts.seen else ""
    host_works = facts.trouble is None or facts.trouble.kind == WARNING
    if "Unknown Error" in said and facts.container and host_works:
        found = "the container has lost its cards, which the host still has"
        return _check("reload", "wrong", found, expected, f"docker restart {name}; to keep them: {_KEEP}")
    if facts.cgroup_driver != "systemd":
        return _check("reload", "ok", f"control groups by {facts.cgroup_driver or '?'}", expected)
    if facts.no_cgroups:
        return _check("reload", "ok", "the device rules are the machine's outside", expected)
    if not facts.container or not facts.asked:
        return _check("reload", "unknown", "no container with cards", expected)
    if facts.rules is None:
        return _check("reload", "unknown", f"systemd has no list of {name}'s devices", expected)
    if _ALLOWED.search(facts.rules):
        return _check("reload", "ok", "systemd knows the container's devices", expected)
    found = "control groups by systemd, which does not know that the container has the devices"
    return _check("reload", "risk", found, expected, _KEEP)


def _model(facts: Facts, name: str, may_spill: Collection[str]) -> dict[str, str]:
    expected = "each loaded model is wholly on cards"
    if facts.loaded is None:
        return _check("model", "unknown", "Ollama does not answer", expected, f"docker logs {name}")
    if not facts.loaded:
        return _check(
            "model", "unknown", "no model is loaded", expected, "ask one something, then look again"
        )
    where = [(str(item["name"]), on_card(item)) for item in facts.loaded]
    found = ", ".join(f"{model} {share:.0%}" for model, share in where) + " on cards"
    if all(share == 1 or (share > 0 and canonical(model).lower() in may_spill) for model, share in where):
        return _check("model", "ok", found, expected)
    if all(share == 0 for _model, share in where):
        remedy = f"docker logs {name} 2>&1 | grep -i -e cuda -e 'inference compute'"
        return _check("model", "wrong", found, expected, remedy)
    remedy = "a shorter context, a smaller model, or spill: true to accept it (docs/models.md)"
    return _check("model", "wrong", found, expected, remedy)


def _memory(facts: Facts) -> dict[str, str]:
    expected = "nobody else computes on the container's cards"
    own, divided = _own(facts)
    others = [app for app in facts.apps if app.pid not in facts.pids]
    if beside := [app for app in others if app.card in own]:
        remedy = f"stop it, or give it a card of its own: ps -fp {','.join(str(app.pid) for app in beside)}"
        return _check("memory", "wrong", _told(beside), expected, remedy)
    # Parts keep their memory from each other, so who is on another one is in nobody's way.
    if near := [app for app in others if app.card in divided]:
        return _check("memory", "unknown", f"{_told(near)} on some part of the divided card", expected)
    return _check("memory", "ok", "nobody else", expected)


def _own(facts: Facts) -> tuple[set[str], set[str]]:
    """The UUIDs of the whole cards and parts that a container has, and of the cards that its parts are of.

    By what it sees; else by what it was started with; else every card of the host.
    """
    has: dict[str, tuple[Instance, ...]] = listed(facts.seen) if facts.seen else {}
    named = {device.rpartition("=")[2] for device in facts.devices} - {"all"}
    for card in () if has else facts.cards:
        parts = tuple(part for part in card.instances if not named or part.uuid in named)
        if not named or parts or named & {str(card.index), card.uuid}:
            has[card.uuid] = parts
    divided = {card.uuid for card in facts.cards if card.mig}.intersection(has)
    return {*has} - divided | {part.uuid for parts in has.values() for part in parts}, divided


def _told(apps: Sequence[App]) -> str:
    return ", ".join(
        f"{app.name} (process {app.pid}"
        + (f", {app.memory / _GIB:.1f} GiB)" if app.memory is not None else ")")
        for app in apps
    )


def on_card(loaded: Mapping[str, Any]) -> float:
    """The share of a loaded model (an item of Ollama's /api/ps) that is on cards."""
    size = int(loaded.get("size") or 0)
    return min(1.0, int(loaded.get("size_vram") or 0) / size) if size else 0.0


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
