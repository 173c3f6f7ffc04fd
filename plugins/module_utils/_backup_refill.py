# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts the data of a host that was lost in place on its successor, before anything of them was ever started there.

    the data              where the service will look for them
    <data_dir>/.waiting   tells the first deploy that they are there, and holds the dumps that it loads (_waiting.py)

status.json remembers what was begun and what is done, so that the same command goes on after a kill.
Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from ._backup_putting import Putting
from ._backup_snapshot import Snapshot
from ._backup_status import Status
from ._copies import Place
from ._docker import PROJECT_LABEL, Docker, EngineError
from ._restic import Trouble
from ._waiting import folder as waiting_folder

_VOLUME_LABEL = "com.docker.compose.volume"


class Refill(Putting):
    """One service's data, put where nothing of it is yet."""

    def __init__(
        self,
        docker: Docker,
        plan: Mapping[str, Any],
        service: Mapping[str, Any],
        status: Status,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(docker, plan, service, say)
        self.status = status

    @property
    def done(self) -> str | None:
        """The snapshot that was put in place already."""
        found = self.status.service(self.name).get("refilled") or {}
        return found["id"] if found.get("done") else None

    def refuse(self, snapshot: Snapshot) -> None:
        """Everything that speaks against it, before anything is touched. Raises Trouble."""
        if os.path.exists(os.path.join(self.service["stack_dir"], "compose.yaml")):
            raise Trouble(
                f"{self.name} is deployed here, so this host was not lost",
                f"put its data back in place: playbooks/restore.yml -e service={self.name}",
            )
        self.refuse_version(snapshot)
        self.refuse_unknown(snapshot)
        joined = {item["name"] for item in self.service["data"] if item["regain"]}
        filled = [
            place.place
            for name, place in self.places().items()
            if name not in joined and not place.is_empty()
        ]
        if filled and not self.status.service(self.name).get("refilled"):
            raise Trouble(f"{', '.join(filled)} is not empty, and nothing is put over data", "move it away")

    def put(self, snapshot: Snapshot, found: Mapping[str, str]) -> None:
        """Put the data in place; what a killed attempt left is replaced."""
        self._remember(snapshot, done=False)
        self._fill_all(found)
        os.sync()
        self._remember(snapshot, done=True)
        self.say(f"{self.name}: its data are in place")

    def _fill_all(self, found: Mapping[str, str]) -> None:
        waiting = waiting_folder(self.plan["data_dir"], self.name)
        os.makedirs(waiting, mode=0o700, exist_ok=True)
        for item in self.service["data"]:
            source = found.get(item["name"])
            if source is not None and item["save"] == "dump":
                shutil.move(source, os.path.join(waiting, f"{item['name']}.dump"))
            elif source is not None and item["regain"]:
                shutil.rmtree(os.path.join(waiting, item["name"]), ignore_errors=True)
                shutil.move(source, os.path.join(waiting, item["name"]))
            elif source is not None:
                self._fill(item["place"], source)

    def _fill(self, place: str, source: str) -> None:
        """Move a directory to its place, or copy it into a volume, a mount point or another file system."""
        if not os.path.isabs(place):
            labels = {PROJECT_LABEL: self.name, _VOLUME_LABEL: place.removeprefix(f"{self.name}_")}
            options = [f"--label={name}={value}" for name, value in labels.items()]
            answer = self.docker.call("volume", "create", *options, place)
            if not answer.good:
                raise EngineError(answer.reason)
        else:
            os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
            if (
                not os.path.ismount(place)
                and os.stat(os.path.dirname(place)).st_dev == os.stat(source).st_dev
            ):
                shutil.rmtree(place, ignore_errors=True)
                os.rename(source, place)
                return
            os.makedirs(place, exist_ok=True)
        target = Place(self.docker, place, "")
        target.take_from(source, lambda: None)
        info = os.stat(source)
        os.chown(str(target.path), info.st_uid, info.st_gid)
        os.chmod(str(target.path), info.st_mode & 0o7777)

    def _remember(self, snapshot: Snapshot, done: bool) -> None:
        self.status.service(self.name)["refilled"] = {
            "id": snapshot.id,
            "time": snapshot.time,
            "done": done,
        }
        self.status.write()
