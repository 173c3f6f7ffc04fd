# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of a service's data, made while nothing runs, to put back when a new version does not get healthy.

    <copies>/<transaction>.partial/   being made
    <copies>/<transaction>/           whole; <name>/ is a copy of the data `name`, <name>.dump what its dump wrote
    <copies>/<transaction>.restored/  put back, being deleted

Each is one rename from the next, so a crash leaves no doubt about which it is.
Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ._docker import Docker, EngineError, Program, stop

# Room that is left when the copy is made: the new version grows the data while it migrates them.
SPARE = 512 * 1024**2
_PAUSE = 2.0

Say = Callable[..., None]


class Place:
    """Where one of a service's data lies: a directory of the host, or a volume of Docker's.

    Without root neither can be read from outside; then a container of `image` does it, with the image's own tools.
    """

    def __init__(self, docker: Docker, place: str, image: str) -> None:
        self.docker = docker
        self.place = place
        self.image = image
        self.is_volume = not os.path.isabs(place)
        self.path = self._mountpoint() if self.is_volume else place
        self.direct = os.geteuid() == 0 and bool(self.path) and os.path.isdir(str(self.path))

    def _mountpoint(self) -> str | None:
        answer = self.docker.call("volume", "inspect", "--format", "{{.Mountpoint}}", self.place)
        return answer.out.strip() or None if answer.good else None

    @property
    def there(self) -> bool:
        """Whether there is such a place at all."""
        return self.path is not None if self.is_volume else os.path.isdir(self.place)

    def is_empty(self) -> bool:
        if not self.there:
            return True
        if self.direct:
            return not os.listdir(str(self.path))
        return not self._inside("find", "/data", "-mindepth", "1", "-print", "-quit").strip()

    def size(self) -> int:
        """Bytes on the disk."""
        if not self.there:
            return 0
        if self.direct:
            return disk_usage(str(self.path))
        return int(self._inside("du", "-sk", "/data").split()[0]) * 1024

    def copy_to(self, target: str, working: Callable[[], None]) -> None:
        """Copy everything into the directory `target`, which is made; shares blocks where the filesystem can."""
        os.makedirs(target, mode=0o700)
        if not self.there:
            return
        if self.direct:
            self._cp(f"{self.path}/.", target, working)
        else:
            self._inside("cp", "-a", "/data/.", "/copy/", copy=target, working=working)

    def take_from(self, source: str, working: Callable[[], None]) -> None:
        """Hold exactly what the directory `source` holds. May be repeated."""
        self.empty()
        if self.direct:
            self._cp(f"{source}/.", str(self.path), working)
        elif self.there:
            self._inside("cp", "-a", "/copy/.", "/data/", copy=source, working=working)

    def empty(self) -> None:
        if self.direct:
            empty_directory(str(self.path))
        elif self.there:
            self._inside("find", "/data", "-mindepth", "1", "-delete")

    def _cp(self, source: str, target: str, working: Callable[[], None]) -> None:
        cp = Program("cp", self.docker.hold)
        _watched(cp, ["--archive", "--reflink=auto", source, target], working)

    def _inside(
        self,
        program: str,
        *arguments: str,
        copy: str | None = None,
        working: Callable[[], None] | None = None,
    ) -> str:
        run = ["run", "--rm", "--network", "none", "--user", "0:0", "--volume", f"{self.place}:/data"]
        run += ["--volume", f"{copy}:/copy"] if copy else []
        command = [*run, "--entrypoint", program, self.image, *arguments]
        return _watched(self.docker, command, working or (lambda: None))


