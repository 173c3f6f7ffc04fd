# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hands a plan to a detached runner on this host, and follows it.

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from . import _job, _journal
from ._bring_up import Failure
from ._state import refuse_newer
from ._steps import make_result

_START_SECONDS = 15.0


def submit(state_dir: str, service: str, plan: Mapping[str, Any], identity: str, engine: str) -> str:
    """Hand a plan to a detached runner; returns the transaction's id once the runner has it.

    A transaction with this id that has begun, or ended, is not started again: a controller that lost its connection may
    submit twice. engine: the program that runs it. Raises NewerState, before anything is written, where a newer Hearth
    deployed to this host.
    """
    refuse_newer(state_dir)
    folder = _journal.Folder(state_dir, service, identity)
    if folder.plan() is None:
        folder.create({**plan, "id": identity})
        folder.say("submitted", "handed over")
    elif folder.is_running() or folder.journal() or folder.result():
        return identity
    with open(folder.inside("runner.log"), "wb") as log:
        # A session of its own: it outlives the connection, and the controller.
        process = subprocess.Popen(
            [sys.executable, engine, "run", state_dir, service, identity],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and not folder.is_running() and time.monotonic() < until:
        time.sleep(0.02)
    return identity


def follow(state_dir: str, service: str, identity: str, offset: int, wait: float) -> dict[str, Any]:
    """{id, finished, events, offset, result}: what is new since `offset`, at the latest after `wait` seconds.

    Returns at once when it has ended. One whose runner died without a result has ended too, as "failed" at the step
    that it reached; what it left half done is brought to an end by the next change on this host, or by its next boot.
    """
    folder = _journal.Folder(state_dir, service, identity)
    return {"id": identity, **_job.follow(folder, offset, wait, lambda: _interrupted(folder))}


def _interrupted(folder: _journal.Folder) -> dict[str, Any]:
    journal = folder.journal()
    step = _journal.reached(journal)
    untouched = _journal.decide(journal) == _journal.DROP
    message = "its process ended before it did"
    if not os.path.isdir(folder.path):
        message = "there is no such transaction on this host (any more)"
    elif not untouched:
        message += "; the next deployment, or the host's next boot, finishes or undoes it"
    last = folder.last_words()
    error = {"step": step, **Failure(f"{message}: {last}" if last else message).error, "undo": None}
    return make_result(folder, "failed", "previous" if untouched else "unknown", error)
