# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Work of a module's own that outlives the connection: a function, in a process of its own (see _job.py).

One directory holds one job at a time, and the last one's traces; job.json, {id, started}, tells which. What has to
survive a boot is a transaction instead (engine_program.py).
"""

from __future__ import annotations

import os
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._durable import read_json, write_json
from ._job import Job, follow

_BEAT = 0.5
# Between a job's result and the end of its process.
_ENDING = 0.01


class JobRunning(Exception):
    """Another job holds the directory; `id` names it."""

    def __init__(self, job: str) -> None:
        super().__init__(f"job {job} is running")
        self.id = job


class Journal:
    """What a job says while it works."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._amounts: dict[str, float] = {}

    def say(self, text: str, step: str | None = None) -> None:
        self._job.tell(text, **({"step": step} if step else {}))

    def amount(self, text: str, done: int, total: int) -> None:
        """So many bytes of so many; written twice a second at most."""
        now = time.monotonic()
        if now - self._amounts.get(text, 0.0) < _BEAT:
            return
        self._amounts[text] = now
        self._job.tell(text, bytes=done, total=total)


def running(directory: Path) -> str | None:
    """The id of the job that runs in a directory now."""
    job = Job(str(directory))
    return _id(directory) if job.is_running() and job.result() is None else None


def start(directory: Path, work: Callable[[Journal], Any]) -> str:
    """Run `work` detached from this process and return the job's id at once. Raises JobRunning.

    `work` returns the job's result, plain data; an exception of its own becomes {error: text}.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    job = Job(str(directory))
    while (lock := job.lock()) is None:
        if job.result() is None:
            raise JobRunning(_id(directory) or "unknown")
        time.sleep(_ENDING)
    identity = uuid.uuid4().hex[:12]
    for name in ("progress.jsonl", "result.json", "runner.log"):
        (directory / name).unlink(missing_ok=True)
    # Before the id: whoever reads that finds what the job says, however little.
    (directory / "progress.jsonl").touch(mode=0o600)
    write_json(job.inside("job.json"), {"id": identity, "started": time.time()})
    child = os.fork()
    if child == 0:
        _become(job, lock, work)
    os.close(lock)  # the job has its own; the lock is free when the last one is closed
    os.waitpid(child, 0)
    return identity


def read(directory: Path, identity: str, offset: int, wait: float) -> dict[str, Any]:
    """`follow` of a job; one that died without a result has {error: text}."""
    if _id(directory) != identity:
        error = {"error": "another job took its place"}
        return {"finished": True, "events": [], "offset": offset, "result": error}
    job = Job(str(directory))
    answer = follow(job, offset, wait, lambda: {"result": _interrupted(job)})
    return {**answer, "result": answer["result"] and answer["result"]["result"]}


def _become(job: Job, lock: int, work: Callable[[Journal], Any]) -> None:
    """In the fork: leave the session, fork again so that init adopts us, work, never return."""
    try:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        os.chdir("/")
        os.umask(0o077)
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open(job.inside("runner.log"), os.O_WRONLY | os.O_CREAT, 0o600)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        os.closerange(3, lock)
        os.closerange(lock + 1, 4096)
        try:
            result = work(Journal(job))
        except BaseException as error:
            os.write(2, traceback.format_exc().encode())
            result = {"error": f"{type(error).__name__}: {error}"}
        job.finish({"result": result})
    finally:
        os._exit(0)


def _interrupted(job: Job) -> dict[str, str]:
    last = job.last_words()
    return {"error": f"the job was killed before it had finished{': ' + last if last else ''}"}


def _id(directory: Path) -> str | None:
    found = read_json(str(directory / "job.json"))
    return found["id"] if found else None
