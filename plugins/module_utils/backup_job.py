# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth-backup as a job that is followed: the work behind hearth.llm.backup."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import jobs
from .backup_program import PATH


def follow(
    directory: Path, arguments: Sequence[str], job: str | None, offset: int, wait: float
) -> dict[str, Any]:
    """How far a job in a directory is; without one it is started, or the one that runs there is joined.

    {job, joined} and what jobs.read says.
    """
    joined = False
    if job is None:
        try:
            job = jobs.start(directory, lambda journal: work(arguments, journal))
        except jobs.JobRunning as other:
            job, joined = other.id, True
    return {"job": job, "joined": joined, **jobs.read(directory, job, offset, wait)}


def work(arguments: Sequence[str], journal: jobs.Journal) -> dict[str, Any]:
    """Run hearth-backup to its end; {code, said: [line], problems}."""
    said = []
    with tempfile.TemporaryFile("w+", errors="replace") as problems:
        with subprocess.Popen(
            ["nice", "-n", "19", PATH, "--wait", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=problems,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                said.append(line.rstrip())
                journal.say(said[-1])
        problems.seek(0)
        return {"code": process.returncode, "said": said, "problems": problems.read().strip()}
