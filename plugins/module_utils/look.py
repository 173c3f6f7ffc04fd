# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One read-only look at a host: what is there, what runs, and what Hearth left behind.

Runs on the host: standard library only. The shape of the answer is described in modules/look.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from . import _container, _journal, _nft, _sockets, nvidia_smi
from ._docker import Docker, EngineError
from ._durable import look_at_files, read_json
from ._state import NewerState, committed, read_state

_CONTAINER_KEYS = (
    *("id", "service", "image", "image_id", "state", "health", "exit_code", "restarts", "config", "networks"),
)
_BRIDGE = '{{.Id}} {{with index .Options "com.docker.network.bridge.name"}}{{.}}{{end}}'
# Without this program beside it an engine cannot hand a card to a container, unless it has a CDI specification.
HOOK = "nvidia-container-runtime-hook"
# Written by the engine when it starts.
ENGINE_PID = "/run/docker.pid"
# By CDI's own precedence. NVIDIA's service writes the first at each boot; the other is written by hand.
_CDI = ("/var/run/cdi", "/etc/cdi")
_TOOLKIT_CONFIG = "/etc/nvidia-container-runtime/config.toml"
_NO_CGROUPS = re.compile(r"^\s*no-cgroups\s*=\s*true\b", re.MULTILINE)


def look(
    stacks_dir: str,
    data_dir: str,
    state_dir: str,
    stacks: Sequence[str],
    images: Sequence[str],
    paths: Sequence[str],
    packet_filter: bool = False,
    gpus: bool = False,
    digests: Sequence[str] = (),
    docker: Docker | None = None,
) -> dict[str, Any]:
    """The whole answer of hearth.llm.look. Never raises because of Docker."""
    docker = docker or Docker()
    with ThreadPoolExecutor(max_workers=4) as pool:
        asked = {
            "info": pool.submit(docker.call, "info", "--format", "{{json .}}"),
            "containers": pool.submit(_quietly, _all_containers, docker),
            "networks": pool.submit(_quietly, docker.networks),
            "frontend": pool.submit(docker.call, "network", "inspect", "frontend", "--format", _BRIDGE),
            "volumes": pool.submit(_quietly, docker.volumes),
            "images": pool.submit(_quietly, docker.image_ids, images),
        }
        states = committed_states(state_dir)
        answer = {
            "system": system(),
            "container": _container.look(),
            "gpus": _gpus(gpus),
            "filter": _nft.look(packet_filter),
            "backups": read_json(os.path.join(state_dir, "backups", "status.json")),
        }
    got = {name: future.result() for name, future in asked.items()}
    engine = describe_engine(got["info"])
    containers = got["containers"] or []
    places = [stacks_dir, data_dir, *([engine["root"]] if engine["root"] else []), *paths]
    return {
        **answer,
        "engine": engine,
        "digests": {path: digest(path) for path in digests},
        "disks": {path: disk(path) for path in places},
        "paths": {path: path_facts(path) for path in paths},
        "networks": got["networks"] or [],
        "frontend_bridge": _bridge(got["frontend"]),
        "volumes": got["volumes"] or [],
        "listening": _sockets.listening(containers),
        "images": got["images"] or dict.fromkeys(images),
        "stacks": _stacks(stacks, states, stacks_dir, state_dir, containers),
    }


def look_at_stacks(
    stacks_dir: str, state_dir: str, stacks: Sequence[str], docker: Docker | None = None
) -> dict[str, Any]:
    """`stacks` of the answer alone, for whoever waits for them: {stacks: {name: …}}."""
    containers = _quietly(_all_containers, docker or Docker()) or []
    return {"stacks": _stacks(stacks, committed_states(state_dir), stacks_dir, state_dir, containers)}


