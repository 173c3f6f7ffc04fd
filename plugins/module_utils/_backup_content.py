# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service's own content, noted when it is saved and asked for again in a drill.

A service may bring a program (`drill` in service.yml). It runs on the host, with a JSON object on its standard input:

    do            `note`: write down on standard output, as JSON, something that the service would find again, or null
                  `find`: end with 0 where the service answers with it, else say on standard error what is wrong
    note          for `find`: what was noted
    container     its id, for `docker exec`; address: its address; port: its port; environment: its environment
    data          name -> directory

Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from ._docker import Docker
from ._restic import Trouble

_SECONDS = 300.0


def note(docker: Docker, service: Mapping[str, Any], data: Mapping[str, str]) -> Any:
    """What the running service would find again; None where there is nothing, or where it does not run. Raises Trouble.

    service: of view_backups.plan; data: name → directory.
    """
    if not service.get("drill") or not _running(docker, service, service["name"]):
        return None
    said = _run(docker, service, service["name"], data, {"do": "note"})
    try:
        return json.loads(said)
    except ValueError as error:
        raise Trouble(f"its program noted no JSON: {said[:200]!r}") from error


def find(
    docker: Docker, service: Mapping[str, Any], project: str, data: Mapping[str, str], noted: Any
) -> None:
    """Have a project find what was noted. Raises Trouble where it does not."""
    if service.get("drill") and noted is not None:
        _run(docker, service, project, data, {"do": "find", "note": noted})


def _running(docker: Docker, service: Mapping[str, Any], project: str) -> list[str]:
    return [
        str(item["id"])
        for item in docker.containers(project)
        if item["service"] == service["drill"]["container"] and item["state"] == "running"
    ]


def _run(
    docker: Docker,
    service: Mapping[str, Any],
    project: str,
    data: Mapping[str, str],
    asked: Mapping[str, Any],
) -> str:
    drill = service["drill"]
    containers = _running(docker, service, project)
    if not containers:
        raise Trouble(f"{drill['container']} does not run")
    answer = docker.call("container", "inspect", containers[0])
    if not answer.good:
        raise Trouble(f"{drill['container']} is gone: {answer.reason}")
    found = json.loads(answer.out)[0]
    networks = ((found.get("NetworkSettings") or {}).get("Networks") or {}).values()
    addresses = [item["IPAddress"] for item in networks if item.get("IPAddress")]
    environment = dict(item.partition("=")[::2] for item in found["Config"].get("Env") or [])
    told = {
        "container": containers[0],
        "address": addresses[0] if addresses else None,
        "port": drill["port"],
        "environment": environment,
        "data": dict(data),
        **asked,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", drill["program"]],
            input=json.dumps(told).encode(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"its program did not end within {_SECONDS:.0f} s") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Trouble(lines[-1] if lines else f"its program ended with {done.returncode}")
    return done.stdout.decode("utf-8", "replace")
