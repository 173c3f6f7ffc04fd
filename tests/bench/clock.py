"""Commands timed beside each other: every round runs each of them once, so that a noisy minute meets all alike."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Command = Sequence[str]
Work = Callable[[], float]


class BenchError(Exception):
    """A command that should have worked did not, or did something else than it should."""


@dataclass(frozen=True)
class Done:
    """A finished command: output, wall seconds, CPU seconds and peak memory (bytes) of its processes here."""

    output: str
    seconds: float
    cpu: float
    peak: int


def run(command: Command, cwd: Path) -> Done:
    """Run a command as if nothing had run before it: no ssh connection of an earlier one is taken up."""
    with tempfile.TemporaryDirectory(prefix="hearth-cp-") as sockets, tempfile.TemporaryFile() as output:
        environment = {**os.environ, "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets}
        begun = time.monotonic()
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        for socket in Path(sockets).iterdir():
            leave = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "anybody"]
            subprocess.run(leave, capture_output=True, check=False)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        raise BenchError(f"{' '.join(command)}: exit status {process.returncode}\n{text[-3000:]}")
    return Done(text, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def at_once(commands: Sequence[Command]) -> float:
    """Seconds until the last of several commands, started together, has ended."""
    begun = time.monotonic()
    started = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for command in commands
    ]
    for process in started:
        _out, error = process.communicate()
        if process.returncode != 0:
            raise BenchError(f"{' '.join(process.args)}: {error.decode(errors='replace')}")
    return time.monotonic() - begun


def in_turn(commands: Sequence[Command]) -> float:
    """Seconds of several commands one after another."""
    return sum(at_once([command]) for command in commands)


def interleaved(
    rounds: int, work: dict[str, Work], rarely: dict[str, Work] | None = None
) -> dict[str, list[float]]:
    """Seconds of each work in each round; what is in `rarely` takes part in the first and the last only."""
    seconds: dict[str, list[float]] = {name: [] for name in (*work, *(rarely or {}))}
    for number in range(rounds):
        for name, once in {**work, **((rarely or {}) if number in (0, rounds - 1) else {})}.items():
            seconds[name].append(once())
    return seconds
