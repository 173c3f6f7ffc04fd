# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth-backup as a job that is followed: the work behind hearth.llm.backup."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from .backup_program import PATH
from .jobs import Journal


def work(arguments: Sequence[str], journal: Journal) -> dict[str, Any]:
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
