# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host's side of leaving the old structure: look at it, put it aside, bring it back, or let it go.

Every step can be undone and repeated. The steps are written to <state_dir>/migration.json before the first of them, so
that the next run brings back what a killed one left half done. Runs on hosts: standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import _durable
from ._docker import Docker, EngineError

SUFFIX = "before-hearth"

_FOLDER_LABEL = "com.docker.compose.project.working_dir"
_PROJECT_LABEL = "com.docker.compose.project"
_VERSION_LABEL = "org.opencontainers.image.version"
# A host that starts many containers at once is slow, and giving up in the middle helps nobody.
_PATIENCE = 300.0


def look(docker: Docker, folders: Sequence[str], targets: Iterable[str], state_dir: str) -> dict[str, Any]:
    """What old_structure.plan goes by, and `interrupted`: whether a killed run left something half done.

    targets: the directories of the new structure's data. Raises EngineError.
    """
    there = [folder for folder in folders if os.path.isdir(folder)]
    listed = docker.call("ps", "-aq", "--no-trunc", "--filter", f"label={_FOLDER_LABEL}")
    if not listed.good:
        raise EngineError(listed.reason)
    containers = [_describe(item) for item in _inspect(docker, listed.out.split())]
    containers = [item for item in containers if item["folder"] in folders]
    sources = {
        mount["source"] for item in containers for mount in item["mounts"] if os.path.isdir(mount["source"])
    }
    kept = [f"{source}.{SUFFIX}" for source in sources]
    return {
        "folders": there,
        "containers": sorted(containers, key=lambda item: item["name"]),
        "sizes": {source: _size(source) for source in sources},
        "free": {source: shutil.disk_usage(source).free for source in sources},
        "taken": [path for path in (*targets, *kept) if os.path.isdir(path) and os.listdir(path)],
        "interrupted": os.path.exists(_journal(state_dir)),
    }


def put_aside(docker: Docker, steps: Sequence[Mapping[str, Any]], state_dir: str) -> None:
    """Carry the steps out. Raises EngineError and OSError; `bring_back` undoes what was done until then."""
    os.makedirs(state_dir, mode=0o700, exist_ok=True)
    _durable.write_json(_journal(state_dir), {"steps": list(steps)})
    for step in steps:
        _do(docker, step)


def bring_back(docker: Docker, state_dir: str) -> bool:
    """Undo the steps of `put_aside`, last first; False where there are none. Raises EngineError and OSError."""
    written = _durable.read_json(_journal(state_dir))
    if not written:
        return False
    for step in reversed(written["steps"]):
        _undo(docker, step)
    os.unlink(_journal(state_dir))
    return True


def let_go(docker: Docker, folders: Iterable[str], state_dir: str) -> list[str]:
    """Remove the old containers, their networks and the stacks' directories; data stays. Returns what was removed."""
    removed = []
    for folder in folders:
        label = f"label={_FOLDER_LABEL}={folder}"
        listed = docker.call("ps", "-aq", "--no-trunc", "--filter", label)
        found = _inspect(docker, listed.out.split())
        for item in found:
            _checked(docker, "rm", "--force", item["Id"])
            removed.append(item["Name"].lstrip("/"))
        for project in {item["Config"]["Labels"].get(_PROJECT_LABEL) for item in found} - {None}:
            networks = docker.call("network", "ls", "-q", "--filter", f"label={_PROJECT_LABEL}={project}")
            for network in networks.out.split():
                docker.call("network", "rm", network)
        if os.path.isdir(folder):
            shutil.rmtree(folder)
            removed.append(folder)
    if os.path.exists(_journal(state_dir)):
        os.unlink(_journal(state_dir))
    return removed


def _do(docker: Docker, step: Mapping[str, Any]) -> None:
    if step["do"] == "stop":
        _checked(docker, "stop", step["container"])
    elif step["do"] == "rename":
        _checked(docker, "rename", step["container"], step["to"])
    elif step["do"] == "move":
        os.makedirs(os.path.dirname(step["to"]), exist_ok=True)
        _make_room(step["to"])
        shutil.move(step["from"], step["to"])
    elif step["do"] == "copy":
        half = f"{step['to']}.half"
        shutil.rmtree(half, ignore_errors=True)
        os.makedirs(os.path.dirname(step["to"]), exist_ok=True)
        # cp, because it keeps owners, links and holes, and shares blocks where the file system can.
        _run("cp", "--archive", "--reflink=auto", step["from"], half)
        _run("chown", "--recursive", "--no-dereference", step["owner"], half)
        _make_room(step["to"])
        os.rename(half, step["to"])


def _undo(docker: Docker, step: Mapping[str, Any]) -> None:
    """The reverse of a step, or nothing where it was not done."""
    if step["do"] == "stop":
        if step["ran"]:
            _checked(docker, "start", step["container"])
    elif step["do"] == "rename":
        answer = docker.call("container", "inspect", "--format", "{{.Name}}", step["container"])
        if answer.out.strip() == f"/{step['to']}":
            _checked(docker, "rename", step["container"], step["from"])
    elif step["do"] == "move" and os.path.isdir(step["to"]):
        if os.path.isdir(step["from"]):  # what the new version made in its place
            os.rename(step["from"], f"{step['from']}.failed-{int(time.time())}")
        shutil.move(step["to"], step["from"])
    elif step["do"] == "copy":
        shutil.rmtree(f"{step['to']}.half", ignore_errors=True)
        # The original was only read: what the new version did to its copy is of no use to the old one.
        if os.path.isdir(step["from"]) and os.path.isdir(step["to"]):
            shutil.rmtree(step["to"])


def _make_room(path: str) -> None:
    """An empty directory is in nobody's way; a full one was refused by the plan."""
    if os.path.isdir(path):
        os.rmdir(path)


def _describe(found: Mapping[str, Any]) -> dict[str, Any]:
    labels = found["Config"].get("Labels") or {}
    image = found["Config"]["Image"]
    tag = image.split("@", 1)[0].rpartition("/")[2].partition(":")[2]
    return {
        "id": found["Id"],
        "name": found["Name"].lstrip("/"),
        "image": image,
        "version": tag if any(letter.isdigit() for letter in tag) else labels.get(_VERSION_LABEL, ""),
        "folder": labels.get(_FOLDER_LABEL),
        "running": found["State"]["Status"] in ("running", "restarting"),
        "mounts": [
            {"destination": item["Destination"], "source": item["Source"], "type": item["Type"]}
            for item in found.get("Mounts") or ()
        ],
    }


def _inspect(docker: Docker, containers: Sequence[str]) -> list[dict[str, Any]]:
    if not containers:
        return []
    found: list[dict[str, Any]] = json.loads(_checked(docker, "container", "inspect", *containers))
    return found


def _checked(docker: Docker, *arguments: str) -> str:
    answer = docker.call(*arguments, timeout=_PATIENCE)
    if not answer.good:
        raise EngineError(answer.reason)
    return answer.out


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")


def _size(folder: str) -> int:
    """Bytes on the disk below a directory."""
    return sum(
        os.lstat(os.path.join(place, file)).st_blocks * 512
        for place, _folders, files in os.walk(folder)
        for file in files
        if os.path.lexists(os.path.join(place, file))
    )


def _journal(state_dir: str) -> str:
    return os.path.join(state_dir, "migration.json")
