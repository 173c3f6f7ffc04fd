"""What hearth-backup costs beside plain restic: the same bytes, the same dumps, and as many calls of restic."""

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ansible_collections.hearth.llm.plugins.module_utils import backup_program

from . import figures
from .clock import BenchError, interleaved
from .figures import Figure

# Issue 8, 'Measured'.
LIMIT = 1.2

FILES, SIZE = 2048, 1024**2
ROWS = 60_000
CHANGED = FILES // 100
ROUNDS = 3
KEEP = {"daily": 7, "weekly": 4, "monthly": 6}
FIGURES = (
    ("backup/unchanged", "daily backup of 2 GiB, nothing changed"),
    ("backup/changed", "daily backup of 2 GiB, 1 % changed"),
    ("backup/restore", "restore of 2 GiB onto a bare host"),
)


def measure(folder: Path) -> list[Figure]:
    """One service with files and a database, in a folder with room for five times as much."""
    against = "restic with the same dumps and calls"
    if os.geteuid() or not shutil.which("restic"):
        why = "needs root and restic on this machine"
        return [figures.not_run(name, what, against, LIMIT, why) for name, what in FIGURES]
    bench = Bench(folder)
    bench.ours()
    bench.plain()
    unchanged = interleaved(ROUNDS, {"ours": bench.ours, "plain": bench.plain})
    changed = interleaved(
        ROUNDS, {"ours": bench.after_a_change(bench.ours), "plain": bench.after_a_change(bench.plain)}
    )
    restored = interleaved(ROUNDS, {"ours": bench.refill, "plain": bench.plain_restore})
    return [
        figures.ratio(name, what, against, seconds["ours"], seconds["plain"], LIMIT)
        for (name, what), seconds in zip(FIGURES, (unchanged, changed, restored), strict=True)
    ]


class Bench:
    """The service's data below `data`, a repository for each way of saving them, and hearth-backup beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data" / "store"
        self.round = 0
        for path in (self.data / "files", self.data / "rows", folder / "etc", folder / "stacks"):
            path.mkdir(parents=True)
        for number in range(FILES):
            (self.data / "files" / f"{number:04}").write_bytes(os.urandom(SIZE))
        with closing(sqlite3.connect(self.data / "rows" / "rows.db")) as rows:
            rows.execute("CREATE TABLE row (text)")
            rows.executemany("INSERT INTO row VALUES (?)", ((os.urandom(400).hex(),) for _row in range(ROWS)))
            rows.commit()
        self.program = folder / "hearth-backup"
        self.program.write_bytes(backup_program.program())
        (folder / "etc" / "key").write_text("correct horse battery staple\n")
        (folder / "etc" / "config.json").write_text(json.dumps(self.plan()))
        self.hearth("init")
        self.restic("init")

    def plan(self) -> dict[str, object]:
        plain = {"container": None, "dump": [], "restore": [], "regain": None}
        data = [
            {**plain, "name": "files", "place": str(self.data / "files"), "save": "files", "databases": []},
            {
                **plain,
                "name": "rows",
                "place": str(self.data / "rows"),
                "save": "sqlite",
                "databases": ["rows.db"],
            },
        ]
        service = {
            "name": "store",
            "title": "Store",
            "versions": {},
            "images": {},
            "stack_dir": str(self.folder / "stacks" / "store"),
            "deadline": 60,
            "reversible": True,
            "drill": None,
            "data": data,
        }
        repository = {
            "name": "here",
            "kind": "path",
            "place": str(self.folder / "ours"),
            "append_only": False,
        }
        return {
            "host": "bench",
            "key": "backups_key_bench",
            "state_dir": str(self.folder / "state"),
            "data_dir": str(self.folder / "data"),
            "stacks": ["store"],
            "together": [],
            "repositories": [{**repository, "host": None, "account": None, "address": None}],
            "keep": KEEP,
            "check_percent": 5,
            "services": [service],
        }

    # Ours ---------------------------------------------------------------------------------------------------------

    def hearth(self, *arguments: str) -> float:
        config = str(self.folder / "etc" / "config.json")
        return _timed(["python3", str(self.program), "--config", config, *arguments])

    def ours(self) -> float:
        return self.hearth("run")

    def refill(self) -> float:
        """Onto a host without the data, which are back afterwards."""
        shutil.rmtree(self.data)
        shutil.rmtree(self.folder / "state")
        return self.hearth("refill")

    # Theirs -------------------------------------------------------------------------------------------------------

    def restic(self, *arguments: str) -> float:
        place = ["--repo", str(self.folder / "plain"), "--password-file", str(self.folder / "etc" / "key")]
        return _timed(["restic", *place, "--cache-dir", str(self.folder / "cache"), *arguments])

    def plain(self) -> float:
        """What somebody writes who knows restic: a copy of the database, and the calls that keep order."""
        begun = time.monotonic()
        copy = self.folder / "copy" / "rows.db"
        copy.parent.mkdir(exist_ok=True)
        with (
            closing(sqlite3.connect(self.data / "rows" / "rows.db")) as one,
            closing(sqlite3.connect(copy)) as other,
        ):
            one.backup(other)
        self.restic("unlock")
        self.restic(
            "backup", "--json", "--host", "bench", "--tag", "store", str(self.data / "files"), str(copy)
        )
        self.restic("snapshots", "--json")
        policy = [f"--keep-{name}={number}" for name, number in KEEP.items()]
        self.restic("forget", "--group-by", "host,tags", "--keep-within=1d", *policy, "--prune")
        return time.monotonic() - begun

    def plain_restore(self) -> float:
        target = self.folder / "restored"
        shutil.rmtree(target, ignore_errors=True)
        seconds = self.restic("unlock") + self.restic("snapshots", "--json") + self.restic("stats", "latest")
        return seconds + self.restic("restore", "latest", "--target", str(target))

    def after_a_change(self, work: Callable[[], float]) -> Callable[[], float]:
        def change_and_work() -> float:
            self.round += 1
            for number in range(CHANGED):
                name = f"{(self.round * CHANGED + number) % FILES:04}"
                (self.data / "files" / name).write_bytes(os.urandom(SIZE))
            return work()

        return change_and_work


def _timed(command: list[str]) -> float:
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')[-2000:]}")
    return time.monotonic() - begun
