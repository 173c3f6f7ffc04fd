"""`make test`: every stage, cheap ones first; stops at the first that fails.

The lab's images take minutes to build and little of this machine's attention, so they are built beside the first
stages. What follows mostly waits for containers: tests on this machine's engine, molecule's scenarios on a host of
their own and the end-to-end tests on others run side by side, each line with its stage's name in front. Ends with a
table of the stages and, as the last line, the last test runner's own summary.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
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

    def finish(self, code: int, begun: float) -> None:
        """Note how it ended; begun: time.monotonic() at its start."""
        self.seconds = time.monotonic() - begun
        self.result = "failed" if code else "passed"
        if code and STOPPED.is_set():
            self.result = "stopped"


FIRST = [
    Stage("lint", [["make", "lint"]]),
    Stage("unit", [[*PYTEST, "-m", "not docker and not lab and not restic", "tests/unit"]]),
    Stage("sanity", [["scripts/sanity.sh"]]),
    Stage("lab images", []),  # waits for what was started beside the stages above
    # Its tests reboot hosts, so nothing else uses them meanwhile.
    Stage("lab hosts", [[PYTHON, "-m", "tests.lab", "up"], [*PYTEST, "tests/lab"]]),
]
QUICK_START = "tests/e2e/test_quick_start.py"
# In containers of this machine's engine, and with its restic.
ENGINE = [Stage("unit on Docker", [[*PYTEST, "-m", "docker or lab or restic", "tests/unit"]])]
# On the host `solo`.
SOLO = [Stage("molecule", [["scripts/molecule.sh"]])]
# As a user of this machine, and on the other hosts.
PLATFORM = [
    Stage("quick start", [[*PYTEST, QUICK_START]]),
    Stage("end to end", [[*PYTEST, "-m", "not long", "tests/e2e", f"--ignore={QUICK_START}"]]),
]
STAGES = [*FIRST, *ENGINE, *SOLO, *PLATFORM]
STOPPED = threading.Event()


def run(command: list[str], stage: Stage, show: Callable[[str], None]) -> int:
    """Run a command, hand its output to `show` line by line, keep a test runner's summary line."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    watcher = threading.Thread(target=_end_when_stopped, args=(process,), daemon=True)
    watcher.start()
    assert process.stdout is not None
    for line in process.stdout:
        show(line)
        if SUMMARY.match(line):
            stage.summary = line.strip()
    return process.wait()


def _end_when_stopped(process: subprocess.Popen[str]) -> None:
    """A track that failed stops the other one: what it would still find out would not change the result."""
    while process.poll() is None:
        if STOPPED.wait(1):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            return


def run_stage(stage: Stage, show: Callable[[str], None]) -> int:
    """Run a stage's commands until one fails; returns the exit status."""
    show(f"\n=== {stage.name} ===\n")
    begun = time.monotonic()
    code = 0
    for command in stage.commands:
        code = code or run(command, stage, show)
    stage.finish(code, begun)
    return code


def run_side_by_side(tracks: list[list[Stage]]) -> int:
    """Run each track's stages in order, the tracks at once; each line says which stage it is of."""
    codes = [0] * len(tracks)

    def follow(index: int) -> None:
        for stage in tracks[index]:
            if STOPPED.is_set():
                return
            codes[index] = run_stage(
                stage, lambda line, name=stage.name: _show(f"{name:<14} | {line.lstrip()}")
            )
            if codes[index]:
                STOPPED.set()

    threads = [threading.Thread(target=follow, args=(index,), daemon=True) for index in range(len(tracks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return next((code for code in codes if code), 0)


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


def await_images(stage: Stage, images: subprocess.Popen[str]) -> int:
    """Wait for the builds, showing what they say; returns their exit status."""
    print(f"\n=== {stage.name} ===", flush=True)
    begun = time.monotonic()
    with LAB_LOG.open() as log:
        code = None
        while code is None:
            code = images.poll()
            print(log.read(), end="", flush=True)
            time.sleep(1)
    stage.finish(code, begun)
    return code


def table(total: float) -> str:
    """The stages with their times and their test runners' summaries."""
    lines = [
        f"  {stage.name:<16}{stage.result:<9}{duration(stage.seconds)}  {stage.summary.strip('= ')}".rstrip()
        for stage in STAGES
    ]
    return "\n".join(["", *lines, f"  {'all, by the clock':<25}{duration(total)}", ""])


def duration(seconds: float) -> str:
    """83.4 -> ' 1 min 23 s'."""
    return f"{seconds // 60:2.0f} min {seconds % 60:2.0f} s"


def main() -> int:
    """Run the stages; returns the exit status."""
    begun = time.monotonic()
    images = start_images()
    code = 0
    try:
        for stage in FIRST:
            code = code or (run_stage(stage, _show) if stage.commands else await_images(stage, images))
        code = code or run_side_by_side([PLATFORM, SOLO, ENGINE])
    finally:
        STOPPED.set()  # an interrupted run leaves nothing running either
        if images.poll() is None:
            os.killpg(images.pid, signal.SIGTERM)
            images.wait()
    print(table(time.monotonic() - begun))
    print(last_word(code))
    return code


def last_word(code: int) -> str:
    """The test runner's own summary: of the stage that failed, or of the last one."""
    ended = [stage for stage in STAGES if stage.result == ("failed" if code else "passed")]
    return ended[-1].summary or f"{ended[-1].name}: {ended[-1].result}"


def _show(line: str) -> None:
    print(line, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
