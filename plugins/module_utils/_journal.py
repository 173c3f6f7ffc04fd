# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A transaction's directory on the host: what was asked for, how far it came, how it ended.

    <state_dir>/transactions/<service>/<id>/
        plan.json  new/  previous/  previous.json  unrouted.json  journal.jsonl  progress.jsonl  result.json
        running, working (locks)

One directory per submission: two that are submitted for the same service never share one.
Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from . import _durable
from ._job import Job

DROP, UNDO, COMMIT = "drop", "undo", "commit"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
# Between writing the plan and the runner's lock on it.
_SUBMISSION_GRACE = 30.0


class Folder(Job):
    """One transaction's directory. Tests replace `mark` to die at a step."""

    def __init__(self, state_dir: str, service: str, identity: str) -> None:
        for name in (service, identity):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a service or a transaction")
        self.state_dir = state_dir
        self.service = service
        self.id = identity
        super().__init__(os.path.join(state_dir, "transactions", service, identity))

    @property
    def new(self) -> str:
        return self.inside("new")

    @property
    def previous(self) -> str:
        return self.inside("previous")

    @property
    def unrouted(self) -> str:
        return self.inside("unrouted.json")

    def create(self, plan: Mapping[str, Any]) -> None:
        """Make the directory, for root's eyes only, with its plan."""
        private_folders(self.state_dir, "transactions", self.service, self.id)
        _durable.write_json(self.inside("plan.json"), plan)

    def plan(self) -> dict[str, Any] | None:
        return _durable.read_json(self.inside("plan.json"))

    def mark(self, step: str, phase: str) -> None:
        """Journal that a step begins or is done; on the disk when this returns."""
        _durable.append_line(self.inside("journal.jsonl"), {"t": time.time(), "step": step, "phase": phase})

    def journal(self) -> list[dict[str, Any]]:
        return _durable.read_lines(self.inside("journal.jsonl"))

    def say(self, step: str, text: str, **more: Any) -> None:
        self.tell(text, step=step, **more)

    def is_fresh(self) -> bool:
        """Whether its runner may simply not have started yet."""
        try:
            age = time.time() - os.stat(self.inside("plan.json")).st_mtime
        except OSError:
            return False
        return not self.journal() and 0 <= age < _SUBMISSION_GRACE

    def tidy(self) -> None:
        """Take away everything with file contents; journal, progress, logs and result stay to be read."""
        with suppress(FileNotFoundError):
            os.unlink(self.unrouted)
        shutil.rmtree(self.new, ignore_errors=True)
        shutil.rmtree(self.previous, ignore_errors=True)
        plan = self.plan()
        if plan and any("content" in file for file in plan.get("files", [])):
            plan["files"] = [{k: v for k, v in file.items() if k != "content"} for file in plan["files"]]
            _durable.write_json(self.inside("plan.json"), plan)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def private_folders(state_dir: str, *parts: str) -> str:
    """Make state_dir and the directories below it, each 0700; returns the last one's path."""
    path = state_dir
    os.makedirs(path, mode=0o700, exist_ok=True)
    for part in parts:
        path = os.path.join(path, part)
        os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def folders(state_dir: str, service: str | None = None) -> Iterator[Folder]:
    """The transactions of a host or of one service, oldest first within a service."""
    root = os.path.join(state_dir, "transactions")
    for name in [service] if service else _listed(root):
        found = [Folder(state_dir, name, identity) for identity in _listed(os.path.join(root, name))]
        yield from sorted(found, key=_age)


def _listed(path: str) -> list[str]:
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return []
    return [name for name in names if _NAME.fullmatch(name) and os.path.isdir(os.path.join(path, name))]


def _age(folder: Folder) -> float:
    times = [entry["t"] for entry in folder.journal()[:1]]
    try:
        return times[0] if times else os.stat(folder.path).st_mtime
    except OSError:
        return 0.0


def reached(journal: list[dict[str, Any]]) -> str:
    """The last step that is in the journal, "submitted" when none is."""
    return journal[-1]["step"] if journal else "submitted"


def decide(journal: list[dict[str, Any]]) -> str:
    """What to do with a transaction whose runner died: DROP, UNDO or COMMIT it.

    Nothing that runs was touched before `stopped` or `placed` began. Once `healthy` is done the new version is proven,
    and going back would take away what already serves.
    """
    if marked(journal, "undone", "begin"):
        return UNDO
    if marked(journal, "healthy", "done"):
        return COMMIT
    touched = marked(journal, "stopped", "begin") or marked(journal, "placed", "begin")
    return UNDO if touched else DROP


def marked(journal: list[dict[str, Any]], step: str, phase: str) -> bool:
    """Whether a step began, or is done."""
    return any((entry["step"], entry["phase"]) == (step, phase) for entry in journal)


def unfinished(state_dir: str, service: str) -> dict[str, Any] | None:
    """{id, step, running, decision} of the service's transaction that has not ended, the latest; None without one."""
    for folder in reversed(list(folders(state_dir, service))):
        if folder.result() is None and os.path.exists(folder.inside("plan.json")):
            journal = folder.journal()
            return {
                "id": folder.id,
                "step": reached(journal),
                "running": folder.is_running(),
                "decision": decide(journal),
            }
    return None
