"""`make test`: every stage in order, cheap ones first; stops at the first that fails.

The lab's images take minutes to build and little of this machine's attention, so they are built beside the first
stages. Ends with a table of the stages and, as the last line, the last test runner's own summary.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ".venv/bin/python"
PYTEST = [PYTHON, "-m", "pytest", "-q", "--color=no"]
LAB_LOG = ROOT / ".lab" / "images.log"
# "12 passed, 1 skipped in 3.21s", framed by = or not
SUMMARY = re.compile(r"^=*\s*\d+ (passed|failed|error|skipped).* in [\d.]+s.*$")


@dataclass
class Stage:
    """One step of the run: what it is called and the commands it consists of."""

    name: str
    commands: list[list[str]]
    seconds: float = 0.0
    result: str = "not run"
    summary: str = ""


STAGES = [
    Stage("lint", [["make", "lint"]]),
    Stage("unit", [[*PYTEST, "-m", "not docker and not lab", "tests/unit"]]),
    Stage("sanity", [["scripts/sanity.sh"]]),
    Stage("lab images", []),  # waits for what was started beside the stages above
    Stage("lab hosts", [[PYTHON, "-m", "tests.lab", "up"], [*PYTEST, "tests/lab"]]),
    Stage("unit on Docker", [[*PYTEST, "-m", "docker or lab", "tests/unit"]]),
    Stage("molecule", [["scripts/molecule.sh"]]),
    Stage("quick start", [[*PYTEST, "tests/e2e/test_quick_start.py"]]),
    Stage("end to end", [[*PYTEST, "tests/e2e", "--ignore=tests/e2e/test_quick_start.py"]]),
]


def run(command: list[str], stage: Stage) -> int:
    """Run a command with its output shown as it comes; keep a test runner's summary line."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        if SUMMARY.match(line):
            stage.summary = line.strip()
    return process.wait()


def start_images() -> subprocess.Popen[str]:
    """Start the engine and the image builds; their output goes to a log."""
    LAB_LOG.parent.mkdir(exist_ok=True)
    script = f"{PYTHON} -m tests.lab engine && {PYTHON} -m tests.lab images"
    return subprocess.Popen(
        ["bash", "-c", script],
        cwd=ROOT,
        stdout=LAB_LOG.open("w"),
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that stopping it stops what it started
    )


def wait_for_images(images: subprocess.Popen[str]) -> int:
    """Wait for the builds; shows what they say from here on, and all that they said if they failed."""
    with LAB_LOG.open() as log:
        while True:
            code = images.poll()
            print(log.read(), end="", flush=True)
            if code is not None:
                return code
            time.sleep(1)


def table() -> str:
    """The stages with their times and their test runners' summaries."""
    lines = [
        f"  {stage.name:<16}{stage.result:<9}{duration(stage.seconds)}  {stage.summary.strip('= ')}".rstrip()
        for stage in STAGES
    ]
    total = duration(sum(stage.seconds for stage in STAGES))
    return "\n".join(["", *lines, f"  {'all':<25}{total}", ""])


def duration(seconds: float) -> str:
    """83.4 -> ' 1 min 23 s'."""
    return f"{seconds // 60:2.0f} min {seconds % 60:2.0f} s"


def main() -> int:
    """Run the stages; returns the exit status."""
    images = start_images()
    code = 0
    for stage in STAGES:
        print(f"\n=== {stage.name} ===", flush=True)
        begun = time.monotonic()
        commands = stage.commands
        code = wait_for_images(images) if stage.name == "lab images" else 0
        for command in commands:
            code = code or run(command, stage)
        stage.seconds = time.monotonic() - begun
        stage.result = "failed" if code else "passed"
        if code:
            break
    if images.poll() is None:
        os.killpg(images.pid, signal.SIGTERM)
        images.wait()
    print(table())
    last = next(stage for stage in reversed(STAGES) if stage.result != "not run")
    print(last.summary or f"{last.name}: {last.result}")
    return code


if __name__ == "__main__":
    sys.exit(main())
