# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds what gpu_check.py judges. Runs on the host; nothing is changed, and nothing that hangs is waited for."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from . import look, nvidia_smi, ollama
from ._docker import Docker
from .gpu_check import Facts

_MODULE = "/proc/driver/nvidia/version"
_MODULE_VERSION = re.compile(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)")
# Where systemd keeps the devices that runc told it of. What the toolkit's hook adds is not among them.
_RULES = "/run/systemd/transient/docker-{}.scope.d/50-DeviceAllow.conf"
_INFO = '{"engine": {{json .ServerVersion}}, "runtimes": {{json .Runtimes}}, "cgroup_driver": {{json .CgroupDriver}}}'


def gather(container: str, port: int | None, patience: float, docker: Docker | None = None) -> Facts:
    """Everything about a container and its host's cards; port: of the Ollama in it, None for another program."""
    docker = docker or Docker()
    path = nvidia_smi.find()
    cards, trouble = nvidia_smi.ask(path, lambda command: nvidia_smi.call(command, patience))
    apps, cuda = [], None
    if path and cards:
        apps = nvidia_smi.apps(nvidia_smi.call([path, *nvidia_smi.QUERY_APPS], patience))
        cuda = nvidia_smi.cuda(nvidia_smi.call([path, *nvidia_smi.QUERY_HEAD], patience))
    info = _json(docker.call("info", "--format", _INFO).out)
    inspected = (_json(docker.call("container", "inspect", container).out) or [{}])[0]
    running = bool((inspected.get("State") or {}).get("Running"))
    asked = wants_cards(inspected)
    specification = look.cdi_specification()
    return Facts(
        cards=cards,
        trouble=trouble,
        nvidia_smi=path,
        cuda=cuda,
        driver_module=module_version(_read(_MODULE)),
        toolkit=_toolkit(patience),
        hook=shutil.which(look.HOOK),
        engine=(info or {}).get("engine"),
        runtimes=sorted((info or {}).get("runtimes") or {}),
        cgroup_driver=(info or {}).get("cgroup_driver"),
        no_cgroups=look.no_cgroups(),
        cdi=_read(specification) if specification else None,
        cdi_path=specification,
        container=running,
        asked=asked,
        devices=device_ids(inspected),
        rules=_read(_RULES.format(inspected.get("Id"))) or None,
        needs=environment(inspected).get("NVIDIA_REQUIRE_CUDA", ""),
        seen=_seen(docker, container, patience) if running and asked else None,
        pids=_pids(docker, container) if running else (),
        apps=apps,
        is_ollama=port is not None,
        loaded=_loaded(inspected, port) if running and port is not None else None,
    )


def module_version(text: str) -> str | None:
    """The kernel module's version, from /proc/driver/nvidia/version."""
    match = _MODULE_VERSION.search(text)
    return match[1] if match else None


def wants_cards(inspected: Any) -> bool:
    """Whether a container was started with cards, from `docker inspect`: by a device request, or by a runtime."""
    host = inspected.get("HostConfig") or {}
    for request in host.get("DeviceRequests") or []:
        kinds = {kind for group in request.get("Capabilities") or [] for kind in group}
        named = any("nvidia.com/gpu" in str(name) for name in request.get("DeviceIDs") or [])
        if named or "gpu" in kinds or request.get("Driver") in ("nvidia", "cdi"):
            return True
    visible = environment(inspected).get("NVIDIA_VISIBLE_DEVICES", "")
    return host.get("Runtime") == "nvidia" and visible not in ("", "void", "none")


def device_ids(inspected: Any) -> list[str]:
    """The cards that a container was started with, from `docker inspect`, as far as they were named."""
    requests = (inspected.get("HostConfig") or {}).get("DeviceRequests") or []
    return [str(device) for request in requests for device in request.get("DeviceIDs") or []]


def environment(inspected: Any) -> dict[str, str]:
    items = (inspected.get("Config") or {}).get("Env") or []
    return {name: value for name, _equals, value in (item.partition("=") for item in items)}


def _seen(docker: Docker, container: str, patience: float) -> nvidia_smi.Said:
    answer = docker.call("exec", container, "nvidia-smi", "-L", timeout=patience)
    return nvidia_smi.Said(answer.code, answer.out + answer.err, hung=answer.code is None)


def _pids(docker: Docker, container: str) -> list[int]:
    lines = docker.call("top", container, "-eo", "pid").out.splitlines()
    return [int(line) for line in lines if line.strip().isdecimal()]


def _loaded(inspected: Any, port: int) -> list[dict[str, Any]] | None:
    url = ollama.address(inspected, port)
    try:
        return ollama.Client(url).loaded() if url else None
    except ollama.OllamaError:
        return None


def _toolkit(patience: float) -> str | None:
    path = shutil.which("nvidia-ctk")
    return (
        nvidia_smi.call([path, "--version"], patience).text.split("\n")[0].strip() or path if path else None
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
