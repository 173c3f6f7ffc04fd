# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change to one stack as a transaction: known to be good before anything is touched, then healthy or undone.

Runs on the host, detached from the connection, and needs nothing there but Python 3.9, Docker and Compose. Together
with the `_*.py` files that it imports it is kept on the host as <state_dir>/engine.py (see job.py), for the boot:

    python3 engine.py run STATE_DIR SERVICE ID      carry out a submitted transaction
    python3 engine.py recover STATE_DIR             finish or undo what a crash interrupted
    python3 engine.py status STATE_DIR              what is committed and what is under way, as JSON

The plan (plan.json): {format: 1, id, name, title, project, stack_dir, state_dir, digest, exports, deadline (seconds),
files: [{path, content (base64), mode ("0644"), owner ("uid:gid")}], directories: [{path, owner, mode}],
images: {container: reference}, check: null or {container, command},
reload: null or {paths, command, container}}.

The result (result.json): {outcome: committed | undone | failed, stands: new | previous | nothing | unknown (what is
there now), changed_files, recreated (containers), seconds: {step: s}, finished_at, error: null or {step, message,
container, exit_code, health_output, log_lines, undo}}.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from . import _durable, _stack_files
from ._docker import Answer, Docker, EngineError, compose, stop
from ._health import GOOD, Verdict, culprit, judge
from ._journal import COMMIT, DROP, STEPS, Folder, decide, folders, private_folders, reached
from ._masking import mask, secret_values
from ._pull import pull

STATE_FORMAT = 1
LOG_LINES = 20
SAVED_LOG_LINES = 500

_POLL = 0.5
_SAY_AGAIN = 5.0
_CHECK_SECONDS = 120.0
_DOWN_SECONDS = 300.0
_ENGINE_PATIENCE = 60.0
_RECOVER_PATIENCE = 3600.0


class Failure(Exception):
    """Why a transaction cannot go on; `error` is what the result says (without step and undo)."""

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


