# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change to one stack as a transaction: known to be good before anything is touched, then healthy or undone.

Runs on the host, detached from the connection, and needs nothing there but Python 3.9, Docker and Compose. Together
with the `_*.py` files that it imports it is kept on the host as <state_dir>/engine.py (engine_program), for the boot:

    python3 engine.py run STATE_DIR SERVICE ID      carry out a submitted transaction
    python3 engine.py recover STATE_DIR             finish or undo what a crash interrupted
    python3 engine.py status STATE_DIR              what is committed and what is under way, as JSON
    python3 engine.py ask SHA256                    answer a controller (see _ask.py)

The plan (plan.json): {format: 1, id, name, title, project, stack_dir, state_dir, digest, exports,
secrets: {name: {key, fingerprint, generation}}, deadline (seconds),
files: [{path, content (base64), mode ("0644"), owner ("uid:gid")}], directories: [{path, owner, mode}],
images: {container: reference}, check: null or {container, command},
reload: null or {paths, command, container},
update: null where an update can be taken back, else {copies: folder, data: [{name, place, container, dump, restore,
by_dump}]} (see _one_way.py), replicas: null or {container, drain} (see _rolling.py),
waiting: null or {folder, data: [{name, place, container, restore}]} (see _waiting.py)}.

The result (result.json): {outcome: committed | undone | failed, stands: new | previous | nothing | unknown (what is
there now), changed_files, recreated (containers), seconds: {step: s}, finished_at, data: null or {copy (folder or
null), restored} of an update that changes data for good, error: null or {step, message,
container, exit_code, health_output, log_lines, undo}}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from . import _durable, _stack_files
from ._bring_up import Failure, take_down
from ._docker import Docker, EngineError
from ._journal import COMMIT, Folder, decide, folders, private_folders, reached
from ._state import committed, refuse_newer, state_path
from ._steps import Transaction, make_result, release_images

_SAY_AGAIN = 5.0
_WORKING = "working"
# For another change on the host, which may take its whole deadline, and as long again to be undone.
_CHANGE_PATIENCE = 900.0
_REMOVE_PATIENCE = 300.0
_RECOVER_PATIENCE = 3600.0


class Busy(Exception):
    """Another transaction held the host's lock for too long; the text names it."""


# What may be in the way of a transaction; its text is for the operator.
PROBLEMS = (Busy, Failure, EngineError, OSError, ValueError)


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


def run(
    state_dir: str, service: str, identity: str, folder: Folder | None = None, guarded: bool = False
) -> dict[str, Any] | None:
    """Carry out a submitted transaction; None when it has a runner or a result already.

    guarded: in a process of its own, so that when that one is killed this one ends what it began.
    """
    folder = folder or Folder(state_dir, service, identity)
    runner = folder.lock()
    if runner is None or folder.result() is not None:
        return None
    try:
        with host_lock(
            state_dir, service, _CHANGE_PATIENCE, lambda text: folder.say("submitted", text)
        ) as handle:
            docker = Docker(hold=(handle,))
            try:
                recover_all(state_dir, docker, lambda text: folder.say("submitted", text))
            except EngineError as problem:
                raise Failure(f"Docker does not answer: {problem}") from problem
            result = _run_guarded(folder, docker) if guarded else Transaction(folder, docker).run()
            _forget_older(folder)
            return result
    except (Busy, Failure) as problem:
        error = {"step": "submitted", **Failure(str(problem)).error, "undo": None}
        result = make_result(folder, "failed", "previous", error)
        folder.finish(result)
        folder.tidy()
        return result
    finally:
        os.close(runner)


def _run_guarded(folder: Folder, docker: Docker) -> dict[str, Any]:
    """Carry it out in a worker; when the worker dies without a result (memory runs out), end it here and now.

    The worker's own lock goes on to the commands that it starts: an orphaned `docker compose up` is waited for.
    """
    worker = os.fork()
    if not worker:
        _work(folder, docker)
    os.waitpid(worker, 0)
    result = folder.result()
    if result is not None:
        return result
    folder.say("submitted", f"was killed at {reached(folder.journal())}; ends it")
    until = time.monotonic() + _RECOVER_PATIENCE
    while (handle := _durable.try_lock(folder.inside(_WORKING))) is None and time.monotonic() < until:
        time.sleep(0.2)
    if handle is not None:
        os.close(handle)
    return _recover_one(folder, docker)


def _work(folder: Folder, docker: Docker) -> NoReturn:
    """The worker's life."""
    code = 1
    try:
        handle = _durable.try_lock(folder.inside(_WORKING))
        Transaction(folder, Docker(docker.program, (*docker.hold, *([handle] if handle else [])))).run()
        code = 0
    except BaseException:  # said in runner.log; the process that waits does what is left
        traceback.print_exc()
    finally:
        os._exit(code)


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
        return transaction.complete()
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

    Raises Failure, Busy, NewerState and EngineError.
    """
    refuse_newer(state_dir)
    with host_lock(state_dir, service, _REMOVE_PATIENCE, lambda text: None) as handle:
        docker = Docker(hold=(handle,))
        services = {item["service"] for item in docker.containers(project) if item["service"]}
        take_down(docker, project)
        _stack_files.remove(stack_dir)
        release_images(docker, service, services)
        for folder in list(folders(state_dir, service)):
            if not folder.is_running():
                folder.remove()
        with suppress(OSError):
            os.rmdir(os.path.join(state_dir, "transactions", service))
        with suppress(FileNotFoundError):
            os.unlink(state_path(state_dir, service))


def status(state_dir: str) -> dict[str, Any]:
    """{committed: {service: state}, transactions: [{service, id, step, running, outcome}]}."""
    names = committed(state_dir)
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
            result: Any = run(options.state_dir, options.service, options.id, guarded=True)
        else:
            result = {"recover": recover, "status": status}[options.command](options.state_dir)
    except PROBLEMS as problem:
        sys.stderr.write(f"engine.py: {problem}\n")
        return 1
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 0
