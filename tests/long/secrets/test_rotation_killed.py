"""Killed at any moment of a full rotation: one more run ends well, and no service has a secret that nobody knows."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from ..conftest import finished, seeded
from .conftest import Secure

pytestmark = pytest.mark.lab

KILLS = 20


def test_killed_at_twenty_random_moments_one_more_run_ends_well(small: Secure) -> None:
    begun = time.monotonic()
    small.rotate().succeeded()
    whole = time.monotonic() - begun
    for case in range(int(os.environ.get("HEARTH_KILLS", KILLS))):
        killed_and_run_again(small, seeded(7, case), whole, case)


def killed_and_run_again(small: Secure, chance: random.Random, whole: float, case: int) -> None:
    moment = chance.uniform(0, whole)
    process = small.start("rotate-secrets")
    time.sleep(moment)
    stage = "ended" if process.poll() is not None else "killed"
    if stage == "killed":
        os.killpg(process.pid, signal.SIGKILL)
    output = finished(process).output
    step = [line for line in output.splitlines() if line and not line.startswith(" ")][-1:]
    halves = [name for name in small.secrets() if name.endswith("_previous")]
    print(f"case {case}: {stage} after {moment:.0f} of {whole:.0f} s, at {step}, {len(halves)} half done")
    small.rotate().succeeded()
    small.answers()