def _stacks(
    asked: Iterable[str],
    states: Mapping[str, dict[str, Any]],
    stacks_dir: str,
    state_dir: str,
    containers: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    return {
        name: stack(name, states.get(name), stacks_dir, state_dir, containers)
        for name in sorted({*asked, *states})
    }


def _quietly(ask: Any, *arguments: Any) -> Any:
    """None where Docker does not answer: that it does not is said once, under `engine`."""
    try:
        return ask(*arguments)
    except EngineError:
        return None


def _bridge(inspected: Any) -> str | None:
    """The interface of a network, from its name among the network's options or from its id."""
    identity, _space, name = inspected.out.strip().partition(" ")
    return (name or f"br-{identity[:12]}") if inspected.good else None


def _all_containers(docker: Docker) -> list[dict[str, Any]]:
    listed = docker.call("ps", "-aq", "--no-trunc")
    return docker.inspect(listed.out.split())


def describe_engine(info: Any) -> dict[str, Any]:
    """`engine` of the answer, from what `docker info` said of the engine and of the client's plugins."""
    try:
        found = json.loads(info.out or "{}")
    except ValueError:
        found = {}
    version = found.get("ServerVersion") or None
    plugins = (found.get("ClientInfo") or {}).get("Plugins") or []
    compose: dict[str, Any] = next(
        (item for item in plugins if item["Name"] == "compose" and not item.get("Err")), {}
    )
    return {
        "present": bool(version) or shutil.which("dockerd") is not None,
        "running": bool(version),
        "version": version,
        "compose": (compose.get("Version") or "").lstrip("v") or None,
        "root": found.get("DockerRootDir") or None,
        "runtimes": sorted(found.get("Runtimes") or {}),
        "error": None if version else next(iter(found.get("ServerErrors") or ()), info.reason),
    }


def system() -> dict[str, Any]:
    """The machine: distribution, architecture, Python, memory in bytes."""
    release = os_release()
    return {
        "os": {"id": release.get("ID"), "version": release.get("VERSION_ID")},
        "arch": platform.machine(),
        "python": platform.python_version(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "uid": os.geteuid(),
        "systemd": os.path.isdir("/run/systemd/system"),
        "hostname": socket.gethostname(),
    }


def os_release(path: str = "/etc/os-release") -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            pairs = (line.strip().partition("=") for line in file if "=" in line)
            return {name: value.strip("\"'") for name, _equals, value in pairs}
    except OSError:
        return {}


def disk(path: str) -> dict[str, Any]:
    """Free (for us) and total bytes where `path` lies or would lie, and the device, to tell disks apart."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    usage = os.statvfs(path)
    device = os.stat(path).st_dev
    return {
        "free": usage.f_bavail * usage.f_frsize,
        "total": usage.f_blocks * usage.f_frsize,
        "device": f"{os.major(device)}:{os.minor(device)}",
    }


def digest(path: str) -> str | None:
    """The sha256 of a small file; None where it is not there."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None


def path_facts(path: str) -> dict[str, Any]:
    """{exists, kind (directory, file, other, None), mode ("0755"), owner ("uid:gid"), empty} of one path.

    empty: whether a directory has nothing in it; what may not be read counts as full.
    """
    try:
        info = os.stat(path)
    except OSError:
        return {"exists": False, "kind": None, "mode": None, "owner": None, "empty": True}
    kind = "directory" if stat.S_ISDIR(info.st_mode) else "file" if stat.S_ISREG(info.st_mode) else "other"
    mode = f"{stat.S_IMODE(info.st_mode):04o}"
    owner = f"{info.st_uid}:{info.st_gid}"
    return {"exists": True, "kind": kind, "mode": mode, "owner": owner, "empty": _is_empty(path)}


def _is_empty(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def committed_states(state_dir: str) -> dict[str, dict[str, Any]]:
    """What was committed on this host, by service; {newer: why} for what only a newer Hearth can read."""
    found: dict[str, dict[str, Any]] = {}
    for name in committed(state_dir):
        try:
            state = read_state(state_dir, name)
        except NewerState as problem:
            state = {"newer": str(problem)}
        if state:
            found[name] = state
    return found


def stack(
    name: str,
    state: Mapping[str, Any] | None,
    stacks_dir: str,
    state_dir: str,
    containers: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    """{files, containers, state, transaction} of one stack; the committed state knows where it lies."""
    state = state or None
    folder = (state or {}).get("stack_dir") or os.path.join(stacks_dir, name)
    project = (state or {}).get("project") or name
    return {
        "files": {path: asdict(facts) for path, facts in look_at_files(folder).items()},
        "containers": {
            item["name"]: {key: item[key] for key in _CONTAINER_KEYS}
            for item in containers
            if item["project"] == project
        },
        "state": state,
        "transaction": _journal.unfinished(state_dir, name),
    }


def _gpus(asked: bool) -> dict[str, Any]:
    """What of cards a service of this host may need; the driver is asked only where one does."""
    path = nvidia_smi.find()
    cards, trouble = nvidia_smi.ask(path) if asked else ([], None)
    hook = shutil.which(HOOK)
    return {
        "nvidia_smi": path,
        "cards": [card.as_dict() for card in cards],
        "trouble": trouble.as_dict() if trouble else None,
        "hook": hook,
        "taken_up": taken_up(hook),
        "cdi": cdi_specification(),
        "no_cgroups": no_cgroups(),
    }


def taken_up(hook: str | None) -> bool:
    """Whether the engine started after the toolkit's hook came: it looks for it only then.

    True as well where the engine leaves its mark elsewhere. A newer version of the toolkit is a newer file.
    """
    try:
        return hook is not None and os.stat(hook).st_ctime <= os.stat(ENGINE_PID).st_mtime
    except OSError:
        return True


def no_cgroups() -> bool:
    """Whether the toolkit leaves control groups alone, as it has to inside LXC."""
    try:
        with open(_TOOLKIT_CONFIG, encoding="utf-8", errors="replace") as file:
            return bool(_NO_CGROUPS.search(file.read()))
    except OSError:
        return False


def cdi_specification() -> str | None:
    """The file that tells engines how a card is handed to a container, by the Container Device Interface."""
    for folder in _CDI:
        for name in ("nvidia.yaml", "nvidia.json"):
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                return path
    return None
