# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows on the controller what a detached job on a host is doing, until it has finished.

The job writes events; whoever calls `follow` brings a `poll` that fetches them. Both model pulls and stack transactions
are followed this way, so nothing here knows what the job does.

    event   {t: seconds since the epoch, text: str, step?: str, bytes?: int, total?: int}
    poll    poll(offset) -> {finished: bool, events: [event, ...], offset: int, result: mapping or None}

`offset` is opaque: what one poll returns is handed to the next, 0 at the start. A poll may wait a few seconds for news.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

Poll = Callable[[int], Mapping[str, Any]]

_TERMINAL_PAUSE = 2.0
_LOG_PAUSE = 10.0
_RATE_WINDOW = 15.0
_BAR_CELLS = 12
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Display(Protocol):
    """The part of Ansible's Display that is used."""

    def display(self, msg: str) -> None: ...


def follow(
    display: Display,
    poll: Poll,
    host: str,
    name: str,
    *,
    terminal: bool | None = None,
    retry_on: tuple[type[Exception], ...] = (),
    patience: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """Print a job's events until it has finished; return its result.

    host, name: what stands in the first two columns. terminal: progress every 2 s instead of every 10 s; found out when
    None. An exception of a kind in `retry_on` (a connection that broke) is tried again for `patience` seconds and then
    raised: the job goes on meanwhile, and is followed from where the last poll ended.
    """
    lines = Lines(host, name, _TERMINAL_PAUSE if _on_terminal(terminal) else _LOG_PAUSE, clock)
    offset = 0
    lost_since: float | None = None
    while True:
        try:
            answer = poll(offset)
        except retry_on as error:
            lost_since = clock() if lost_since is None else lost_since
            if clock() - lost_since >= patience:
                raise
            display.display(lines.plain(f"lost the connection ({error}); it goes on there, trying again"))
            sleep(5.0)
            continue
        lost_since = None
        offset = answer["offset"]
        for event in answer["events"]:
            line = lines.line(event)
            if line:
                display.display(line)
        if answer["finished"]:
            return answer["result"]
        if not answer["events"]:
            sleep(0.1)


class Lines:
    """Turns events into lines: every message, but of a growing byte count only one line every `pause` seconds."""

    def __init__(
        self, host: str, name: str, pause: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._start = f" {host:<7} {name:<10} "
        self._pause = pause
        self._clock = clock
        self._shown_at: dict[str, float] = {}
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def plain(self, text: str) -> str:
        return self._start + text

    def line(self, event: Mapping[str, Any]) -> str | None:
        """The line to print for one event, None when it is too soon for another one about the same thing."""
        text = str(event.get("text", ""))
        if event.get("bytes") is None or not event.get("total"):
            return self.plain(text)
        rate = self._rate(text, float(event.get("t", 0)), int(event["bytes"]))
        if event["bytes"] >= event["total"]:
            return None  # the job says itself that it is through
        now = self._clock()
        shown = self._shown_at.setdefault(text, now - self._pause + 1.0)
        if now - shown < self._pause:
            return None
        self._shown_at[text] = now
        return self.plain(progress(text, int(event["bytes"]), int(event["total"]), rate))

    def _rate(self, text: str, at: float, done: int) -> float | None:
        """Bytes per second over the last seconds; None until two samples are far enough apart."""
        samples = self._samples.setdefault(text, deque())
        if samples and done < samples[-1][1]:
            samples.clear()
        samples.append((at, done))
        while len(samples) > 2 and at - samples[0][0] > _RATE_WINDOW:
            samples.popleft()
        seconds = at - samples[0][0]
        return (done - samples[0][1]) / seconds if seconds >= 0.5 else None


def progress(text: str, done: int, total: int, rate: float | None) -> str:
    """`qwen2.5:14b   ██████░░░░░░  4.1 of 9.0 GB   62 MB/s  78 s left`; rate in bytes per second."""
    done = min(done, total)
    full = int(_BAR_CELLS * done / total)
    shown = f"{text}   {'█' * full}{'░' * (_BAR_CELLS - full)}  {amounts(done, total)}"
    if not rate or rate <= 0:
        return shown
    return f"{shown}   {amount(rate)}/s  {duration((total - done) / rate)} left"


def amount(size: float) -> str:
    """A size in decimal units as people write it: `62 MB`, `9.0 GB`."""
    power = _power(size)
    return f"{_number(size, power)} {_UNITS[power]}"


def amounts(done: int, total: int) -> str:
    """Two sizes in the unit of the second: `4.1 of 9.0 GB`."""
    power = _power(total)
    return f"{_number(done, power)} of {_number(total, power)} {_UNITS[power]}"


def duration(seconds: float) -> str:
    """`78 s`, `2 min 10 s`, `1 h 5 min`."""
    whole = int(seconds + 0.5)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _power(size: float) -> int:
    power = 0
    while size >= 999.5 and power < len(_UNITS) - 1:
        size /= 1000
        power += 1
    return power


def _number(size: float, power: int) -> str:
    """One decimal from gigabytes up, where a tenth is worth waiting for; none below."""
    return f"{size / 1000**power:.{1 if power >= 3 else 0}f}"


def _on_terminal(known: bool | None) -> bool:
    """Ansible's workers have no terminal of their own; whether the run has one was found out before the fork."""
    if known is not None:
        return known
    try:
        from ansible.utils.color import ANSIBLE_COLOR
    except ImportError:
        return False
    return bool(ANSIBLE_COLOR)
