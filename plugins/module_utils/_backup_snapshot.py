# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One service's snapshot: found, read from its repository, and tried before anybody relies on it.

Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from ._backup_stage import FORMAT, look_into
from ._backup_status import Progress
from ._copies import gib
from ._restic import Restic, Trouble

TAG = "hearth"
NEWEST = "latest"
_SPARE = 256 * 1024**2


class Snapshot:
    """A snapshot in its repository, with the manifest that was saved in it."""

    def __init__(self, repository: Restic, found: Mapping[str, Any], service: str) -> None:
        self.repository = repository
        self.id: str = found["id"]
        self.time = moment(found["time"])
        folder = next((path for path in found["paths"] if path.endswith(f"/.backup/{service}")), None)
        if folder is None:
            raise Trouble(f"the snapshot {self.id} is none of {service}", f"hearth-backup list {service}")
        said = repository.good("dump", self.id, f"{folder}/manifest.json")
        self.manifest: dict[str, Any] = json.loads(said)
        if self.manifest["format"] > FORMAT:
            raise Trouble(f"the snapshot {self.id} is of a newer Hearth", "update Hearth, and deploy")


def find(repositories: Sequence[Restic], host: str, service: str, wanted: str) -> Snapshot:
    """A service's snapshot from the first repository that has it. Raises Trouble.

    wanted: an id, `latest`, or a time: the newest that is not younger.
    """
    problems = []
    for repository in repositories:
        try:
            there = repository.snapshots(host, TAG, f"service={service}")
            found = choose(there, wanted)
            if found:
                return Snapshot(repository, found, service)
            problems.append(f"{repository.name} has none of {service} that is {wanted}")
        except Trouble as problem:
            problems.append(str(problem))
    raise Trouble("; ".join(problems) or "there is no repository", f"hearth-backup list {service}")


def choose(snapshots: Sequence[Mapping[str, Any]], wanted: str) -> Mapping[str, Any] | None:
    """Of snapshots, oldest first, the wanted one (see `find`); None where there is none."""
    if wanted == NEWEST:
        return snapshots[-1] if snapshots else None
    by_id = [item for item in snapshots if len(wanted) >= 6 and item["id"].startswith(wanted[:8])]
    if by_id:
        return by_id[-1]
    try:
        until = datetime.fromisoformat(wanted).astimezone().timestamp()
    except ValueError:
        return None
    older = [item for item in snapshots if moment(item["time"]) <= until]
    return older[-1] if older else None


@contextmanager
def unpacked(snapshot: Snapshot, folder: str, say: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Name of its data → where they lie below `folder`: a directory, or the file of a dump. Raises Trouble.

    They are compared with what the manifest says was in them.
    """
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    what = f"{snapshot.manifest['service']}: reads {snapshot.id} from {snapshot.repository.name}"
    try:
        _look_for_room(snapshot, folder)
        say(what)
        snapshot.repository.restore(snapshot.id, folder, Progress(say, what))
        yield {row["name"]: _assembled(row, snapshot.manifest, folder) for row in snapshot.manifest["data"]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            os.rmdir(os.path.dirname(folder))


def _look_for_room(snapshot: Snapshot, folder: str) -> None:
    said = json.loads(snapshot.repository.good("stats", snapshot.id, "--json"))
    room = os.statvfs(folder)
    needed, free = said["total_size"] + _SPARE, room.f_bavail * room.f_frsize
    if free < needed:
        raise Trouble(
            f"{gib(needed)} are needed at {os.path.dirname(folder)}, {gib(free)} are free", "make room there"
        )


def _assembled(row: Mapping[str, Any], manifest: Mapping[str, Any], folder: str) -> str:
    staged = os.path.join(folder, manifest["staged_in"].lstrip("/"))
    if row["save"] == "dump":
        path = os.path.join(staged, f"{row['name']}.dump")
        size = os.path.getsize(path) if os.path.exists(path) else 0
        if size != row["bytes"]:
            raise Trouble(f"the dump of {row['name']} has {size} bytes, {row['bytes']} were saved")
        return path
    if row["save"] == "paused":
        return os.path.join(staged, row["name"])
    apart = "path" in row
    place = os.path.join(folder, row["path"].lstrip("/")) if apart else os.path.join(staged, row["name"])
    for name, rows in row.get("rows", {}).items():
        path = os.path.join(place, name)
        if apart:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.rename(os.path.join(staged, row["name"], name), path)
        try:
            found = look_into(path)
        except sqlite3.Error as error:
            raise Trouble(f"the database {name} of {row['name']} is broken: {error}") from error
        if found != rows:
            raise Trouble(f"the database {name} of {row['name']} has the rows {found}, {rows} were saved")
    return place


def moment(text: str) -> float:
    """Seconds since the epoch of restic's time, which has nanoseconds."""
    stamp, _point, rest = text.partition(".")
    zone = rest.lstrip("0123456789") if rest else ""
    if not zone:
        stamp, zone = (stamp[:-1], "Z") if stamp.endswith("Z") else (stamp[:-6], stamp[-6:])
    return datetime.fromisoformat(stamp + ("+00:00" if zone == "Z" else zone)).timestamp()
