# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes a secret inside a running service, and tries whether one is accepted. Runs on the host.

Standard library only. Values go by standard input or over a connection, never by arguments.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
import subprocess
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ._docker import SERVICE_LABEL, environment
from .chat import connect

_PATIENCE = 30.0  # seconds for a service that has just become healthy to take a connection
_PAUSE = 0.5
_TIMEOUT = 60.0
_REFUSED = 10  # not 1, with which a program ends that broke
_LATER = os.EX_TEMPFAIL
_MASK = "***"


class WorkError(Exception):
    """It could not be done or told; the text says why, without any value."""


class NotNow(WorkError):
    """It cannot be done while the service is as it is; after a restart it may."""


def apply(step: Mapping[str, Any]) -> None:
    """Let a program in the service's container put `new` in force. Raises WorkError; NotNow where it ends with 75.

    step: {container, interpreter: argv, program: text, new, old}. The program reads both from its standard input, a
    line each, new first, and does nothing where the new one is in force already.
    """
    code, said = _in_container(step, f"{step['new']}\n{step['old']}\n")
    if code:
        failure = NotNow if code == _LATER else WorkError
        raise failure(_masked(said or f"its program ended with {code}", step["new"], step["old"]))


def accepted(step: Mapping[str, Any]) -> bool:
    """Whether the service accepts `value`. Raises WorkError where it says neither yes nor no.

    step: {value} and either {container, interpreter, program} (a line of standard input; ends with 0 or 10) or
    {url, or container, port and path; headers, user (for basic authentication), body, accepted, refused: statuses}.
    Where `accepted` is null, every answer below 500 but `refused` is an acceptance.
    """
    if "program" in step:
        code, said = _in_container(step, f"{step['value']}\n")
        if code not in (0, _REFUSED):
            raise WorkError(_masked(said or f"its program ended with {code}", step["value"]))
        return code == 0
    status = _status(step)
    if status == step["refused"]:
        return False
    if status == step["accepted"] or (step["accepted"] is None and status < 500):
        return True
    raise WorkError(f"answered {status}; expected {step['accepted']} or {step['refused']}")


def _in_container(step: Mapping[str, Any], given: str) -> tuple[int, str]:
    command = ["docker", "exec", "-i", step["container"], *step["interpreter"], step["program"]]
    try:
        done = subprocess.run(
            command,
            input=given.encode(),
            capture_output=True,
            env=environment(),
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkError(f"the program in {step['container']} did not end: {type(error).__name__}") from None
    lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return done.returncode, lines[-1] if lines else ""


def _status(step: Mapping[str, Any]) -> int:
    """The status of the answer to the request that `step` describes."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return _ask(step)
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() >= until:
                raise WorkError(f"does not answer: {error}") from None
            time.sleep(_PAUSE)


def _ask(step: Mapping[str, Any]) -> int:
    value = step["value"]
    headers = {name: text.replace("{secret}", value) for name, text in (step.get("headers") or {}).items()}
    if step.get("user") is not None:
        pair = base64.b64encode(f"{step['user']}:{value}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    body = None
    if step.get("body") is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(_filled(step["body"], value))
    url = step.get("url") or f"http://{address(step['container'])}:{step['port']}{step['path']}"
    parts = urlsplit(url)
    connection = connect(url, step.get("address"), step.get("ca_file"), _TIMEOUT)
    try:
        connection.request("POST" if body else "GET", parts.path or "/", body, headers)
        return int(connection.getresponse().status)
    except ssl.SSLError as error:
        raise WorkError(f"its certificate is not trusted: {error.reason}") from None
    finally:
        connection.close()


def _filled(item: Any, value: str) -> Any:
    if isinstance(item, Mapping):
        return {key: _filled(part, value) for key, part in item.items()}
    return item.replace("{secret}", value) if isinstance(item, str) else item


def _docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False).stdout


def address(container: str) -> str:
    """A container's address in the first of its networks; of one that has replicas, any one's. Raises WorkError."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    replicas = _docker("ps", "--quiet", "--filter", f"label={SERVICE_LABEL}={container}").split()
    found = _docker("container", "inspect", "--format", form, container, *replicas).split()
    if not found:
        raise WorkError(f"the container {container} is not there, or has no address")
    return found[0]


def _masked(text: str, *values: str) -> str:
    return re.sub("|".join(re.escape(value) for value in values if value), _MASK, text)
