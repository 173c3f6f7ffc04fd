# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Submits a transaction to the program that carries it out, and follows it.

The program is this collection's transaction.py and look.py with the files that they import, as one executable zip: it
is replaced in one rename, so a host never holds a mixture of two releases.
"""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import sys
import time
import types
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

from . import (
    _bring_up,
    _container,
    _copies,
    _docker,
    _durable,
    _health,
    _journal,
    _masking,
    _nft,
    _one_way,
    _probe,
    _pull,
    _rolling,
    _sockets,
    _stack_files,
    _state,
    _steps,
    _unrouted,
    _waiting,
    look,
    nvidia_smi,
    nvidia_trouble,
    transaction,
)
from ._bring_up import Failure
from ._state import refuse_newer
from ._steps import make_result

MODULES = (
    _bring_up,
    _container,
    _copies,
    _docker,
    _durable,
    _health,
    _journal,
    _masking,
    _nft,
    _one_way,
    _probe,
    _pull,
    _rolling,
    _sockets,
    _stack_files,
    _state,
    _steps,
    _unrouted,
    _waiting,
    look,
    nvidia_smi,
    nvidia_trouble,
    transaction,
)
_PACKAGE = "hearth_engine"
_MAIN = f"""import sys
from {_PACKAGE} import look, transaction
sys.exit((look if sys.argv[1:2] == ["look"] else transaction).main())
"""
# The oldest time that a zip can hold: the same sources always give the same bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_START_SECONDS = 15.0
_POLL = 0.15


def program() -> bytes:
    """The bytes of engine.py."""
    return pack(_PACKAGE, MODULES, _MAIN)


def pack(package: str, modules: Iterable[types.ModuleType], main: str, first: bytes = b"") -> bytes:
    """A program in one file: a zip of these modules as `package` and of `main`, after `first` (a #! line)."""
    buffer = io.BytesIO()
    buffer.write(first)
    with zipfile.ZipFile(buffer, "w") as archive:
        files = {f"{package}/{module.__name__.rpartition('.')[2]}.py": source(module) for module in modules}
        for name, text in {**files, f"{package}/__init__.py": "", "__main__.py": main}.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), text)
    return buffer.getvalue()


def source(module: types.ModuleType) -> str:
    """A module's source, also where it was loaded from the zip that Ansible sends to hosts."""
    loader: Any = module.__spec__.loader if module.__spec__ else None
    text = loader.get_source(module.__name__)
    if text is None:
        raise RuntimeError(f"the source of {module.__name__} is not there")
    return text


def install(state_dir: str) -> str:
    """Put the program on this host where it differs; returns its path."""
    path = os.path.join(_journal.private_folders(state_dir), "engine.py")
    wanted = program()
    try:
        with open(path, "rb") as file:
            if file.read() == wanted:
                return path
    except OSError:
        pass
    _durable.write_whole(path, wanted, 0o644)
    return path


def new_id() -> str:
    """A name for a transaction: sorts by time, and two controllers never choose the same."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def submit(state_dir: str, service: str, plan: Mapping[str, Any], identity: str | None = None) -> str:
    """Hand a plan to a detached runner; returns the transaction's id once the runner has it.

    A transaction with this id that has begun, or ended, is not started again: a controller that lost its connection may
    submit twice. Raises NewerState, before anything is written, where a newer Hearth deployed to this host.
    """
    refuse_newer(state_dir)
    identity = identity or new_id()
    folder = _journal.Folder(state_dir, service, identity)
    engine = install(state_dir)
    if folder.plan() is None:
        folder.create({**plan, "id": identity})
        folder.say("submitted", "handed over")
    elif folder.is_running() or folder.journal() or folder.result():
        return identity
    with open(folder.inside("runner.log"), "wb") as log:
        # A session of its own: it outlives the connection, and the controller.
        process = subprocess.Popen(
            [sys.executable, engine, "run", state_dir, service, identity],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and not folder.is_running() and time.monotonic() < until:
        time.sleep(0.02)
    return identity


def follow(state_dir: str, service: str, identity: str, offset: int, wait: float) -> dict[str, Any]:
    """{id, finished, events, offset, result}: what is new since `offset`, at the latest after `wait` seconds.

    Returns at once when it has ended. One whose runner died without a result has ended too, as "failed" at the step
    that it reached; what it left half done is brought to an end by the next change on this host, or by its next boot.
    """
    folder = _journal.Folder(state_dir, service, identity)
    until = time.monotonic() + wait
    while True:
        alive = folder.is_running()
        result = folder.result()
        if result is None and not alive and not folder.is_fresh():
            result = _interrupted(folder)
        if result is not None or time.monotonic() >= until:
            events, offset = folder.events(offset)
            finished = result is not None
            return {
                "id": identity,
                "finished": finished,
                "events": events,
                "offset": offset,
                "result": result,
            }
        time.sleep(_POLL)


def _interrupted(folder: _journal.Folder) -> dict[str, Any]:
    journal = folder.journal()
    step = _journal.reached(journal)
    untouched = _journal.decide(journal) == _journal.DROP
    message = "its process ended before it did"
    if not os.path.isdir(folder.path):
        message = "there is no such transaction on this host (any more)"
    elif not untouched:
        message += "; the next deployment, or the host's next boot, finishes or undoes it"
    last = _last_line(folder.inside("runner.log"))
    error = {"step": step, **Failure(f"{message}: {last}" if last else message).error, "undo": None}
    return make_result(folder, "failed", "previous" if untouched else "unknown", error)


def _last_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return ([line.strip() for line in file if line.strip()] or [""])[-1]
    except OSError:
        return ""