class Copies:
    """One transaction's copy of a service's data.

    data: [{name, place, image, …}]; folder: where this service's copies are kept; identity: the transaction's.
    """

    def __init__(self, docker: Docker, folder: str, identity: str, data: Sequence[Mapping[str, Any]]) -> None:
        self.docker = docker
        self.folder = folder
        self.path = os.path.join(folder, identity)
        self.data = data

    def places(self) -> dict[str, Place]:
        return {item["name"]: Place(self.docker, item["place"], item["image"]) for item in self.data}

    @property
    def whole(self) -> bool:
        """Whether there is a whole copy that was not put back."""
        return os.path.isdir(self.path)

    @property
    def begun(self) -> str:
        """Where the copy is made until it is whole; made here if need be."""
        partial = f"{self.path}.partial"
        os.makedirs(partial, mode=0o700, exist_ok=True)
        return partial

    def shortage(self) -> str | None:
        """Why there is no room for a copy, in words; None where there is."""
        needed = sum(place.size() for place in self.places().values()) + SPARE
        path = self.folder
        while not os.path.exists(path):
            path = os.path.dirname(path)
        room = os.statvfs(path)
        free = room.f_bavail * room.f_frsize
        if free >= needed:
            return None
        return f"a copy of the data before the update needs {gib(needed)} at {self.folder}, and {gib(free)} are free"

    def make(self, say: Say) -> int:
        """Make the copy; returns its bytes. say(text, bytes=…, total=…) is told how far it is."""
        if self.whole:
            return disk_usage(self.path)
        for name, place in self.places().items():
            target = os.path.join(self.begun, name)
            shutil.rmtree(target, ignore_errors=True)
            place.copy_to(target, _progress(say, f"copies {place.place}", target, place.size()))
        os.sync()
        os.rename(self.begun, self.path)
        return disk_usage(self.path)

    def put_back(self, say: Say) -> None:
        """Make the data what they were when the copy was made. The copy is gone afterwards: it is done once."""
        for name, place in self.places().items():
            source = os.path.join(self.path, name)
            say(f"puts the data from before the update back into {place.place}")
            place.take_from(source, lambda: None)
        os.sync()
        os.rename(self.path, f"{self.path}.restored")
        self.forget(self.path)

    def dump(self, name: str) -> str:
        """The file of this data's dump."""
        return os.path.join(self.path if self.whole else self.begun, f"{name}.dump")

    def forget(self, *but: str) -> None:
        """Delete the service's copies but these; what is put back or half made goes in any case."""
        for entry in sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else ():
            path = os.path.join(self.folder, entry)
            if path not in but:
                self._delete(path)
        for folder in (self.folder, os.path.dirname(self.folder)):
            with suppress(OSError):
                os.rmdir(folder)

    def _delete(self, path: str) -> None:
        shutil.rmtree(path, ignore_errors=True)
        if os.path.isdir(path) and self.data:  # made by a container's root
            place = Place(self.docker, path, self.data[0]["image"])
            with suppress(EngineError):
                place.empty()
            with suppress(OSError):
                os.rmdir(path)


def disk_usage(path: str) -> int:
    """Bytes on the disk below a directory."""
    total = 0
    for folder, _folders, files in os.walk(path):
        for file in files:
            with suppress(OSError):  # gone meanwhile
                total += os.lstat(os.path.join(folder, file)).st_blocks * 512
    return total


def empty_directory(path: str) -> None:
    """Delete everything in a directory, which stays: it may be a mount point. Raises OSError."""
    with os.scandir(path) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def gib(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"


def _progress(say: Say, text: str, target: str, total: int) -> Callable[[], None]:
    """Tells by the disk's free space how much of a copy is there: looking at every file would cost more."""
    before = _free(target)

    def working() -> None:
        say(text, bytes=max(0, min(before - _free(target), total)), total=max(total, 1))

    working()
    return working


def _free(path: str) -> int:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


def _watched(program: Program, arguments: Sequence[str], working: Callable[[], None]) -> str:
    """Run a program for as long as it takes; returns its output. Raises EngineError with its complaint."""
    try:
        process = program.start(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise EngineError(f"{program.program}: {error.strerror}") from error
    try:
        while True:
            try:
                out, err = process.communicate(timeout=_PAUSE)
                break
            except subprocess.TimeoutExpired:
                working()
    except BaseException:
        stop(process)
        raise
    if process.returncode:
        lines = err.decode("utf-8", "replace").strip().splitlines()
        raise EngineError(lines[-1] if lines else f"{program.program}: exit status {process.returncode}")
    return out.decode("utf-8", "replace")
