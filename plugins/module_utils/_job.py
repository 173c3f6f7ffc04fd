# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Work on a host that outlives the connection which started it, as a directory: who does it, what it says, how it ends.

    running          a lock, held by the process that does it: free means that none does, however the last one ended
    progress.jsonl   one event a line: {t, text, step?, bytes?, total?}
    result.json      written when the work is over
    runner.log       what an unexpected error left

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import _durable

_POLL = 0.05


class Job:
    """One such directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def inside(self, *parts: str) -> str:
        return os.path.join(self.path, *parts)

    def tell(self, text: str, **more: Any) -> None:
        """Add an event for whoever follows; lost in a power cut or on a full disk, which is fine."""
        event = {"t": time.time(), "text": text, **more}
        with suppress(OSError):
            handle = os.open(self.inside("progress.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")

    def events(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """The events from byte `offset` on, and the offset after them. A line still being written waits.

        Of an amount that grows only the newest is there.
        """
        try:
            with open(self.inside("progress.jsonl"), "rb") as file:
                file.seek(offset)
                data = file.read()
        except OSError:
            return [], offset
        whole = data[: data.rfind(b"\n") + 1]
        events = [json.loads(line) for line in whole.splitlines()]
        newest = {event["text"]: index for index, event in enumerate(events) if "bytes" in event}
        kept = [
            event
            for index, event in enumerate(events)
            if "bytes" not in event or newest[event["text"]] == index
        ]
        return kept, offset + len(whole)

    def result(self) -> dict[str, Any] | None:
        return _durable.read_json(self.inside("result.json"))

    def finish(self, result: Any) -> None:
        """Write how it ended: from here on the work is over, whatever is left to tidy."""
        _durable.write_json(self.inside("result.json"), result)

    def lock(self) -> int | None:
        """Become the one that does it: the lock's handle, None while there is one already."""
        return _durable.try_lock(self.inside("running"))

    def is_running(self) -> bool:
        """Whether a process works on it (or waits for its turn)."""
        if not os.path.exists(self.inside("running")):
            return False
        handle = _durable.try_lock(self.inside("running"), shared=True)
        if handle is not None:
            os.close(handle)
        return handle is None

    def is_fresh(self) -> bool:
        """Whether the one that does it may simply not have started yet."""
        return False

    def last_words(self) -> str:
        """The last line of what an unexpected error left."""
        try:
            with open(self.inside("runner.log"), encoding="utf-8", errors="replace") as file:
                return ([line.strip() for line in file if line.strip()] or [""])[-1]
        except OSError:
            return ""


def follow(job: Job, offset: int, wait: float, interrupted: Callable[[], Any]) -> dict[str, Any]:
    """{finished, events, offset, result}: what is new since `offset`, at the latest after `wait` seconds.

    Returns at once when it has ended; interrupted() is the result of one whose process died without any.
    """
    until = time.monotonic() + wait
    while True:
        alive = job.is_running()  # first: what it wrote before it ended is then read below
        result = job.result()
        if result is None and not alive and not job.is_fresh():
            result = interrupted()
        if result is not None or time.monotonic() >= until:
            events, offset = job.events(offset)
            return {"finished": result is not None, "events": events, "offset": offset, "result": result}
        time.sleep(_POLL)
