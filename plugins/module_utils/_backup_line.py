# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The line between two hosts that save services at one moment: JSON, a line a message, over ssh or standard input.

    the leader says                     the follower answers
    {"services": [...], "tags": [...]}  {"ready": true}     it is at nothing else, and has the room
    {"hold": MOMENT}                    {"held": true}      who writes to the services is frozen
    {"copy": true}                      {"copied": true}    the copies are made
    {"go_on": true}                     {"problems": [...]} saved, or what went wrong

Instead of any answer: {"problems": [...]}, and it is over.
Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ._restic import Trouble

# Seconds. A deploy or another backup there is waited for; nobody is kept from writing for longer than HOLD.
READY, HOLD, SAVED = 2400.0, 120.0, 86400.0


class Line:
    """Two open handles. Raises Trouble where the other side hangs up, or says nothing in time."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self._read = b""

    def tell(self, **message: Any) -> None:
        try:
            os.write(self.outgoing, json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise Trouble(f"the other side hung up: {error.strerror}") from error

    def hear(self, word: str, patience: float) -> Any:
        """What a message says under this word. The other side's problems are raised."""
        until = time.monotonic() + patience
        while b"\n" not in self._read:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.incoming], [], [], left)[0]:
                raise Trouble(f"the other side did not say {word!r} within {patience:.0f} s")
            part = os.read(self.incoming, 65536)
            if not part:
                raise Trouble(f"the other side hung up before it said {word!r}")
            self._read += part
        text, _newline, self._read = self._read.partition(b"\n")
        message = json.loads(text)
        if word not in message:
            raise Trouble("; ".join(message.get("problems") or [f"said {message} and not {word!r}"]))
        return message[word]


class Lines:
    """The lines to several hosts. Where one fails, the others go on; `problems` says what failed.

    members: host → names of its services; belongs_to: a service of the host that leads.
    """

    def __init__(self, members: Mapping[str, Sequence[str]], belongs_to: str) -> None:
        self.members = members
        self.belongs_to = belongs_to
        self.lines: dict[str, Line] = {}
        self.problems: list[str] = []

    def each(self, do: Callable[[str, Line], Any]) -> None:
        """do(host, line) for every host that is still with us."""
        for host, line in list(self.lines.items()):
            try:
                do(host, line)
            except Trouble as problem:
                del self.lines[host]
                names = ", ".join(self.members[host])
                self.problems.append(f"{names} on {host}, saved together with {self.belongs_to}: {problem}")

    def names(self) -> list[str]:
        return [f"{name} on {host}" for host in self.lines for name in self.members[host]]


@contextmanager
def called(command: list[str]) -> Iterator[Line]:
    """The line to a program that is started here, ssh as a rule; it is gone afterwards."""
    try:
        process: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise Trouble(f"{command[0]}: {error.strerror}") from error
    try:
        yield Line(process.stdout.fileno(), process.stdin.fileno())
    finally:
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                stream.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
