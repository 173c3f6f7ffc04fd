# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pulls an image and says how far it is.

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable
from typing import IO, cast

from ._docker import Answer, Docker, stop

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LAYER = re.compile(
    r"([0-9a-f]{12}): (\w[\w ]*?)(?: *\[[=> ]*\])?(?: +([\d.]+)([kMGT]?B)/([\d.]+)([kMGT]?B))?$"
)
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_DOWNLOADED = ("Download complete", "Extracting", "Pull complete", "Already exists", "Verifying Checksum")

Say = Callable[[int, int, int, int], None]


class Layers:
    """What a pull's output says about its layers."""

    def __init__(self) -> None:
        self.sizes: dict[str, tuple[int, int]] = {}
        self.states: dict[str, str] = {}

    def feed(self, line: str) -> None:
        """Take one line of `docker pull` on a terminal, without escape sequences."""
        match = _LAYER.match(line.strip())
        if not match:
            return
        layer, state, done, done_unit, total, total_unit = match.groups()
        if layer not in self.states and state not in (
            "Pulling fs layer",
            "Waiting",
            "Already exists",
            "Downloading",
        ):
            return
        self.states[layer] = state
        if state == "Downloading" and total:
            self.sizes[layer] = (_bytes(done, done_unit), _bytes(total, total_unit))
        elif state in _DOWNLOADED and layer in self.sizes:
            self.sizes[layer] = (self.sizes[layer][1],) * 2

    @property
    def bytes_done(self) -> int:
        return sum(done for done, _total in self.sizes.values())

    @property
    def bytes_total(self) -> int:
        return sum(total for _done, total in self.sizes.values())

    @property
    def layers_done(self) -> int:
        return sum(state in ("Pull complete", "Already exists") for state in self.states.values())


def _bytes(number: str, unit: str) -> int:
    return round(float(number) * _UNITS[unit])


def pull(docker: Docker, reference: str, say: Say, pause: float = 2.0, stall: float = 600.0) -> Answer:
    """Pull one image; `say(bytes done, bytes known of, layers done, layers)` at most every `pause` seconds.

    Gives up when nothing was heard for `stall` seconds: a pull has no length that one could set a deadline for.
    """
    # Only to a terminal does the command tell how many bytes there are.
    terminal, inner = pty.openpty()
    try:
        process = docker.start(["pull", reference], stdout=inner, stderr=subprocess.PIPE)
    except OSError as error:
        os.close(terminal)
        return Answer(127, "", f"{docker.program}: {error.strerror}")
    finally:
        os.close(inner)
    complaints = cast(IO[bytes], process.stderr)
    layers, rest, errors = Layers(), "", b""
    heard = said = time.monotonic()
    open_ends = {terminal, complaints.fileno()}
    try:
        while open_ends:
            for end in select.select(list(open_ends), [], [], 1.0)[0]:
                data = _read(end)
                heard = time.monotonic()
                if not data:
                    open_ends.discard(end)
                elif end == terminal:
                    *lines, rest = re.split(
                        r"[\r\n]+", rest + _ESCAPE.sub("", data.decode("utf-8", "replace"))
                    )
                    for line in lines:
                        layers.feed(line)
                else:
                    errors += data
            now = time.monotonic()
            if now - heard > stall:
                stop(process)
                return Answer(None, "", f"nothing was heard from the registry for {stall:.0f} s")
            if now - said >= pause and layers.states:
                say(layers.bytes_done, layers.bytes_total, layers.layers_done, len(layers.states))
                said = now
        return Answer(process.wait(), "", errors.decode("utf-8", "replace"))
    finally:
        os.close(terminal)
        complaints.close()


def _read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # a terminal whose other end was closed
        return b""
