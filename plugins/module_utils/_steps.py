# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of one transaction, forward and back (docs/architecture.md tells what each is for).

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from . import _durable, _stack_files
from ._bring_up import LOG_LINES, BringUp, Containers, Failure, take_down
from ._copies import gib
from ._docker import Docker, EngineError, compose
from ._journal import DROP, Folder, decide, marked, private_folders, reached
from ._masking import mask, secret_values
from ._one_way import OneWay
from ._pull import pull
from ._rolling import Rolling
from ._state import FORMAT, fallback, read_state, standing, state_path
from ._waiting import Waiting

SAVED_LOG_LINES = 500

_CHECK_SECONDS = 120.0
_ENGINE_PATIENCE = 60.0
_UNDO_PAUSE = 3.0
_STATE_KEYS = ("name", "title", "project", "stack_dir", "digest", "exports", "secrets", "serials")
_BEFORE_KEYS = ("id", "name", "service", "image", "image_id", "state", "health", "restarts", "started")

_PREPARE = ("staged", "checked", "pulled", "kept")
_CHANGE = ("placed", "up", "healthy")
_CHANGE_FOR_GOOD = ("stopped", "copied", "placed", "up", "healthy", "routed")


class Transaction:
    """Carries out the transaction whose plan lies in `folder`. The caller holds the host's lock."""

    def __init__(self, folder: Folder, docker: Docker) -> None:
        plan = folder.plan()
        if plan is None:
            raise Failure(f"{folder.path} holds no plan")
        self.folder = folder
        self.docker = docker
        self.plan: dict[str, Any] = plan
        self.project: str = plan["project"]
        self.stack_dir: str = plan["stack_dir"]
        self.seconds: dict[str, float] = {}
        self.step = reached(folder.journal())
        self._model: dict[str, Any] = {}
        self._secrets: set[str] | None = None
        self._attempt: BringUp | None = None
        self.one_way = OneWay(plan, docker, folder, self._say, self._masked)
        self.waiting = Waiting(plan, docker)

    # Forward -----------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """All steps; whatever goes wrong is undone. Returns the result.

        What is proven is not undone any more: an error in `commit` is raised, and the next run commits it.
        """
        try:
            for step in _PREPARE:
                self._do(step)
            for step in _CHANGE_FOR_GOOD if self.before["one_way"] else _CHANGE:
                self._do(step)
        except Exception as problem:  # whatever it is: half a change may not stay
            return self.give_up(problem)
        return self.commit()

    def _do(self, step: str) -> None:
        self.step = step
        self.folder.mark(step, "begin")
        started = time.monotonic()
        try:
            getattr(self, f"_{step}")()
        finally:
            self.seconds[step] = round(time.monotonic() - started, 3)
        self.folder.mark(step, "done")

    def _staged(self) -> None:
        _stack_files.stage(self.plan["files"], self.folder.new)

    def _checked(self) -> None:
        answer = self.docker.call(*compose(self.project, self.folder.new, "config", "--format", "json"))
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
        services = self._model["services"].values()
        references = {
            *self.plan["images"].values(),
            *(item["image"] for item in services if item.get("image")),
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
            if total:
                self._say(text, bytes=done, total=total)
            else:
                self._say(f"{text}: {layers_done} of {layers} layers")

        answer = pull(self.docker, reference, say)
        if not answer.good:
            raise Failure(f"{reference} cannot be pulled: {answer.reason}")

    def _image(self, container: str) -> str:
        service = self._model["services"].get(container, {})
        reference = service.get("image") or self.plan["images"].get(container)
        if not reference:
            raise Failure(f"the check names the container {container}, which compose.yaml does not have")
        return reference

    def _check_product(self) -> None:
        """Let the product look at its new configuration, mounted as it will be, without a network."""
        check = self.plan["check"]
        service = self._model["services"].get(check["container"], {})
        name = f"hearth-check-{self.folder.id}"
        program, *rest = check["command"]
        arguments = ["run", "--rm", "--name", name, "--network", "none", "--entrypoint", program]
        if service.get("user"):
            arguments += ["--user", str(service["user"])]
        for mount in service.get("volumes") or ():
            if mount["type"] == "bind" and _is_below(mount["source"], self.folder.new):
                arguments += ["--volume", f"{mount['source']}:{mount['target']}:ro"]
        self._say(f"{check['container']} checks its new configuration")
        answer = self.docker.call(*arguments, self._image(check["container"]), *rest, timeout=_CHECK_SECONDS)
        if answer.code is None:
            self.docker.call("rm", "--force", name)
        if not answer.good:
            lines = [self._masked(line) for line in (answer.out + answer.err).splitlines() if line.strip()]
            raise Failure(
                f"{check['container']} refuses its new configuration: {self._masked(answer.reason)}",
                container=check["container"],
                exit_code=answer.code,
                log_lines=lines[-LOG_LINES:],
            )

    def _kept(self) -> None:
        """Keep all that going back needs: the images under a name of ours, the files, who ran."""
        containers = self.docker.containers(self.project)
        wanted = self.docker.image_ids(self.plan["images"].values())
        for item in containers:
            if item["service"] and item["image_id"] not in wanted.values():
                name = kept_name(self.folder.service, item["service"])
                answer = self.docker.call("tag", item["image_id"], name)
                if not answer.good:
                    raise Failure(f"the image of {item['name']} cannot be kept: {answer.reason}")
        os.makedirs(self.folder.previous, mode=0o700, exist_ok=True)
        listing = _stack_files.keep(self.stack_dir, self.folder.previous)
        wanted_files = _stack_files.wanted_facts(self.plan["files"], self.folder.new)
        last = read_state(self.folder.state_dir, self.folder.service)
        waiting = self.waiting.is_needed(containers, last)
        one_way = not waiting and self.one_way.is_needed(containers, last)
        shortage = self.one_way.copies.shortage() if one_way else None
        if shortage:
            raise Failure(shortage)
        before = {
            "files": listing,
            "containers": [{key: item[key] for key in _BEFORE_KEYS} for item in containers],
            "changed_files": _stack_files.changes(wanted_files, _durable.look_at_files(self.stack_dir)),
            "one_way": one_way,
            "waiting": waiting,
        }
        _durable.write_json(self.folder.inside("previous.json"), before)
        self._secrets = None

    @property
    def before(self) -> dict[str, Any]:
        """What `kept` found: {files: listing, containers: [...], changed_files: [...], one_way: whether the update
        changes data for good, waiting: whether data wait for this start}; empty before that step."""
        empty: dict[str, Any] = {"files": [], "containers": [], "changed_files": [], "one_way": False}
        empty["waiting"] = False
        return _durable.read_json(self.folder.inside("previous.json")) or empty

    def _stopped(self) -> None:
        self.one_way.stop(self.before["containers"])

    def _copied(self) -> None:
        size = self.one_way.copy()
        self._say(f"copied {gib(size)} of data to {self.one_way.copies.path}")

    def _placed(self) -> None:
        for path in _stack_files.make_directories(self.plan.get("directories") or ()):
            self._say(f"makes {path}")
        _stack_files.place(self.plan["files"], self.folder.new, self.stack_dir)

    def _up(self) -> None:
        before = self.before
        if before["one_way"]:
            self._attempt = self.one_way.up(self._bring_up_unrouted, before["containers"])
            return
        if before["waiting"]:
            self.waiting.load(lambda: self._bring_up(before["containers"]))
        changed = before["changed_files"]
        reloaded = [path for path in changed if self._is_reloaded(path)]
        if changed and changed == reloaded and _all_run(before["containers"]):
            attempt = self._bring_up(before["containers"])
        else:
            attempt = self._up_one_by_one(before["containers"])
            # A stack whose template does not carry the configuration's hash would keep the old configuration.
            silent = [
                path for path in changed if path.startswith(("config/", "secrets/")) and path not in reloaded
            ]
            if silent and before["containers"] and not attempt.recreated():
                self._say("makes the containers anew: their configuration changed")
                attempt.up("--force-recreate")
        self._attempt = attempt
        self._plug_in(attempt)
        if reloaded:
            self._reload(attempt)

    def _up_one_by_one(self, before: Containers) -> BringUp:
        """`docker compose up`; where a container has replicas, they are replaced one after the other first."""
        replicas = self.plan.get("replicas")
        if replicas:
            rolling = Rolling(
                *(self.docker, self.project, self.stack_dir, replicas["container"], replicas["drain"]),
                lambda: self._bring_up(before),
                self._say,
            )
            if rolling.is_needed():
                rolling.roll()
        attempt = self._bring_up(before)
        attempt.up()
        return attempt

    def _plug_in(self, attempt: BringUp) -> None:
        """Compose leaves a container as it is that somebody unplugged from a network; it is made anew."""
        names = {
            key: (item or {}).get("name", key) for key, item in (self._model.get("networks") or {}).items()
        }
        wanted = {
            name: {names[key] for key in service.get("networks") or ()}
            for name, service in self._model["services"].items()
        }
        lost = {
            item["service"]
            for item in self.docker.containers(self.project)
            if wanted.get(item["service"], set()) - set(item["networks"])
        }
        if lost:
            self._say(f"plugs {', '.join(sorted(lost))} into its networks again")
            attempt.up("--force-recreate", *sorted(lost))

    def _healthy(self) -> None:
        attempt = self._attempt or self._bring_up(self.before["containers"])
        attempt.wait_until_healthy()

    def _routed(self) -> None:
        self.one_way.route(self._bring_up(self.before["containers"]))

    def _bring_up_unrouted(self) -> BringUp:
        return self._bring_up(self.before["containers"], self.folder.unrouted)

    def _bring_up(self, before: Containers, file: str | None = None) -> BringUp:
        deadline = float(self.plan["deadline"])
        return BringUp(
            self.docker, self.project, self.stack_dir, before, deadline, self._say, self._masked, file
        )

    def _is_reloaded(self, path: str) -> bool:
        return path.startswith(tuple((self.plan.get("reload") or {}).get("paths") or ("\0",)))

    def _reload(self, attempt: BringUp) -> None:
        """Without a command the service watches its files by itself."""
        reload = self.plan["reload"]
        if reload.get("command"):
            attempt.reload(reload.get("container") or self.folder.service, reload["command"])

    def complete(self) -> dict[str, Any]:
        """Bring a transaction whose version is proven to its end, after its runner died. Returns the result."""
        self.await_engine()
        if self.before["one_way"] and not marked(self.folder.journal(), "routed", "done"):
            may_serve = marked(self.folder.journal(), "routed", "begin")
            try:
                self._do("routed")
            except Exception as problem:
                return self._leave(problem) if may_serve else self.give_up(problem)
        return self.commit()

    def _leave(self, problem: Exception) -> dict[str, Any]:
        """End it as it stands: people may have written to the data since, so nothing is put back over them."""
        copy = self.one_way.copies.path
        self._say(f"failed: {problem}; the new version stays, the data from before the update are in {copy}")
        error = {"step": self.step, **self._failure(problem).error, "undo": None}
        return self._finish("failed", "new", error)

    def commit(self) -> dict[str, Any]:
        """Write down what stands now. Everything here may be done again after a crash in the middle of it."""
        self.step = "committed"
        self.folder.mark("committed", "begin")
        before = self.before
        containers = self.docker.containers(self.project)
        last = read_state(self.folder.state_dir, self.folder.service) or {}
        copy = self.one_way.copies.path if before["one_way"] else None
        state = {
            "format": FORMAT,
            **{key: self.plan.get(key) for key in _STATE_KEYS},
            "id": self.folder.id,
            "committed_at": _now(),
            "containers": standing(containers),
            "files": {path: item.sha256 for path, item in _durable.look_at_files(self.stack_dir).items()},
            "fallback": fallback(before["containers"], containers, last.get("fallback"), copy, _now()),
        }
        private_folders(self.folder.state_dir, "stacks")
        _durable.write_json(state_path(self.folder.state_dir, self.folder.service), state)
        self.folder.mark("committed", "done")
        old = {item["id"] for item in before["containers"]}
        recreated = sorted(item["name"] for item in containers if item["id"] not in old)
        self._release_images(before)
        if copy:
            self.one_way.copies.forget(copy)
        if before["waiting"]:
            self.waiting.forget()
        return self._finish("committed", "new", None, recreated)

    # Back --------------------------------------------------------------------------------------------------------

    def give_up(self, problem: Exception) -> dict[str, Any]:
        """Go back to what was there. Returns the result.

        Raises EngineError where Docker is gone: the transaction stays unfinished, for the next run or the boot.
        """
        failure = self._failure(problem)
        error = {"step": self.step, **failure.error, "undo": None}
        self._say(f"failed: {failure}")
        if decide(self.folder.journal()) == DROP:
            with suppress(EngineError):
                self._release_images(self.before)
            stands = "previous" if os.path.exists(os.path.join(self.stack_dir, "compose.yaml")) else "nothing"
            return self._finish("failed", stands, error)
        # A disk that is full may not keep the service down: what cannot be written is undone again by the next run.
        with suppress(OSError):
            self.folder.mark("undone", "begin")
        self.await_engine()
        try:
            outcome, stands = self._undo()
        except (Failure, OSError, ValueError) as second:
            self._say(f"the previous version does not come back: {second}")
            error["undo"] = str(second)
            outcome, stands = "failed", "unknown"
        with suppress(OSError):
            self.folder.mark("undone", "done")
        return self._finish(outcome, stands, error)

    def _failure(self, problem: Exception) -> Failure:
        if isinstance(problem, Failure):
            return problem
        return Failure(self._masked(f"{type(problem).__name__}: {problem}"))

    def _undo(self) -> tuple[str, str]:
        before = self.before
        with suppress(OSError):
            self._save_logs()
        if not (before["files"] and before["containers"]):
            self._take_down(before)
            return "failed", "nothing"
        self._say("puts the previous version back")
        until = time.monotonic() + float(self.plan["deadline"])
        while True:
            try:
                self._put_back(before)
                break
            except (Failure, OSError) as problem:
                # What is in the way may pass: an address that is gone with its cable, an engine that restarts.
                if time.monotonic() >= until:
                    raise
                self._say(f"tries again, because {problem}")
                time.sleep(_UNDO_PAUSE)
        self._restate()
        self._release_images(before)
        self._say("the previous version is back and healthy")
        return "undone", "previous"

    def _put_data_back(self) -> None:
        """Only what the new version may have seen: the copy of data that it never ran on is not needed."""
        if marked(self.folder.journal(), "up", "begin"):
            self.one_way.put_back()
        self.one_way.copies.forget(*self._older_copies())

    def _older_copies(self) -> list[str]:
        last = read_state(self.folder.state_dir, self.folder.service) or {}
        copy = (last.get("fallback") or {}).get("copy")
        return [copy] if copy else []

    def _put_back(self, before: Mapping[str, Any]) -> None:
        if before["one_way"]:
            self._put_data_back()
        _stack_files.place(before["files"], self.folder.previous, self.stack_dir)
        for item in before["containers"]:
            self._point_back(item)
        attempt = self._up_one_by_one(self.docker.containers(self.project))
        if any(self._is_reloaded(path) for path in before["changed_files"]):
            self._reload(attempt)
        attempt.wait_until_healthy()

    def _restate(self) -> None:
        """The previous version runs in new containers: without this the next look would take them for strangers."""
        path = state_path(self.folder.state_dir, self.folder.service)
        committed = read_state(self.folder.state_dir, self.folder.service)
        if committed:
            containers = standing(self.docker.containers(self.project))
            _durable.write_json(path, {**committed, "containers": containers})

    def _take_down(self, before: Mapping[str, Any]) -> None:
        """Nothing ran before: nothing runs afterwards; the logs stay in the transaction's directory."""
        self._say("takes it down: nothing ran before")
        take_down(self.docker, self.project)
        if before["one_way"]:
            self._put_data_back()
        if before["files"]:
            _stack_files.place(before["files"], self.folder.previous, self.stack_dir)
        else:
            _stack_files.remove(self.stack_dir)

    def _point_back(self, container: Mapping[str, Any]) -> None:
        """Where a tag now means another image, let it mean the previous one again."""
        reference, image = container["image"], container["image_id"]
        if "@" in reference or reference.startswith("sha256:"):
            return
        if self.docker.image_ids([reference])[reference] != image:
            self.docker.call("tag", image, reference)

    def _release_images(self, before: Mapping[str, Any]) -> None:
        services = {item["service"] for item in before["containers"] if item["service"]}
        release_images(self.docker, self.folder.service, services)

    def await_engine(self) -> None:
        """Wait for Docker to answer (it may be starting). Raises EngineError when it does not."""
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

    def _finish(
        self, outcome: str, stands: str, error: Mapping[str, Any] | None, recreated: list[str] | None = None
    ) -> dict[str, Any]:
        changed = self.before["changed_files"]
        result = make_result(self.folder, outcome, stands, error, changed, recreated, self.seconds)
        if self.before["one_way"]:
            result["data"] = self._data_now(outcome)
        self.folder.finish(result)
        self.folder.tidy()
        return result

    def _data_now(self, outcome: str) -> dict[str, Any]:
        copies = self.one_way.copies
        seen = marked(self.folder.journal(), "up", "begin")
        back = seen and outcome != "committed" and not copies.whole
        return {"copy": copies.path if copies.whole else None, "restored": back}

    # What is said ------------------------------------------------------------------------------------------------

    def _save_logs(self) -> None:
        folder = self.folder.inside("logs")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for item in self.docker.containers(self.project):
            lines = [self._masked(line) for line in self.docker.logs(item["id"], SAVED_LOG_LINES)]
            if lines:
                path = os.path.join(folder, f"{item['name']}.log")
                _durable.write_whole(path, "\n".join([*lines, ""]).encode())

    def _say(self, text: str, **more: Any) -> None:
        self.folder.say(self.step, text, **more)

    def _masked(self, text: str) -> str:
        if self._secrets is None:
            files = (_stack_files.contents(folder) for folder in (self.folder.new, self.folder.previous))
            self._secrets = set().union(*(secret_values(item) for item in files))
        return mask(text, self._secrets)


