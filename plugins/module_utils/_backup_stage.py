# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a service's data ready to be saved: what cannot be read as it lies is written beside it first.

    <data_dir>/.backup/<service>/manifest.json      who wrote the data, when, and what is in them
    <data_dir>/.backup/<service>/<name>.dump        of data that are dumped
    <data_dir>/.backup/<service>/<name>/            of paused data a whole copy, of sqlite the databases

It is one directory for all of a service, so that a service is one snapshot: whole, or not there. A dump that fails
fails here, before restic is asked. (restic's own --stdin-from-command would make a snapshot of each dump, and most
supported distributions have a restic that is older.)
Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from . import _backup_content, _durable
from ._copies import Place, gib
from ._docker import PROJECT_LABEL, SERVICE_LABEL, Docker, EngineError, environment
from ._regain import RegainError, left_out
from ._restic import Trouble
from ._state import running_versions

FORMAT = 1
# What SQLite keeps beside a database; none of it belongs to the copy.
BESIDE = ("-wal", "-shm", "-journal")
_SPARE = 256 * 1024**2


@dataclass
class Staged:
    """What restic is to save: paths, what to leave out of them, and the manifest that is among them.

    linked: some of the files have just been linked to, which changes the time that says so.
    """

    paths: list[str]
    excludes: list[str] = field(default_factory=list)
    linked: bool = False
    manifest: dict[str, Any] = field(default_factory=dict)


def stage_folder(data_dir: str, service: str) -> str:
    """Where a service is made ready: beside its data, so that copies can share blocks with them."""
    return os.path.join(data_dir, ".backup", service)


@contextmanager
def stage(
    docker: Docker,
    plan: Mapping[str, Any],
    service: Mapping[str, Any],
    say: Callable[[str], None],
    linked: bool = False,
) -> Iterator[Stage]:
    """Where a service can be made ready; cleared up afterwards. Raises Trouble.

    plan, service: of view_backups.plan; linked: plain files are of the same moment as databases.
    """
    folder = stage_folder(plan["data_dir"], service["name"])
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run left
    os.makedirs(folder, mode=0o700)
    try:
        found = Stage(docker, plan, service, folder, say, linked)
        found.look_for_room()
        found.note()
        yield found
    except (EngineError, OSError) as problem:
        raise Trouble(str(problem), f"look at it with: docker compose -p {service['name']} ps") from problem
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            os.rmdir(os.path.dirname(folder))