class Transaction:
    """Carries out one transaction whose plan lies in `folder`. The caller holds the host's lock."""

    def __init__(self, folder: Folder, docker: Docker, poll: float = _POLL) -> None:
        plan = folder.plan()
        if plan is None:
            raise Failure(f"{folder.path} holds no plan")
        self.folder = folder
        self.docker = docker
        self.poll = poll
        self.plan: dict[str, Any] = plan
        self.project: str = plan["project"]
        self.stack_dir: str = plan["stack_dir"]
        self.deadline = float(plan["deadline"])
        self.reload: dict[str, Any] = plan.get("reload") or {}
        self.seconds: dict[str, float] = {}
        self.step = reached(folder.journal())
        self._model: dict[str, Any] = {}
        self._secrets: set[str] | None = None

    # The way forward ---------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """All steps; whatever goes wrong is undone. Returns the result."""
        try:
            for step in STEPS[:-1]:
                self._do(step, getattr(self, f"_{step}"))
            return self.commit()
        except Exception as problem:  # whatever it is: half a change may not stay
            return self.give_up(problem)

    def _do(self, step: str, work: Callable[[], None]) -> None:
        self.step = step
        self.folder.mark(step, "begin")
        started = time.monotonic()
        try:
            work()
        finally:
            self.seconds[step] = round(time.monotonic() - started, 3)
        self.folder.mark(step, "done")

    def _staged(self) -> None:
        _stack_files.stage(self.plan["files"], self.folder.new)

    def _checked(self) -> None:
        arguments = compose(self.project, self.folder.new, "config", "--format", "json")
        answer = self.docker.call(*arguments)
        if not answer.good:
            raise Failure(f"docker compose refuses compose.yaml: {self._masked(answer.reason)}")
        for line in answer.err.splitlines():
            if "variable is not set" in line:
                raise Failure(f"compose.yaml: {self._masked(line.strip())}; a literal $ is written $$ there")
        self._model = json.loads(answer.out)
        missing = sorted(external_networks(self._model) - set(self.docker.networks()))
        if missing:
            raise Failure(f"the network {', '.join(missing)} is not there; the role `host` makes it")
        check = self.plan.get("check")
        if check and self.docker.image_ids([self._image(check["container"])]).popitem()[1]:
            self._check_product()

    def _pulled(self) -> None:
        references = {*self.plan["images"].values()}
        references |= {
            service["image"] for service in self._model["services"].values() if service.get("image")
        }
        missing = [reference for reference, image in self.docker.image_ids(references).items() if not image]
        for reference in missing:
            self._pull(reference)
        check = self.plan.get("check")
        if check and self._image(check["container"]) in missing:
            self._check_product()

    def _pull(self, reference: str) -> None:
        text = f"pulls {reference}"
        self._say(text)

        def say(done: int, total: int, layers_done: int, layers: int) -> None:
            sizes = {"bytes": done, "total": total} if total else {}
            self._say(text if total else f"{text}: {layers_done} of {layers} layers", **sizes)

        answer = pull(self.docker, reference, say)
        if not answer.good:
            raise Failure(f"{reference} cannot be pulled: {answer.reason}")

    def _image(self, container: str) -> str:
        reference = self._model["services"].get(container, {}).get("image") or self.plan["images"].get(
            container
        )
        if not reference:
            raise Failure(f"the check names the container {container}, which compose.yaml does not have")
        return reference

    def _check_product(self) -> None:
        """Let the product look at its new configuration, mounted as it will be, without a network."""
        check = self.plan["check"]
        service = self._model["services"].get(check["container"], {})
        arguments = ["run", "--rm", "--name", f"hearth-check-{self.folder.id}", "--network", "none"]
        if service.get("user"):
            arguments += ["--user", str(service["user"])]
        for mount in service.get("volumes") or ():
            if mount["type"] == "bind" and _is_below(mount["source"], self.folder.new):
                arguments += ["--volume", f"{mount['source']}:{mount['target']}:ro"]
        program, *rest = check["command"]
        arguments += ["--entrypoint", program, self._image(check["container"]), *rest]
        self._say(f"{check['container']} checks its new configuration")
        answer = self.docker.call(*arguments, timeout=_CHECK_SECONDS)
        if answer.code is None:
            self.docker.call("rm", "--force", f"hearth-check-{self.folder.id}")
        if not answer.good:
            lines = [self._masked(line) for line in (answer.out + answer.err).splitlines() if line.strip()]
            raise Failure(
                f"{check['container']} refuses its new configuration: {self._masked(answer.reason)}",
                container=check["container"],
                exit_code=answer.code,
                log_lines=lines[-LOG_LINES:],
            )

    def _kept(self) -> None:
        """Keep all that going back needs: the images' ids under a name of ours, the files, who ran."""
        containers = self.docker.containers(self.project)
        wanted = self.docker.image_ids(self.plan["images"].values())
        for item in containers:
            if item["service"] and item["image_id"] not in wanted.values():
                self.docker.call("tag", item["image_id"], kept_name(self.folder.service, item["service"]))
        os.makedirs(self.folder.previous, mode=0o700, exist_ok=True)
        listing = _stack_files.keep(self.stack_dir, self.folder.previous)
        wanted_files = _stack_files.wanted_facts(self.plan["files"], self.folder.new)
        changed = _stack_files.changes(wanted_files, _durable.look_at_files(self.stack_dir))
        keys = ("id", "name", "service", "image", "image_id", "state", "health", "restarts", "started")
        before = {
            "files": listing,
            "containers": [{key: item[key] for key in keys} for item in containers],
            "changed_files": changed,
        }
        _durable.write_json(self.folder.inside("previous.json"), before)
        self._secrets = None

    @property
    def before(self) -> dict[str, Any]:
        """What `kept` found: {files: listing, containers: [...], changed_files: [...]}; empty before that step."""
        empty = {"files": [], "containers": [], "changed_files": []}
        return _durable.read_json(self.folder.inside("previous.json")) or empty

    def _placed(self) -> None:
        for path in _stack_files.make_directories(self.plan.get("directories") or ()):
            self._say(f"made {path}")
        _stack_files.place(self.plan["files"], self.folder.new, self.stack_dir)

    def _up(self) -> None:
        before, until = self.before, time.monotonic() + self.deadline
        self._deadline_at = until
        changed = before["changed_files"]
        reloaded = [path for path in changed if self._is_reloaded(path)]
        if changed and changed == reloaded and _all_run(before["containers"]):
            self._reload(before["containers"])
            return
        self._compose_up(before["containers"], until)
        # A stack whose template does not carry the configuration's hash would go on with the old configuration.
        quiet = [
            path for path in changed if path.startswith(("config/", "secrets/")) and path not in reloaded
        ]
        if quiet and before["containers"] and not self._recreated(before["containers"]):
            self._say("starts the containers anew: their configuration changed")
            self._compose_up(before["containers"], until, "--force-recreate")
        if reloaded:
            self._reload(before["containers"])

    def _is_reloaded(self, path: str) -> bool:
        return path.startswith(tuple(self.reload.get("paths") or ("\0",)))

    def _reload(self, before: Sequence[Mapping[str, Any]]) -> None:
        """Tell the running container to read its files again; nothing to tell where it watches them itself."""
        command, service = self.reload.get("command"), self.reload.get("container")
        if not command:
            return
        started = {item["id"]: item["started"] for item in before}
        running = [item for item in self.docker.containers(self.project) if item["service"] == service]
        if not any(item["id"] in started and started[item["id"]] == item["started"] for item in running):
            return
        self._say(f"{service} reads its configuration again")
        arguments = compose(self.project, self.stack_dir, "exec", "-T", service, *command)
        answer = self.docker.call(*arguments)
        if not answer.good:
            message = f"{service} does not take its new configuration: {self._masked(answer.reason)}"
            raise Failure(message, container=service, exit_code=answer.code)

    def _compose_up(self, before: Sequence[Mapping[str, Any]], until: float, *more: str) -> None:
        """`docker compose up`, watched: what dies early fails now, and nothing waits beyond the deadline."""
        options = ["--detach", "--remove-orphans", "--no-build", "--pull", "never", *more]
        self._say("starts what changed" if before else "starts")
        with open(self.folder.inside("up.log"), "wb") as output:
            os.fchmod(output.fileno(), 0o600)
            arguments = compose(self.project, self.stack_dir, "up", *options)
            process = self.docker.start(arguments, stdout=output, stderr=output)
        try:
            self._watch(
                before, until, lambda verdicts: process.poll() is not None, lambda: process.poll() is not None
            )
        except Failure:
            stop(process)
            raise
        if process.wait():
            with open(self.folder.inside("up.log"), "rb") as output:
                answer = Answer(process.returncode, "", output.read().decode("utf-8", "replace"))
            containers, verdicts = self._judged(before, up_ended=True)
            blamed = culprit(containers, verdicts)
            raise self._blame(blamed, f"docker compose up failed: {self._masked(answer.reason)}")

    def _healthy(self) -> None:
        until = getattr(self, "_deadline_at", time.monotonic() + self.deadline)
        self._watch(
            self.before["containers"],
            until,
            lambda verdicts: bool(verdicts) and all(item.kind == GOOD for item in verdicts.values()),
            lambda: True,
        )

    def _watch(
        self,
        before: Sequence[Mapping[str, Any]],
        until: float,
        enough: Callable[[Mapping[str, Verdict]], bool],
        up_ended: Callable[[], bool],
    ) -> None:
        """Look at the containers until it is `enough`; raises Failure for a lost one and at the deadline."""
        started, said, said_at = time.monotonic(), "", time.monotonic()
        while True:
            ended = up_ended()
            try:
                containers, verdicts = self._judged(before, ended)
            except EngineError as problem:  # an engine that restarts; the deadline bounds it
                if time.monotonic() >= until:
                    raise Failure(f"Docker does not answer: {problem}") from problem
                time.sleep(self.poll)
                continue
            lost = next((item for item in containers if verdicts[item["id"]].kind == "bad"), None)
            if lost:
                raise self._blame(lost, f"{lost['name']} {verdicts[lost['id']].text}")
            if enough(verdicts):
                return
            waiting = culprit(containers, verdicts)
            text = (
                f"{waiting['name']}: {verdicts[waiting['id']].text}"
                if waiting
                else "docker compose up is at work"
            )
            now = time.monotonic()
            if now >= until:
                name = f"{text} after" if waiting else f"{text} still after"
                raise self._blame(waiting, f"not healthy in time: {name} {self.deadline:.0f} s")
            if waiting and (text != said or now - said_at >= _SAY_AGAIN):
                self._say(f"waits for {text}, {now - started:.0f} s")
                said, said_at = text, now
            time.sleep(self.poll)

    def _judged(
        self, before: Sequence[Mapping[str, Any]], up_ended: bool
    ) -> tuple[list[dict[str, Any]], dict[str, Verdict]]:
        restarts = {item["id"]: item["restarts"] for item in before}
        containers = self.docker.containers(self.project)
        now = time.time()
        return containers, {
            item["id"]: judge(item, restarts.get(item["id"], 0), now, up_ended) for item in containers
        }

    def _recreated(self, before: Sequence[Mapping[str, Any]]) -> list[str]:
        old = {item["id"] for item in before}
        return sorted(item["name"] for item in self.docker.containers(self.project) if item["id"] not in old)

    # How it ends -------------------------------------------------------------------------------------------------

    def commit(self) -> dict[str, Any]:
        """Write down what stands now. Everything here may be done again after a crash in the middle of it."""
        self.step = "committed"
        self.folder.mark("committed", "begin")
        before = self.before
        containers = self.docker.containers(self.project)
        keys = ("id", "service", "image", "image_id")
        state = {
            "format": STATE_FORMAT,
            **{
                key: self.plan.get(key)
                for key in ("name", "title", "project", "stack_dir", "digest", "exports")
            },
            "id": self.folder.id,
            "committed_at": _now(),
            "containers": {item["name"]: {key: item[key] for key in keys} for item in containers},
            "files": {path: item.sha256 for path, item in _durable.look_at_files(self.stack_dir).items()},
        }
        private_folders(self.folder.state_dir, "stacks")
        _durable.write_json(state_path(self.folder.state_dir, self.folder.service), state)
        self.folder.mark("committed", "done")
        old = {item["id"] for item in before["containers"]}
        result = self._result("committed", "new", None)
        result["recreated"] = sorted(item["name"] for item in containers if item["id"] not in old)
        self._release_images(before)
        return self._finish(result)

    def give_up(self, problem: Exception) -> dict[str, Any]:
        """Go back to what was there. Returns the result; raises EngineError when Docker is gone (try again later)."""
        failure = problem if isinstance(problem, Failure) else Failure(f"{type(problem).__name__}: {problem}")
        error = {"step": self.step, **failure.error, "undo": None}
        self._say(f"failed: {failure}")
        if decide(self.folder.journal()) == DROP:
            stands = "previous" if os.path.exists(os.path.join(self.stack_dir, "compose.yaml")) else "nothing"
            return self._finish(self._result("failed", stands, error))
        self.folder.mark("undone", "begin")
        self.await_engine()
        try:
            outcome, stands = self._undo()
        except (Failure, OSError, ValueError) as second:
            error["undo"] = str(second)
            outcome, stands = "failed", "unknown"
        self.folder.mark("undone", "done")
        return self._finish(self._result(outcome, stands, error))

    def _undo(self) -> tuple[str, str]:
        before = self.before
        self._save_logs()
        if not (before["files"] and before["containers"]):
            return self._take_down(before)
        self._say("puts the previous version back")
        _stack_files.place(before["files"], self.folder.previous, self.stack_dir)
        for item in before["containers"]:
            self._point_back(item)
        until = time.monotonic() + self.deadline
        now = self.docker.containers(self.project)
        self._compose_up(now, until)
        if any(self._is_reloaded(path) for path in before["changed_files"]):
            self._reload(before["containers"])
        self._deadline_at = until
        self._healthy()
        self._release_images(before)
        self._say("the previous version is back and healthy")
        return "undone", "previous"

    def _take_down(self, before: Mapping[str, Any]) -> tuple[str, str]:
        """Nothing ran before: nothing runs afterwards, and the logs stay in the transaction's directory."""
        self._say("takes it down: there is no previous version")
        take_down(self.docker, self.project)
        if before["files"]:
            _stack_files.place(before["files"], self.folder.previous, self.stack_dir)
        else:
            _stack_files.remove(self.stack_dir)
        return "failed", "nothing"

    def _point_back(self, container: Mapping[str, Any]) -> None:
        """Where a tag now means another image, let it mean the previous one again."""
        reference, image = container["image"], container["image_id"]
        if "@" not in reference and not reference.startswith("sha256:"):
            present = self.docker.image_ids([reference])[reference]
            if present != image:
                self.docker.call("tag", image, reference)

    def _release_images(self, before: Mapping[str, Any]) -> None:
        names = {
            kept_name(self.folder.service, item["service"])
            for item in before["containers"]
            if item["service"]
        }
        present = [name for name, image in self.docker.image_ids(names).items() if image]
        if present:
            self.docker.call("image", "rm", *present)

    def await_engine(self) -> None:
        until = time.monotonic() + _ENGINE_PATIENCE
        while True:
            try:
                self.docker.networks()
                return
            except EngineError:
                if time.monotonic() >= until:
                    raise
                self._say("waits for Docker to answer")
                time.sleep(2.0)

    def _finish(self, result: dict[str, Any]) -> dict[str, Any]:
        self.folder.finish(result)
        self.folder.tidy()
        return result

    def _result(self, outcome: str, stands: str, error: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            "id": self.folder.id,
            "outcome": outcome,
            "stands": stands,
            "changed_files": self.before["changed_files"],
            "recreated": [],
            "seconds": self.seconds,
            "error": error,
            "finished_at": _now(),
        }

    # What is said ------------------------------------------------------------------------------------------------

    def _blame(self, container: Mapping[str, Any] | None, message: str) -> Failure:
        if container is None:
            return Failure(message)
        lines = self.docker.logs(container["id"], LOG_LINES)
        ended = container["state"] != "running"
        return Failure(
            message,
            container=container["name"],
            exit_code=container["exit_code"] if ended else None,
            health_output=self._masked(container["health_output"] or "") or None,
            log_lines=[self._masked(line) for line in lines],
        )

    def _save_logs(self) -> None:
        folder = self.folder.inside("logs")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for item in self.docker.containers(self.project):
            lines = [self._masked(line) for line in self.docker.logs(item["id"], SAVED_LOG_LINES)]
            if lines:
                _durable.write_whole(
                    os.path.join(folder, f"{item['name']}.log"), "\n".join([*lines, ""]).encode()
                )

    def _say(self, text: str, **more: Any) -> None:
        self.folder.say(self.step, text, **more)

    def _masked(self, text: str) -> str:
        if self._secrets is None:
            files = (_stack_files.contents(folder) for folder in (self.folder.new, self.folder.previous))
            self._secrets = set().union(*(secret_values(item) for item in files))
        return mask(text, self._secrets)


