# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tries whether a backup can be restored: starts the service on it beside the running one, where nobody reaches it.

The stack is the deployed compose.yaml as a project of its own: no published port, no label that routes, networks of its
own without a way out, and in place of each of its data the restored ones. What runs is not touched.
Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from . import _backup_content
from ._backup_restore import attempt
from ._backup_snapshot import Snapshot, unpacked
from ._bring_up import Failure, take_down
from ._docker import Docker, EngineError, compose
from ._restic import Restic, Trouble
from ._unrouted import unrouted

_PREFIX = "hearth-drill-"
_SMALL = 16 * 1024**3
_WEEK = 7 * 86400


def check(repository: Restic, percent: int) -> None:
    """Have restic check a repository and read what is in it: all of a small one, a part of a large one. Raises Trouble.

    Another part each week, so that all of it has been read after a while.
    """
    size = json.loads(repository.good("stats", "--json", "--mode", "raw-data"))["total_size"]
    parts = 1 if size <= _SMALL else max(1, round(100 / percent))
    turn = int(time.time() // _WEEK) % parts + 1
    repository.good("check", f"--read-data-subset={turn}/{parts}")


def drill(
    docker: Docker,
    plan: Mapping[str, Any],
    service: Mapping[str, Any],
    snapshot: Snapshot,
    say: Callable[[str], None],
) -> None:
    """Restore a service's snapshot beside it, start it there, and have it find what was noted. Raises Trouble."""
    name = service["name"]
    project = f"{_PREFIX}{name}"
    where = os.path.join(plan["data_dir"], ".drill", name)
    try:
        take_down(docker, project)  # what a killed drill left
        with (
            unpacked(snapshot, where, say) as found,
            tempfile.NamedTemporaryFile("w", suffix=".json") as file,
        ):
            data = {item["name"]: item for item in service["data"] if item["name"] in found}
            dumps = {item: found[item] for item in data if data[item]["save"] == "dump"}
            places = {data[item]["place"]: found[item] for item in data if item not in dumps}
            for item in dumps:
                places[data[item]["place"]] = empty = os.path.join(where, f"{item}.empty")
                like = os.stat(data[item]["place"]) if os.path.isdir(data[item]["place"]) else None
                os.mkdir(empty)
                if like:
                    os.chown(empty, like.st_uid, like.st_gid)
                    os.chmod(empty, like.st_mode & 0o7777)
            answer = docker.call(*compose(name, service["stack_dir"], "config", "--format", "json"))
            if not answer.good:
                raise Failure(f"docker compose refuses compose.yaml: {answer.reason}")
            json.dump(isolated(json.loads(answer.out), project, places), file)
            file.flush()
            try:
                say(f"{name}: starts {snapshot.id} beside what runs, where nobody reaches it")
                for item, source in dumps.items():
                    attempt(docker, service, say, project, file.name).load(data[item], source)
                trial = attempt(docker, service, say, project, file.name)
                trial.up()
                trial.wait_until_healthy()
                directories = {item: places[data[item]["place"]] for item in data}
                noted = snapshot.manifest.get("note")
                try:
                    _backup_content.find(docker, service, project, directories, noted)
                except Trouble as problem:
                    raise Failure(f"healthy, but what was noted is lost: {problem}") from problem
                if noted is not None:
                    say(f"{name}: found what was noted when it was saved")
            finally:
                take_down(docker, project)
    except (Failure, EngineError, OSError) as problem:
        raise Trouble(
            f"{name} is not whole on {snapshot.id}: {problem}",
            "look at older ones: hearth-backup drill --snapshot ID " + name,
        ) from problem


def isolated(model: Mapping[str, Any], project: str, places: Mapping[str, str]) -> dict[str, Any]:
    """A stack as a project of its own on other data, without a way in or out.

    model: what `docker compose config --format json` says; places: where its data lie (a directory, or a volume's name)
    → the directory to take instead.
    """
    found = unrouted(model, project)
    found["name"] = project
    networks = found.get("networks") or {}
    found["networks"] = {key: {"name": f"{project}_{key}", "internal": True} for key in networks}
    volumes = {
        key: (item or {}).get("name") or key for key, item in (found.pop("volumes", None) or {}).items()
    }
    for service in found["services"].values():
        service.pop("container_name", None)
        service["restart"] = "no"
        for key, joined in (service.get("networks") or {}).items():
            aliases = {"aliases": joined["aliases"]} if joined and joined.get("aliases") else None
            service["networks"][key] = aliases
        service["volumes"] = [
            mount for item in service.get("volumes") or [] if (mount := _moved(item, places, volumes))
        ]
    return found


def _moved(
    mount: Mapping[str, Any], places: Mapping[str, str], volumes: Mapping[str, str]
) -> dict[str, Any] | None:
    """A mount on the restored data; configuration is mounted read-only, and other data are left out."""
    source = mount.get("source", "")
    place = volumes.get(source, source)
    inside = next((item for item in places if place == item or place.startswith(f"{item}/")), None)
    if inside is not None:
        moved = places[inside] + place[len(inside) :]
        return {"type": "bind", "source": moved, "target": mount["target"]}
    if mount.get("type") == "bind" and os.path.exists(source):
        return {**mount, "read_only": True}
    return None if mount.get("type") == "volume" else dict(mount)