class Stage:
    """A service that is about to be made ready, in its folder."""

    def __init__(
        self,
        docker: Docker,
        plan: Mapping[str, Any],
        service: Mapping[str, Any],
        folder: str,
        say: Callable[[str], None],
        linked: bool,
    ) -> None:
        self.docker = docker
        self.host: str = plan["host"]
        self.state_dir: str = plan["state_dir"]
        self.service = service
        self.name: str = service["name"]
        self.linked = linked
        self.folder = folder
        self.say = say
        self.found = Staged([folder])
        self.image = next(iter(service["images"].values()), "")
        self.noted: Any = None

    def note(self) -> None:
        """Have the service note something that it would find again."""
        try:
            self.noted = _backup_content.note(self.docker, self.service, self._directories())
        except Trouble as problem:
            self.say(f"{self.name}: notes nothing that a drill could look for: {problem}")

    def settle(self) -> None:
        """Write the manifest. What was noted and is still found was there when it was copied: a drill must find it."""
        try:
            _backup_content.find(self.docker, self.service, self.name, self._directories(), self.noted)
        except Trouble as problem:
            self.say(f"{self.name}: what was noted for the drill is not found any more: {problem}")
            self.noted = None
        self.found.manifest["note"] = self.noted
        _durable.write_json(os.path.join(self.folder, "manifest.json"), self.found.manifest)

    def _directories(self) -> dict[str, str]:
        """Name of each of its data → the directory."""
        places = {
            item["name"]: Place(self.docker, item["place"], self.image) for item in self.service["data"]
        }
        return {name: str(place.path) for name, place in places.items() if place.path}

    def make(self, moment: float) -> Staged:
        """Copy what has to be of one moment, which is now: databases first, then what their rows name."""
        kinds = {"dump": self._dump, "sqlite": self._sqlite, "paused": self._paused, "files": self._files}
        data = sorted(self.service["data"], key=lambda item: list(kinds).index(item["save"]))
        rows = [
            {key: item[key] for key in ("name", "place", "save", "container", "databases")}
            | kinds[item["save"]](item)
            for item in data
        ]
        if os.path.isdir(self.service["stack_dir"]):
            self.found.paths.append(self.service["stack_dir"])
        self.found.manifest = {
            "format": FORMAT,
            "host": self.host,
            "service": self.service["name"],
            "saved_at": moment,
            # Not those that the configuration was written with: it may have been updated since.
            "versions": running_versions(self.state_dir, self.service),
            "staged_in": self.folder,
            "data": rows,
        }
        return self.found

    def look_for_room(self) -> None:
        """Raises Trouble where the copies would not fit."""
        needed = _SPARE
        for item in self.service["data"]:
            place = Place(self.docker, item["place"], self.image)
            if item["save"] == "paused":
                needed += place.size()
            for name in item["databases"]:
                with suppress(OSError):
                    needed += os.path.getsize(os.path.join(str(place.path), name))
        room = os.statvfs(self.folder)
        free = room.f_bavail * room.f_frsize
        if free < needed:
            text = f"to be made ready it needs {gib(needed)} at {os.path.dirname(self.folder)}, {gib(free)} are free"
            raise Trouble(
                text, "make room there; images that nothing needs: playbooks/upgrade.yml -e prune=true"
            )

    def _dump(self, item: Mapping[str, Any]) -> dict[str, Any]:
        (container,) = self._running(item)[:1]
        path = os.path.join(self.folder, f"{item['name']}.dump")
        with open(path, "wb") as file:
            answer = self.docker.call("exec", container, *item["dump"], timeout=None, stdout=file)
        size = os.path.getsize(path)
        if not answer.good or not size:
            why = answer.reason if not answer.good else "it wrote nothing"
            raise Trouble(
                f"{item['place']} could not be dumped: {why}",
                f"try it by hand: docker exec {item['container']} {' '.join(item['dump'])} >/dev/null",
            )
        return {"bytes": size}

    def _sqlite(self, item: Mapping[str, Any]) -> dict[str, Any]:
        place = self._place(item)
        rows: dict[str, dict[str, int]] = {}
        for index, name in enumerate(item["databases"]):
            source = os.path.join(place, name)
            self.found.excludes += [source, *(source + suffix for suffix in BESIDE)]
            if not os.path.exists(source):
                if index == 0 and os.listdir(place):
                    raise Trouble(
                        f"{source} is not there, and other files are", "restore it, or look where it went"
                    )
                continue
            target = os.path.join(self.folder, item["name"], name)
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            rows[name] = copy_database(source, target)
        return {**self._plain(item, place), "rows": rows}

    def _paused(self, item: Mapping[str, Any]) -> dict[str, Any]:
        place = Place(self.docker, item["place"], self.image)
        self._place(item)
        target = os.path.join(self.folder, item["name"])
        containers = self._running(item, needed=False)
        began = time.monotonic()
        if containers:
            with paused(self.docker, containers):
                place.copy_to(target, lambda: None)
        else:
            place.copy_to(target, lambda: None)
        seconds = round(time.monotonic() - began, 2)
        self.say(f"{self.service['name']}: {item['container']} was frozen for {seconds:.1f} s")
        return {"paused_seconds": seconds}

    def _files(self, item: Mapping[str, Any]) -> dict[str, Any]:
        place = self._place(item)
        if item["regain"]:
            try:
                self.found.excludes += left_out(item["regain"], place)
            except RegainError as problem:
                text = f"what of {place} can be had again is not known: {problem}"
                raise Trouble(text, f"docker compose -p {self.name} logs") from problem
        return self._plain(item, place)

    def _plain(self, item: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Files as they lie, but the databases among them: where they lie, or linked to from here."""
        if self.linked and link_tree(place, os.path.join(self.folder, item["name"]), self.found.excludes):
            self.found.linked = True
            return {}
        self.found.paths.append(place)
        return {"path": place}

    def _place(self, item: Mapping[str, Any]) -> str:
        """The directory that holds the data. Raises Trouble where it is not there."""
        place = Place(self.docker, item["place"], self.image)
        if not place.there or not place.path:
            raise Trouble(
                f"{item['place']} is not there", "deploy the service, or see whether its disk is mounted"
            )
        return place.path

    def _running(self, item: Mapping[str, Any], needed: bool = True) -> list[str]:
        """The containers whose data it is. Raises Trouble where none runs and one is needed."""
        found = [
            str(container["id"])
            for container in self.docker.containers(self.service["name"])
            if container["service"] == item["container"] and container["state"] == "running"
        ]
        if needed and not found:
            text = f"{item['container']} does not run, so {item['place']} cannot be dumped"
            raise Trouble(text, f"playbooks/deploy-stacks.yml --tags {self.service['name']} starts it")
        return found


def link_tree(source: str, target: str, but: Sequence[str]) -> bool:
    """Link to every file below a directory but these: one that is deleted afterwards is still there.

    False where links cannot be made: between file systems, or on one that has none.
    """
    folders = []
    try:
        for folder, inner, files in os.walk(source):
            below = os.path.normpath(os.path.join(target, os.path.relpath(folder, source)))
            os.makedirs(below, exist_ok=True)
            folders.append((below, os.stat(folder)))
            for name in [*files, *(one for one in inner if os.path.islink(os.path.join(folder, one)))]:
                path = os.path.join(folder, name)
                if path not in but:
                    with suppress(FileNotFoundError):
                        os.link(path, os.path.join(below, name), follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            return False
        raise
    for below, info in reversed(folders):
        os.chown(below, info.st_uid, info.st_gid)
        os.chmod(below, info.st_mode & 0o7777)
        os.utime(below, ns=(info.st_atime_ns, info.st_mtime_ns))
    return True


def copy_database(source: str, target: str) -> dict[str, int]:
    """Copy an SQLite database that may be in use, as it is at one moment; returns table → rows. Raises Trouble."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)) as one,
            closing(sqlite3.connect(target)) as other,
        ):
            one.backup(other)
        found = look_into(target)
    except sqlite3.Error as error:
        raise Trouble(
            f"{source} could not be copied: {error}", "look whether it is sound: PRAGMA integrity_check"
        ) from error
    info = os.stat(source)
    os.chown(target, info.st_uid, info.st_gid)
    os.chmod(target, info.st_mode & 0o7777)
    for (
        suffix
    ) in BESIDE:  # made by us where nobody had the database open: the service must be able to write them
        with suppress(OSError):
            os.chown(source + suffix, info.st_uid, info.st_gid)
    return found