def external_networks(model: Mapping[str, Any]) -> set[str]:
    """Names of the networks that must be there before a stack, from `docker compose config --format json`."""
    networks = (model.get("networks") or {}).items()
    return {(item or {}).get("name", name) for name, item in networks if (item or {}).get("external")}


def kept_name(service: str, container: str) -> str:
    """The name under which a replaced image is kept."""
    return f"hearth-rollback/{service}/{container}:previous".lower()


def state_path(state_dir: str, service: str) -> str:
    return os.path.join(state_dir, "stacks", f"{service}.json")


def take_down(docker: Docker, project: str) -> None:
    """Stop and remove a project's containers and networks, never its volumes. Raises Failure.

    By labels and without compose.yaml, which may be the broken part.
    """
    answer = docker.call(
        "compose", "--project-name", project, "down", "--remove-orphans", timeout=_DOWN_SECONDS
    )
    if not answer.good:
        raise Failure(f"docker compose down failed: {answer.reason}")


def _all_run(containers: Sequence[Mapping[str, Any]]) -> bool:
    return bool(containers) and all(
        item["state"] == "running" and item["health"] in (None, "healthy") for item in containers
    )


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath([os.path.realpath(path), os.path.realpath(folder)]) == os.path.realpath(folder)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


# One host, one transaction at a time -----------------------------------------------------------------------------


