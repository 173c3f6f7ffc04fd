# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a container really computes on its host's cards: one check for each thing that breaks, and its remedy.

Pure: `Facts` is what was found (gpu_facts.py), `checks` what it means. A check is {name, verdict, found, expected,
remedy}; the verdict is ok, wrong, risk (works now, and is known to break) or unknown (what it needs is not there).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .cards import CDI_ENGINE
from .models import canonical
from .nvidia_smi import App, Card, Said, Trouble, trouble

_GIB = 2**30
_LIBRARY = re.compile(r"libcuda\.so\.(\d+(?:\.\d+)+)")
_CUDA_NEEDED = re.compile(r"cuda>=(\d+\.\d+)")


@dataclass(frozen=True)
class Facts:
    """What was found on a host.

    driver_module: the loaded kernel module's version. toolkit: nvidia-ctk's version. hook: the program by which an
    engine hands over cards. runtimes, engine, cgroup_driver: of `docker info`. cdi: the specification's text, None
    without one. links: whether /dev/char names the devices. container: whether it runs; asked: whether it was started
    with cards; needs: its image's NVIDIA_REQUIRE_CUDA; seen: what `nvidia-smi -L` says in it; pids: its programs.
    is_ollama: whether it says where its models are; loaded: its /api/ps, None where it does not answer.
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
    cdi: str | None = None
    links: bool = False
    container: bool = False
    asked: bool = False
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
        _reload(facts),
        *([_model(facts, {canonical(model).lower() for model in may_spill})] if facts.is_ollama else []),
        _memory(facts),
    ]


def _check(name: str, verdict: str, found: str, expected: str, remedy: str = "") -> dict[str, str]:
    return {"name": name, "verdict": verdict, "found": found, "expected": expected, "remedy": remedy}


def _driver(facts: Facts, oldest: str) -> dict[str, str]:
    cuda_needed = _CUDA_NEEDED.search(facts.needs)
    expected = f"driver {oldest} or newer" + (f", CUDA {cuda_needed[1]} or newer" if cuda_needed else "")
    if facts.nvidia_smi is None:
        remedy = "apt install nvidia-driver (Debian), ubuntu-drivers install (Ubuntu); then reboot"
        return _check("driver", "wrong", "no nvidia-smi", expected, remedy)
    if not facts.cards:
        found = facts.trouble.said or facts.trouble.meaning if facts.trouble else "no card"
        remedy = facts.trouble.remedy if facts.trouble else "nvidia-smi -L; dmesg | grep -i nvrm"
        return _check("driver", "wrong", found, expected, remedy)
    version = facts.cards[0].driver
    found = f"driver {version}" + (f", CUDA {facts.cuda}" if facts.cuda else "")
    if _number(version) < _number(oldest):
        return _check("driver", "wrong", found, expected, "install a newer driver, then reboot")
    if cuda_needed and facts.cuda and _number(facts.cuda) < _number(cuda_needed[1]):
        return _check("driver", "wrong", found, expected, "install a newer driver, or an older image")
    if facts.trouble:
        return _check("driver", "wrong", facts.trouble.said, "every card answers", facts.trouble.remedy)
    return _check("driver", "ok", found, expected)


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
    remedy = "deploy with host_manage_gpu: true; or: apt install nvidia-container-toolkit; systemctl restart docker"
    return _check(
        "toolkit", "wrong", "neither nvidia-ctk nor nvidia-container-runtime-hook", expected, remedy
    )


def _engine(facts: Facts) -> dict[str, str]:
    """By the hook, by a runtime, or by CDI."""
    expected = "a way for the engine to hand over cards"
    reads_cdi = _number(facts.engine or "0") >= CDI_ENGINE
    library = _LIBRARY.search(facts.cdi or "")
    version = facts.cards[0].driver if facts.cards else None
    if library and version and library[1] != version:
        found = f"a CDI specification for driver {library[1]}, and the driver is {version}"
        remedy = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
        return _check("engine", "wrong", found, "a specification made by the driver that is loaded", remedy)
    ways = [
        *(["the hook"] if facts.hook else []),
        *(["the runtime nvidia"] if "nvidia" in facts.runtimes else []),
        *(["CDI"] if facts.cdi is not None and reads_cdi else []),
    ]
    if ways:
        return _check("engine", "ok", ", ".join(ways), expected)
    found = f"engine {facts.engine or '?'} with the runtimes {', '.join(facts.runtimes) or 'none'}"
    remedy = "nvidia-ctk runtime configure --runtime=docker; systemctl restart docker"
    return _check("engine", "wrong", found, expected, remedy)


def _container(facts: Facts, name: str) -> dict[str, str]:
    expected = "the container sees its cards"
    if not facts.container:
        return _check("container", "unknown", f"{name} does not run", expected, f"docker start {name}")
    if not facts.asked:
        found = f"{name} was started without cards"
        return _check("container", "wrong", found, expected, f"{name}_gpus: all, or UUIDs; then deploy again")
    said = facts.seen or Said(None, "", hung=True)
    lines = [line for line in said.text.splitlines() if line.startswith("GPU ")]
    if said.code == 0 and lines:
        return _check("container", "ok", f"{len(lines)} of {len(facts.cards)} cards", expected)
    if "executable file not found" in said.text:
        found = "there is no nvidia-smi in it, which the toolkit puts there beside the driver's libraries"
        remedy = f"nvidia-container-cli info; docker restart {name}; journalctl -u docker | grep -i nvidia"
        return _check("container", "wrong", found, expected, remedy)
    wrong = trouble(said)
    found = (wrong.said or wrong.meaning) if wrong else "no card"
    remedy = (
        f"docker restart {name}; if it comes back: nvidia-ctk system create-dev-char-symlinks --create-all"
    )
    return _check("container", "wrong", found, expected, remedy)


def _reload(facts: Facts) -> dict[str, str]:
    """`systemctl daemon-reload` takes a container's cards away where systemd holds its device rules and knows no names
    for the devices (NVIDIA/nvidia-docker#1730)."""
    expected = "cards survive systemctl daemon-reload"
    said = facts.seen.text if facts.seen else ""
    if "Unknown Error" in said and facts.container and not facts.trouble:
        found = "the container has lost its cards, which the host still has"
        remedy = "docker restart of the container; nvidia-ctk system create-dev-char-symlinks --create-all"
        return _check("reload", "wrong", found, expected, remedy)
    if facts.cgroup_driver != "systemd":
        return _check("reload", "ok", f"control groups by {facts.cgroup_driver or '?'}", expected)
    if facts.links:
        return _check("reload", "ok", "/dev/char names the devices", expected)
    if not facts.asked:
        return _check("reload", "unknown", "no container with cards", expected)
    found = "control groups by systemd, and /dev/char does not name the devices"
    remedy = "nvidia-ctk system create-dev-char-symlinks --create-all, at each boot"
    return _check("reload", "risk", found, expected, remedy)


def _model(facts: Facts, may_spill: Collection[str]) -> dict[str, str]:
    expected = "each loaded model is wholly on cards"
    if facts.loaded is None:
        return _check("model", "unknown", "Ollama does not answer", expected, "docker logs ollama")
    if not facts.loaded:
        return _check(
            "model", "unknown", "no model is loaded", expected, "ask one something, then look again"
        )
    where = [(str(item["name"]), on_card(item)) for item in facts.loaded]
    found = ", ".join(f"{name} {share:.0%}" for name, share in where) + " on cards"
    if all(share == 1 or (share > 0 and canonical(name).lower() in may_spill) for name, share in where):
        return _check("model", "ok", found, expected)
    if all(share == 0 for _name, share in where):
        remedy = "docker logs ollama 2>&1 | grep -i -e cuda -e 'inference compute'"
        return _check("model", "wrong", found, expected, remedy)
    remedy = "a shorter context, a smaller model, or spill: true to accept it (docs/models.md)"
    return _check("model", "wrong", found, expected, remedy)


def _memory(facts: Facts) -> dict[str, str]:
    expected = "nobody else computes on the cards"
    others = [app for app in facts.apps if app.pid not in facts.pids]
    if not others:
        return _check("memory", "ok", "nobody else", expected)
    found = ", ".join(
        f"{app.name} (process {app.pid}"
        + (f", {app.memory / _GIB:.1f} GiB)" if app.memory is not None else ")")
        for app in others
    )
    remedy = f"stop it, or give it a card of its own: ps -fp {','.join(str(app.pid) for app in others)}"
    return _check("memory", "wrong", found, expected, remedy)


def on_card(loaded: Mapping[str, Any]) -> float:
    """The share of a loaded model (an item of Ollama's /api/ps) that is on cards."""
    size = int(loaded.get("size") or 0)
    return min(1.0, int(loaded.get("size_vram") or 0) / size) if size else 0.0


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