def look_into(path: str) -> dict[str, int]:
    """Table → rows of a sound SQLite database. Raises sqlite3.Error for one that is not."""
    # immutable: a database that was written with a log would get one beside it just for being looked at.
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as database:
        (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)
        names = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            " AND sql NOT LIKE 'CREATE VIRTUAL%'"
        )
        return {
            name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for (name,) in names.fetchall()
        }


@contextmanager
def paused(docker: Docker, containers: Sequence[str]) -> Iterator[None]:
    """Freeze containers for a while. Another process thaws them, at the end or when this one is killed."""
    if not containers:
        yield
        return
    keeper = subprocess.Popen(
        ["sh", "-c", 'cat; exec "$0" unpause "$@"', docker.program, *containers],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    answer = docker.call("pause", *containers)
    try:
        if not answer.good:
            raise Trouble(f"cannot be frozen: {answer.reason}")
        yield
    finally:
        _out, said = keeper.communicate()  # closes its standard input
        if answer.good and keeper.returncode:
            text = f"was not thawed: {said.decode('utf-8', 'replace').strip()}"
            raise Trouble(text, f"docker unpause {' '.join(item[:12] for item in containers)}")


def thaw(docker: Docker, services: Sequence[Mapping[str, Any]], held: Collection[str]) -> list[str]:
    """Thaw what a killed run left frozen; returns the containers. Raises EngineError.

    held: names of services that are kept from writing.
    """
    wanted = [{PROJECT_LABEL: name} for name in held]
    for name, item in ((service["name"], item) for service in services for item in service["data"]):
        if item["save"] == "paused":
            wanted.append({PROJECT_LABEL: name, SERVICE_LABEL: item["container"]})
    found: list[str] = []
    for labels in wanted:
        filters = [f"--filter=label={label}={value}" for label, value in labels.items()]
        listed = docker.call("ps", "--quiet", "--filter=status=paused", *filters)
        found += listed.out.split() if listed.good else []
    if found:
        answer = docker.call("unpause", *found)
        if not answer.good:
            raise EngineError(answer.reason)
    return found
