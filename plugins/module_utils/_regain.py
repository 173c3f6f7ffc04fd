# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Data of which most can be had again from elsewhere: a backup takes the rest, and a restore gets the most of it.

What that is, the service's role knows. It brings a program (`regain` in service.yml), which runs on the host:

    left-out DIRECTORY                prints the files below it, one a line, that need not be saved
    join SAVED DIRECTORY CONTAINER    puts what was saved beside what is there, over nothing, and gets what is missing;
                                      what it says on standard error is told; what cannot be had is no failure

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable


class RegainError(Exception):
    """The program failed; the text is its last line."""


def left_out(program: str, place: str) -> list[str]:
    """The paths below a directory that need not be saved. Raises RegainError."""
    done = subprocess.run(
        [*_python(program), "left-out", place], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        raise RegainError(_last_line(done.stderr.decode("utf-8", "replace").splitlines()))
    return [os.path.join(place, line) for line in os.fsdecode(done.stdout).splitlines()]


def join(program: str, saved: str, place: str, container: str, say: Callable[[str], None]) -> None:
    """Put what was saved into a directory of a running container. Raises RegainError."""
    lines: list[str] = []
    with subprocess.Popen(
        [*_python(program), "join", saved, place, container],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stderr or ():
            lines.append(line.rstrip())
            say(lines[-1])
    if process.returncode:
        raise RegainError(_last_line(lines))


def _python(program: str) -> list[str]:
    return [sys.executable, "-I", "-c", program]


def _last_line(lines: list[str]) -> str:
    return lines[-1] if lines else "its program said nothing"