class Busy(Exception):
    """Another transaction held the host's lock for too long; the text names it."""


@contextmanager
def host_lock(state_dir: str, who: str, patience: float, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the host's lock. waiting(text) is told now and then who holds it. Raises Busy after `patience` s."""
    private_folders(state_dir)
    path = os.path.join(state_dir, "lock")
    started, said_at = time.monotonic(), 0.0
    while (handle := _durable.try_lock(path)) is None:
        holder = _read_text(path) or "another change"
        now = time.monotonic()
        if now - started >= patience:
            raise Busy(f"{holder} still holds this host after {patience:.0f} s")
        if now - said_at >= _SAY_AGAIN:
            waiting(f"waits for {holder} to end, {now - started:.0f} s")
            said_at = now
        time.sleep(0.2)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, who.encode(), 0)
        yield handle
    finally:
        # Not unlocked by hand: a child that still runs keeps the lock (see Docker.hold).
        os.close(handle)


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(200)
    except OSError:
        return ""


def run(state_dir: str, service: str, identity: str, folder: Folder | None = None) -> dict[str, Any] | None:
    """Carry out a submitted transaction; None when it has a runner or a result already."""
    folder = folder or Folder(state_dir, service, identity)
    runner = folder.lock()
    if runner is None or folder.result() is not None:
        return None
    try:
        plan = folder.plan() or {}
        patience = float(plan.get("deadline", 60))
        with host_lock(state_dir, service, patience, lambda text: folder.say("submitted", text)) as handle:
            docker = Docker(hold=(handle,))
            try:
                recover_all(state_dir, docker, lambda text: folder.say("submitted", text))
            except EngineError as problem:
                raise Failure(f"Docker does not answer: {problem}") from problem
            result = Transaction(folder, docker).run()
            _forget_older(folder)
            return result
    except (Busy, Failure) as problem:
        result = {
            "outcome": "failed",
            "stands": "previous",
            "changed_files": [],
            "recreated": [],
            "seconds": {},
        }
        error = {"step": "submitted", **Failure(str(problem)).error, "undo": None}
        result = {"id": identity, **result, "error": error, "finished_at": _now()}
        folder.finish(result)
        folder.tidy()
        return result
    finally:
        os.close(runner)


