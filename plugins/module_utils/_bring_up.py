# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings a Compose project up and waits until it is healthy, or says which container is to blame.

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ._copies import Place
from ._docker import PROJECT_LABEL, Answer, Docker, EngineError, compose, stop
from ._health import BAD, GOOD, Verdict, culprit, judge
from ._regain import RegainError, join

LOG_LINES = 20

_POLL = 0.5
# Small services are healthy at once; who waits for them looks more often for so many seconds.
_SOON, _SOON_POLL = 3.0, 0.1
_SAY_AGAIN = 5.0
_DOWN_SECONDS = 300.0

Containers = Sequence[Mapping[str, Any]]


class Failure(Exception):
    """Why a change cannot go on; `error` is what the result says about it (without step and undo)."""

    def __init__(self, message: str, **error: Any) -> None:
        super().__init__(message)
        self.error = {
            "message": message,
            "container": None,
            "exit_code": None,
            "health_output": None,
            "log_lines": [],
            **error,
        }


class BringUp:
    """One attempt to bring a project up, with one deadline for all of it, which starts now.

    before: the containers that were there before the change; their earlier restarts do not count.
    deadline: seconds. say, masked: the transaction's. file: what to bring up instead of the stack's compose.yaml.
    """

    def __init__(
        self,
        docker: Docker,
        project: str,
        stack_dir: str,
        before: Containers,
        deadline: float,
        say: Callable[[str], None],
        masked: Callable[[str], str],
        file: str | None = None,
    ) -> None:
        self.docker = docker
        self.project = project
        self.stack_dir = stack_dir
        self.before = before
        self.deadline = deadline
        self.say = say
        self.masked = masked
        self.file = file
        self.started = time.monotonic()
        self.until = self.started + deadline

    def up(self, *more: str) -> None:
        """`docker compose up`, watched: a crash loop fails early, and nothing waits beyond the deadline."""
        options = ["--detach", "--remove-orphans", "--no-build", "--pull", "never", *more]
        self.say("starts what changed" if self.before else "starts")
        arguments = compose(self.project, self.stack_dir, "up", *options, file=self.file)
        # In memory: Compose quotes settings that it cannot use, secrets included, and the disk may be full.
        with os.fdopen(os.memfd_create("compose"), "w+b") as output:
            process = self.docker.start(arguments, stdout=output, stderr=output)
            try:
                self._watch(process)
            except BaseException:
                stop(process)
                raise
            code = process.wait()
            output.seek(0)
            said = output.read().decode("utf-8", "replace")
        if code:
            answer = Answer(code, "", said)
            containers, verdicts = self._judged(up_ended=True)
            message = f"docker compose up failed: {self.masked(answer.reason)}"
            raise self._blame(culprit(containers, verdicts), message, answer.err)

    def wait_until_healthy(self) -> None:
        """Return when every container is up; raises Failure for a lost one and at the deadline."""
        self._watch(None)

    def reload(self, service: str, command: Sequence[str]) -> None:
        """Let a container that went on running through the change read its files again."""
        started = {item["id"]: item["started"] for item in self.before}
        running = [item for item in self.docker.containers(self.project) if item["service"] == service]
        if not any(started.get(item["id"]) == item["started"] for item in running):
            return
        self.say(f"{service} reads its configuration again")
        answer = self.docker.call(*compose(self.project, self.stack_dir, "exec", "-T", service, *command))
        if not answer.good:
            message = f"{service} does not take its new configuration: {self.masked(answer.reason)}"
            raise Failure(message, container=service, exit_code=answer.code)

    def load(self, item: Mapping[str, Any], source: str) -> None:
        """Start the container of a data alone, and give it the dump in the file `source`, or what `regain` saved there.

        item: {name, place, container, restore (argv), regain}. Raises Failure.
        """
        self.say(f"loads {item['name']}")
        self.up("--no-deps", item["container"])
        while True:
            found = [
                one for one in self.docker.containers(self.project) if one["service"] == item["container"]
            ]
            if found and found[0]["health"] == "healthy":
                break
            if time.monotonic() > self.until:
                raise Failure(f"{item['container']} does not get healthy", container=item["container"])
            time.sleep(_POLL)
        if item.get("regain"):
            try:
                place = str(Place(self.docker, item["place"], "").path)
                join(item["regain"], source, place, str(found[0]["id"]), self.say)
            except RegainError as problem:
                text = f"what was saved of {item['name']} cannot be joined with what is there"
                raise Failure(f"{text}: {self.masked(str(problem))}") from problem
            return
        with open(source, "rb") as file:
            answer = self.docker.call(
                "exec", "-i", found[0]["id"], *item["restore"], timeout=None, stdin=file
            )
        if not answer.good:
            raise Failure(f"{item['container']} refuses the dump: {self.masked(answer.reason)}")

    def recreated(self) -> list[str]:
        """Names of the containers that were not there before."""
        old = {item["id"] for item in self.before}
        return sorted(item["name"] for item in self.docker.containers(self.project) if item["id"] not in old)

    def _watch(self, up: subprocess.Popen | None) -> None:
        """Look at the containers until `docker compose up` has ended; without it, until all of them are up."""
        said, said_at, begun = "", 0.0, time.monotonic()
        while up is None or up.poll() is None:
            now = time.monotonic()
            try:
                containers, verdicts = self._judged(up_ended=up is None)
            except EngineError as problem:  # an engine that restarts; the deadline bounds it
                if now >= self.until:
                    raise Failure(f"Docker does not answer: {problem}") from problem
                _pause(up, now - begun)
                continue
            waiting = culprit(containers, verdicts)
            text = f"{waiting['name']} {verdicts[waiting['id']].text}" if waiting else "nothing runs yet"
            if waiting and verdicts[waiting["id"]].kind == BAD:
                raise self._blame(waiting, text)
            if up is None and containers and all(item.kind == GOOD for item in verdicts.values()):
                return
            if now >= self.until:
                raise self._blame(waiting, f"not healthy within {self.deadline:.0f} s: {text}")
            if waiting and (text != said or now - said_at >= _SAY_AGAIN):
                self.say(
                    f"waits for {waiting['name']}: {verdicts[waiting['id']].text}, {now - self.started:.0f} s"
                )
                said, said_at = text, now
            _pause(up, now - begun)

    def _judged(self, up_ended: bool) -> tuple[list[dict[str, Any]], dict[str, Verdict]]:
        restarts = {item["id"]: item["restarts"] for item in self.before}
        containers = self.docker.containers(self.project)
        now = time.time()
        verdicts = {
            item["id"]: judge(item, restarts.get(item["id"], 0), now, up_ended) for item in containers
        }
        return containers, verdicts

    def _blame(self, container: Mapping[str, Any] | None, message: str, output: str = "") -> Failure:
        """The failure with what its container had to say; `output` speaks where none is to blame."""
        if container is None:
            return Failure(
                message, log_lines=[self.masked(line) for line in output.splitlines()][-LOG_LINES:]
            )
        return Failure(
            message,
            container=container["name"],
            exit_code=None if container["state"] == "running" else container["exit_code"],
            health_output=self.masked(container["health_output"] or "") or None,
            log_lines=[self.masked(line) for line in self.docker.logs(container["id"], LOG_LINES)],
        )


