# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs on a host that outlive the connection which started them.

    <directory>/lock             held by the running job; free means that none runs, however the last one ended
    <directory>/job.json         {id, started}
    <directory>/progress.jsonl   one event a line: {t, text, step?, bytes?, total?}
    <directory>/result.json      {id, result}, written when the work is over
    <directory>/job.log          what an unexpected error left

One directory runs one job at a time, and keeps the last one's traces.
"""

from __future__ import annotations

import json
import os
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._durable import read_json, try_lock, write_json

_BEAT = 0.5
_LOOK = 0.1


class JobRunning(Exception):
    """Another job holds the directory; `id` names it."""

    def __init__(self, job: str) -> None:
        super().__init__(f"job {job} is running")
        self.id = job


class Journal:
    """What a job says while it works."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._amounts: dict[str, float] = {}

    def say(self, text: str, step: str | None = None) -> None:
        self._write({"text": text, "step": step})

    def amount(self, text: str, done: int, total: int) -> None:
        """So many bytes of so many; written twice a second at most."""
        now = time.monotonic()
        if now - self._amounts.get(text, 0.0) < _BEAT:
            return
        self._amounts[text] = now
        self._write({"text": text, "bytes": done, "total": total})

    def _write(self, event: dict[str, Any]) -> None:
        event = {
            "t": round(time.time(), 2),
            **{key: value for key, value in event.items() if value is not None},
        }
        self._file.write(json.dumps(event, ensure_ascii=False) + "\n")


def running(directory: Path) -> str | None:
    """The id of the job that runs in a directory now."""
    if not directory.is_dir():
        return None
    lock = try_lock(str(directory / "lock"))
    if lock is None:
        return _job(directory)
    os.close(lock)
    return None


def start(directory: Path, work: Callable[[Journal], Any]) -> str:
    """Run `work` detached from this process and return the job's id at once. Raises JobRunning.

    `work` returns the job's result, plain data; an exception of its own becomes {error: text}.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = try_lock(str(directory / "lock"))
    if lock is None:
        raise JobRunning(_job(directory) or "unknown")
    job = uuid.uuid4().hex[:12]
    for name in ("progress.jsonl", "result.json", "job.log"):
        (directory / name).unlink(missing_ok=True)
    (directory / "progress.jsonl").touch(mode=0o600)
    write_json(str(directory / "job.json"), {"id": job, "started": time.time()})
    child = os.fork()
    if child == 0:
        _become_job(directory, job, lock, work)
    os.close(lock)  # the job has its own; the lock is free when the last one is closed
    os.waitpid(child, 0)
    return job


def read(directory: Path, job: str, offset: int, wait: float) -> dict[str, Any]:
    """{finished, events, offset, result} of a job, from byte `offset` of its journal on; waits `wait` seconds for news.

    A job that died without a result has {error: text}.
    """
    until = time.monotonic() + wait
    while True:
        if _job(directory) != job:
            return {
                "finished": True,
                "events": [],
                "offset": offset,
                "result": {"error": "another job took its place"},
            }
        alive = (
            running(directory) == job
        )  # looked at first: what a job wrote before it ended is then read below
        events, after = _events(directory / "progress.jsonl", offset)
        if not alive:
            return {"finished": True, "events": events, "offset": after, "result": _result(directory, job)}
        if time.monotonic() >= until or any("bytes" not in event for event in events):
            return {"finished": False, "events": events, "offset": after, "result": None}
        time.sleep(_LOOK)


def _become_job(directory: Path, job: str, lock: int, work: Callable[[Journal], Any]) -> None:
    """In the fork: leave the session, fork again so that init adopts us, work, never return."""
    try:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        os.chdir("/")
        os.umask(0o077)
        null, log = (
            os.open(os.devnull, os.O_RDWR),
            os.open(directory / "job.log", os.O_WRONLY | os.O_CREAT, 0o600),
        )
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        os.closerange(3, lock)
        os.closerange(lock + 1, 4096)
        try:
            result = work(Journal(directory / "progress.jsonl"))
        except BaseException as error:
            os.write(2, traceback.format_exc().encode())
            result = {"error": f"{type(error).__name__}: {error}"}
        write_json(str(directory / "result.json"), {"id": job, "result": result})
    finally:
        os._exit(0)


def _events(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Whole lines from a byte on, and the byte after them; of an amount that grows only the newest is kept."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            text = file.read()
    except FileNotFoundError:
        return [], offset
    whole = text[: text.rfind(b"\n") + 1]
    events = [json.loads(line) for line in whole.splitlines()]
    newest = {event["text"]: index for index, event in enumerate(events) if "bytes" in event}
    kept = [
        event for index, event in enumerate(events) if "bytes" not in event or newest[event["text"]] == index
    ]
    return kept, offset + len(whole)


def _result(directory: Path, job: str) -> Any:
    found = read_json(str(directory / "result.json"))
    if found and found["id"] == job:
        return found["result"]
    try:
        log = (directory / "job.log").read_text(errors="replace").strip()[-500:]
    except FileNotFoundError:
        log = ""
    return {"error": f"the job was killed before it had finished{': ' + log if log else ''}"}


def _job(directory: Path) -> str | None:
    found = read_json(str(directory / "job.json"))
    return found["id"] if found else None