def recover(state_dir: str) -> list[dict[str, Any]]:
    """Bring every interrupted transaction of this host to an end. Returns their results."""
    with host_lock(state_dir, "the recovery", _RECOVER_PATIENCE, lambda text: None) as handle:
        return recover_all(state_dir, Docker(hold=(handle,)), lambda text: None)


def recover_all(state_dir: str, docker: Docker, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """`recover` for one who holds the host's lock; say(text) is told what is found."""
    results = []
    for folder in list(folders(state_dir)):
        if folder.result() is not None:
            folder.tidy()
            continue
        runner = None if folder.is_fresh() else folder.lock()
        if runner is None:
            continue
        try:
            say(
                f"first ends the change of {folder.service} that was interrupted at {reached(folder.journal())}"
            )
            results.append(_recover_one(folder, docker))
        finally:
            os.close(runner)
    return results


def _recover_one(folder: Folder, docker: Docker) -> dict[str, Any]:
    journal = folder.journal()
    if folder.plan() is None:  # killed while it was being submitted
        folder.remove()
        return {"id": folder.id, "outcome": "failed", "stands": "previous"}
    transaction = Transaction(folder, docker)
    if decide(journal) == COMMIT:
        transaction.await_engine()
        return transaction.commit()
    return transaction.give_up(Failure(f"the change was interrupted at the step {reached(journal)!r}"))


def _forget_older(folder: Folder) -> None:
    """Of the service's ended transactions keep this one and the one before it, which may still be followed."""
    ended = [
        item for item in folders(folder.state_dir, folder.service) if item.result() and item.id != folder.id
    ]
    for item in ended[:-1]:
        item.remove()


def remove(state_dir: str, service: str, project: str, stack_dir: str) -> None:
    """Take a stack off this host and keep its data. May be repeated after a crash: its state file goes last.

    Raises Failure, Busy and EngineError.
    """
    with host_lock(state_dir, service, _DOWN_SECONDS, lambda text: None) as handle:
        docker = Docker(hold=(handle,))
        services = {item["service"] for item in docker.containers(project) if item["service"]}
        take_down(docker, project)
        _stack_files.remove(stack_dir)
        names = [kept_name(service, container) for container in services]
        kept = [name for name, image in docker.image_ids(names).items() if image]
        if kept:
            docker.call("image", "rm", *kept)
        for folder in list(folders(state_dir, service)):
            if not folder.is_running():
                folder.remove()
        with suppress(OSError):
            os.rmdir(os.path.join(state_dir, "transactions", service))
        with suppress(FileNotFoundError):
            os.unlink(state_path(state_dir, service))


def status(state_dir: str) -> dict[str, Any]:
    """{committed: {service: state}, transactions: [{service, id, step, running, outcome}]}."""
    stacks = os.path.join(state_dir, "stacks")
    names = (
        sorted(name[:-5] for name in os.listdir(stacks) if name.endswith(".json"))
        if os.path.isdir(stacks)
        else []
    )
    return {
        "committed": {name: _durable.read_json(state_path(state_dir, name)) for name in names},
        "transactions": [
            {
                "service": folder.service,
                "id": folder.id,
                "step": reached(folder.journal()),
                "running": folder.is_running(),
                "outcome": (folder.result() or {}).get("outcome"),
            }
            for folder in folders(state_dir)
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's text. Exit status 0 unless a transaction could not be brought to an end."""
    parser = argparse.ArgumentParser(prog="engine.py", description="Changes to stacks as transactions.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("run", "carry out a submitted transaction"),
        ("recover", "finish or undo what a crash interrupted"),
        ("status", "show what is committed and what is under way"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("state_dir", help="where Hearth keeps its journal, /var/lib/hearth as a rule")
        if name == "run":
            command.add_argument("service")
            command.add_argument("id")
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        if options.command == "run":
            result: Any = run(options.state_dir, options.service, options.id)
        else:
            result = {"recover": recover, "status": status}[options.command](options.state_dir)
    except (Busy, Failure, EngineError) as problem:
        sys.stderr.write(f"engine.py: {problem}\n")
        return 1
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 0
