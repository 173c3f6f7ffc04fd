# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts a service's data back in place. What was there stays beside them until the restored service is healthy.

    <state_dir>/backups/restoring.json    {service, places, proven}: written before anything is touched, gone at the end
    <place>.before-restore                what was there

Interrupted, it is undone by `recover`: at the next boot, or by the next hearth-backup. Once the service was proven
healthy it is not undone any more.
Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from . import _durable
from ._backup_putting import Putting
from ._backup_snapshot import Snapshot
from ._bring_up import BringUp, Failure, stop_all
from ._copies import Place
from ._docker import Docker, EngineError
from ._masking import mask, secret_values
from ._restic import Trouble
from ._stack_files import contents

_ASIDE = ".before-restore"


class Restore(Putting):
    """One service's restore on this host. folder: of the backups' state."""

    def __init__(
        self,
        docker: Docker,
        plan: Mapping[str, Any],
        service: Mapping[str, Any],
        folder: str,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(docker, plan, service, say)
        self.marker = os.path.join(folder, "restoring.json")

    def refuse(self, snapshot: Snapshot, confirmed: str | None) -> None:
        """Everything that speaks against it, before anything is read or touched. Raises Trouble."""
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(snapshot.time))
        if not os.path.exists(os.path.join(self.service["stack_dir"], "compose.yaml")):
            raise Trouble(
                f"{self.name} is not deployed here",
                f"playbooks/deploy-stacks.yml --tags {self.name}, then again",
            )
        self.refuse_version(snapshot)
        self.refuse_unknown(snapshot)
        for place in self._aside():
            if os.path.ismount(place):
                raise Trouble(
                    f"{place} is a mount point, which cannot be put aside",
                    f"restore by hand: hearth-backup restic {snapshot.repository.name} restore {snapshot.id}",
                )
            if os.path.lexists(place + _ASIDE):
                raise Trouble(
                    f"{place}{_ASIDE} is in the way", "move it away, or delete it if nobody needs it"
                )
        if confirmed != self.name:
            newest = max((_newest(place) for place in self._aside()), default=0.0)
            newer = "newer" if newest > snapshot.time else "older"
            raise Trouble(
                f"what {self.name} has here (last written {time.strftime('%Y-%m-%d %H:%M', time.localtime(newest))},"
                f" {newer} than the snapshot) would be replaced by the snapshot {snapshot.id} of {when}",
                f"repeat the service's name to do so: --confirm {self.name} (the playbook: -e confirm={self.name})",
            )

    def _directories(self) -> dict[str, str]:
        """Name of the service's data → their directory."""
        places = self.places()
        missing = [place.place for place in places.values() if not place.there]
        if missing:
            raise Trouble(
                f"{', '.join(missing)} is not there", f"playbooks/deploy-stacks.yml --tags {self.name}"
            )
        return {name: str(place.path) for name, place in places.items()}

    def _aside(self, names: Collection[str] | None = None) -> list[str]:
        """The directories of these data that are put aside, of all without names; what is joined goes over nothing."""
        places = self._directories()
        return [
            places[item["name"]]
            for item in self.service["data"]
            if not item["regain"] and (names is None or item["name"] in names)
        ]

    def put(self, snapshot: Snapshot, found: Mapping[str, str]) -> None:
        """Replace the data, and prove the service. Raises Trouble; then what was there before runs again."""
        places, put_aside = self._directories(), self._aside(found)
        self._mark(put_aside, proven=False)
        try:
            self.say(f"{self.name}: stops it")
            stop_all(self.docker, self.name)
            loaded = []
            for name, source in found.items():
                item = next(item for item in self.service["data"] if item["name"] == name)
                is_loaded = item["save"] == "dump" or item["regain"]
                if not item["regain"]:
                    aside(places[name], None if is_loaded else source)
                if is_loaded:
                    loaded.append((item, source))
            for item, source in loaded:
                attempt(self.docker, self.service, self.say).load(item, source)
            self._up()
        except (Failure, EngineError, OSError, Trouble) as problem:
            self.say(f"{self.name}: {problem}; puts back what was there")
            recover(self.docker, self.marker, self.plan, self.say)
            raise Trouble(
                f"{self.name} did not get healthy on the snapshot ({problem}); what was there before runs again",
                f"docker compose -p {self.name} logs; another snapshot: hearth-backup list {self.name}",
            ) from problem
        self._mark(put_aside, proven=True)
        recover(self.docker, self.marker, self.plan, self.say)
        self.say(f"{self.name}: restored, and healthy")

    def _mark(self, places: list[str], proven: bool) -> None:
        _durable.write_json(self.marker, {"service": self.name, "places": places, "proven": proven})

    def _up(self) -> None:
        trial = attempt(self.docker, self.service, self.say)
        trial.up()
        trial.wait_until_healthy()


def attempt(
    docker: Docker,
    service: Mapping[str, Any],
    say: Callable[[str], None],
    project: str | None = None,
    file: str | None = None,
) -> BringUp:
    """An attempt to bring a service up, as it is deployed or as another project."""
    project = project or service["name"]
    secrets = secret_values(contents(service["stack_dir"]))
    return BringUp(
        docker,
        project,
        service["stack_dir"],
        docker.containers(project),
        service["deadline"],
        lambda text: say(f"{project}: {text}"),
        lambda text: mask(text, secrets),
        file,
    )


def aside(place: str, source: str | None) -> None:
    """Put what is at a place aside, and the source (or an empty directory) there, with the same owner and mode."""
    info = os.stat(place)
    os.rename(place, place + _ASIDE)
    if source is not None and os.stat(source).st_dev == info.st_dev:
        os.rename(source, place)
    else:
        os.mkdir(place)
        if source is not None:
            Place(Docker(), place, "").take_from(source, lambda: None)
    os.chown(place, info.st_uid, info.st_gid)
    os.chmod(place, info.st_mode & 0o7777)


def recover(docker: Docker, marker: str, plan: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Bring an interrupted restore to its end: back to what was there, or on where it was proven. May be repeated."""
    found = _durable.read_json(marker)
    if not found:
        return
    name = found["service"]
    if not found["proven"]:
        with suppress(Failure):
            stop_all(docker, name)
        for place in found["places"]:
            if os.path.lexists(place + _ASIDE):
                shutil.rmtree(place, ignore_errors=True)
                os.rename(place + _ASIDE, place)
        service = next((item for item in plan["services"] if item["name"] == name), None)
        if service:
            trial = attempt(docker, service, say)
            trial.up()
            trial.wait_until_healthy()
        say(f"{name}: what was there before the restore runs again")
    for place in found["places"]:
        shutil.rmtree(place + _ASIDE, ignore_errors=True)
    os.unlink(marker)


def _newest(place: str) -> float:
    """When something below a directory was last written."""
    newest = 0.0
    for folder, _folders, files in os.walk(place):
        for name in files:
            with suppress(OSError):
                newest = max(newest, os.lstat(os.path.join(folder, name)).st_mtime)
    return newest
