# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drives the `docker` command, and reads what it answers.

The command and not the API: it knows the operator's contexts, registries' credentials and Compose. Arguments are
lists, never a shell's text, and never hold a secret.
Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import datetime
import json
import os
import pwd
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _probe

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
CONFIG_LABEL = "hearth.config"

_QUICK = 60.0
_KEPT_VARIABLES = re.compile(
    r"DOCKER_\w+|XDG_\w+|SSL_CERT_\w+|(?i:https?_proxy|no_proxy)|HOME|PATH|SSH_AUTH_SOCK"
)


@dataclass(frozen=True)
class Answer:
    """How a command ended: exit status (None: it ran out of time), standard output and error as text."""

    code: int | None
    out: str
    err: str

    @property
    def good(self) -> bool:
        return self.code == 0

    @property
    def reason(self) -> str:
        """The last line that says why it failed."""
        if self.code is None:
            return "no answer in time"
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.code}"


class Program:
    """A command of this host.

    `hold`: open handles that every child inherits. A lock whose handle is among them stays taken while a child
    lives, also when this process is killed: nobody else starts before an orphaned `docker compose up` has ended.
    """

    def __init__(self, program: str, hold: Sequence[int] = ()) -> None:
        self.program = program
        self.hold = tuple(hold)

    def start(self, arguments: Sequence[str], **options: Any) -> subprocess.Popen:
        """Start the command in a process group of its own. Raises OSError where there is no such command."""
        return subprocess.Popen(
            [self.program, *arguments],
            env=environment(),
            cwd="/",
            pass_fds=self.hold,
            start_new_session=True,
            **{"stdin": subprocess.DEVNULL, **options},
        )

    def call(self, *arguments: str, timeout: float | None = _QUICK, **options: Any) -> Answer:
        """Run the command to its end, or stop it after `timeout` seconds. Never raises."""
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        try:
            process = self.start(arguments, **piped)
        except OSError as error:
            return Answer(127, "", f"{self.program}: {error.strerror}")
        try:
            out, err = process.communicate(timeout=timeout)
            code = process.returncode
        except subprocess.TimeoutExpired:
            stop(process)
            out, err, code = b"", b"", None
        return Answer(code, (out or b"").decode("utf-8", "replace"), (err or b"").decode("utf-8", "replace"))


class Docker(Program):
    """The docker command of this host."""

    def __init__(self, program: str = "docker", hold: Sequence[int] = ()) -> None:
        super().__init__(program, hold)

    def containers(self, project: str) -> list[dict[str, Any]]:
        """The containers of a Compose project, those of `docker compose run` left out. Raises EngineError."""
        listed = self._checked("ps", "-aq", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}")
        return [item for item in self.inspect(listed.split()) if item["project"] == project]

    def inspect(self, containers: Sequence[str]) -> list[dict[str, Any]]:
        """`describe` of each container that (still) is there. Raises EngineError."""
        if not containers:
            return []
        answer = self.call("container", "inspect", *containers)
        try:
            found = json.loads(answer.out or "[]")
        except ValueError as error:
            raise EngineError(answer.reason) from error
        # One that vanished since it was listed makes the command fail and is simply not there.
        if not answer.good and "no such container" not in answer.err.lower():
            raise EngineError(answer.reason)
        described = [_with_probe(describe(item), item) for item in found]
        return sorted((item for item in described if not item["one_off"]), key=lambda item: item["name"])

    def image_ids(self, references: Iterable[str]) -> dict[str, str | None]:
        """The local image id of each reference, None where it is not there. Raises EngineError."""
        wanted = sorted(set(references))
        if not wanted:
            return {}
        answer = self.call("image", "inspect", "--format", "{{.Id}}", *wanted)
        found = answer.out.split()
        missing = missing_images(answer.err, wanted)
        if len(found) + len(missing) != len(wanted):
            raise EngineError(answer.reason)
        present = iter(found)
        return {reference: None if reference in missing else next(present) for reference in wanted}

    def networks(self) -> list[str]:
        """Names of the networks. Raises EngineError."""
        return sorted(self._checked("network", "ls", "--format", "{{.Name}}").split())

    def volumes(self) -> list[str]:
        """Names of the volumes. Raises EngineError."""
        return sorted(self._checked("volume", "ls", "--quiet").split())

    def logs(self, container: str, lines: int) -> list[str]:
        """A container's last lines, both streams, newest last; empty where there are none."""
        answer = self.call("logs", "--tail", str(lines), container)
        # Both streams come apart; most services use only one of them.
        return [line.rstrip() for line in (answer.out + answer.err).splitlines() if line.strip()][-lines:]

    def _checked(self, *arguments: str) -> str:
        answer = self.call(*arguments)
        if not answer.good:
            raise EngineError(answer.reason)
        return answer.out