def _pause(up: subprocess.Popen | None, waited: float) -> None:
    """Until the next look, and no longer than `docker compose up` goes on."""
    if up is None:
        time.sleep(_SOON_POLL if waited < _SOON else _POLL)
        return
    with suppress(subprocess.TimeoutExpired):
        up.wait(_POLL)


def stop_all(docker: Docker, project: str, *services: str) -> None:
    """Stop a project's containers, or those of these services; each gets the time that it asks for. Raises Failure."""
    answer = docker.call("compose", "--project-name", project, "stop", *services, timeout=None)
    if not answer.good:
        wanted = [item for item in docker.containers(project) if not services or item["service"] in services]
        _without_compose(docker, "stop", wanted, answer.reason)


def take_down(docker: Docker, project: str) -> None:
    """Stop and remove a project's containers and networks, never its volumes. Raises Failure.

    By labels and without compose.yaml, which may be the broken part.
    """
    answer = docker.call(
        "compose", "--project-name", project, "down", "--remove-orphans", timeout=_DOWN_SECONDS
    )
    if answer.good:
        return
    left = docker.containers(project)
    _without_compose(docker, "stop", left, answer.reason)
    _without_compose(docker, "rm", left, answer.reason)
    networks = docker.call("network", "ls", "--quiet", "--filter", f"label={PROJECT_LABEL}={project}")
    removed = docker.call("network", "rm", *networks.out.split()) if networks.out.split() else networks
    if not removed.good:
        raise Failure(f"docker compose down failed: {answer.reason}, and docker network rm: {removed.reason}")


def _without_compose(docker: Docker, command: str, containers: Containers, why: str) -> None:
    """Compose gives up where somebody removed a container that another one depends on; the engine does not."""
    if containers:
        answer = docker.call(command, *(item["id"] for item in containers), timeout=_DOWN_SECONDS)
        if not answer.good:
            raise Failure(f"docker compose failed: {why}, and docker {command}: {answer.reason}")