def make_result(
    folder: Folder,
    outcome: str,
    stands: str,
    error: Mapping[str, Any] | None,
    changed_files: list[str] | None = None,
    recreated: list[str] | None = None,
    seconds: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """result.json, described in transaction.py."""
    return {
        "id": folder.id,
        "outcome": outcome,
        "stands": stands,
        "changed_files": changed_files or [],
        "recreated": recreated or [],
        "seconds": dict(seconds or {}),
        "data": None,
        "error": error,
        "finished_at": _now(),
    }


def external_networks(model: Mapping[str, Any]) -> set[str]:
    """Names of the networks that must be there before a stack, from `docker compose config --format json`."""
    networks = (model.get("networks") or {}).items()
    return {(item or {}).get("name", name) for name, item in networks if (item or {}).get("external")}


def kept_name(service: str, container: str) -> str:
    """The name under which a replaced image is kept."""
    return f"hearth-rollback/{service}/{container}:previous".lower()


def release_images(docker: Docker, service: str, containers: set[str]) -> None:
    """Take those names away again; an image that has no other name then goes."""
    names = {kept_name(service, container) for container in containers}
    present = [name for name, image in docker.image_ids(names).items() if image]
    if present:
        docker.call("image", "rm", *present)


def _all_run(containers: Containers) -> bool:
    return bool(containers) and all(
        item["state"] == "running" and item["health"] in (None, "healthy") for item in containers
    )


def _is_below(path: str, folder: str) -> bool:
    folder = os.path.realpath(folder)
    return os.path.commonpath([os.path.realpath(path), folder]) == folder


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