class EngineError(Exception):
    """Docker did not answer, or refused; the text is its own."""


def environment() -> dict[str, str]:
    """The environment of every docker command: what reaches the engine and the registries, nothing else.

    Compose puts its environment into compose.yaml; whatever the operator's shell holds must not decide what runs.
    """
    kept = {name: value for name, value in os.environ.items() if _KEPT_VARIABLES.fullmatch(name)}
    kept.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    # A unit at boot has no HOME, and the command looks for its plugins there.
    kept.setdefault("HOME", pwd.getpwuid(os.geteuid()).pw_dir)
    return {
        **kept,
        "LC_ALL": "C.UTF-8",
        "COMPOSE_ANSI": "never",
        "COMPOSE_MENU": "0",
        "DOCKER_CLI_HINTS": "false",
    }


def compose(project: str, folder: str, *arguments: str, file: str | None = None) -> list[str]:
    """Arguments of `docker compose` for the stack whose files lie in `folder`; file: instead of its compose.yaml.

    --env-file: a file `.env` that someone put there would fill in variables unseen.
    """
    files = ["--project-directory", folder, "--file", file or os.path.join(folder, "compose.yaml")]
    return ["compose", "--project-name", project, "--env-file", os.devnull, *files, *arguments]


def stop(process: subprocess.Popen, patience: float = 10.0) -> None:
    """End a command and its children: asked first, killed after `patience` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=patience)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait()
            return


def missing_images(errors: str, references: Iterable[str]) -> set[str]:
    """The references that `docker image inspect` complained about.

    20.10 to 28 say "Error: No such image: REF" or "Error response from daemon: no such image: REF: No such image: REF".
    """
    named = {match.group(1) for match in re.finditer(r"[Nn]o such image: (\S+?):?(?=\s|$)", errors)}
    return {reference for reference in references if reference in named}


def describe(found: Mapping[str, Any]) -> dict[str, Any]:
    """What matters of one container in the answer of `docker container inspect`.

    id, name, service, project (None where Compose did not make it), image (the reference), image_id, state (running,
    exited, restarting, ...), health (None without a healthcheck), health_output (of its last run), exit_code, restarts,
    restart_policy, started (seconds since the epoch, None if never), config (our label), ports (published ones:
    [{port, address, protocol}]), networks (their names), one_off.
    """
    state, config = found["State"], found["Config"]
    labels = config.get("Labels") or {}
    health = state.get("Health") or {}
    log = health.get("Log") or []
    return {
        "id": found["Id"],
        "name": found["Name"].lstrip("/"),
        "service": labels.get(SERVICE_LABEL),
        "project": labels.get(PROJECT_LABEL),
        "image": config["Image"],
        "image_id": found["Image"],
        "state": state["Status"],
        "health": None if health.get("Status") in (None, "none") else health["Status"],
        "health_output": (log[-1].get("Output") or "").strip() if log else None,
        "exit_code": state["ExitCode"],
        "restarts": found.get("RestartCount", 0),
        "restart_policy": found["HostConfig"].get("RestartPolicy", {}).get("Name") or "no",
        "started": epoch(state.get("StartedAt", "")),
        "error": state.get("Error") or "",
        "config": labels.get(CONFIG_LABEL),
        "ports": _published(found),
        "networks": sorted((found.get("NetworkSettings") or {}).get("Networks") or {}),
        "one_off": labels.get(ONE_OFF_LABEL, "").lower() == "true",
    }


def _with_probe(described: dict[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """A container's health as the host sees it, where Docker has no check of its own for it."""
    if described["health"] is None:
        described["health"], described["health_output"] = _probe.health(found, described["started"])
    return described


def _published(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    ports = (found.get("NetworkSettings") or {}).get("Ports") or {}
    return [
        {
            "port": int(binding["HostPort"]),
            "address": binding["HostIp"],
            "protocol": inside.rpartition("/")[2],
        }
        for inside, bindings in sorted(ports.items())
        for binding in bindings or ()
        if binding.get("HostPort")
    ]


def epoch(text: str) -> float | None:
    """Seconds since the epoch of Docker's time, which has nanoseconds; None for its "never" (year 1)."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?\d*(Z|[+-]\d\d:\d\d)$", text)
    if not match or text.startswith("0001"):
        return None
    moment, fraction, zone = match.groups()
    zone = "+00:00" if zone == "Z" else zone
    return datetime.datetime.fromisoformat(moment + zone).timestamp() + float(fraction or 0)
