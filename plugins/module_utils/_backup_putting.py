# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore in place (_backup_restore.py) and the refill of a new host (_backup_refill.py) have in common.

Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from ._backup_snapshot import Snapshot, unpacked
from ._copies import Place
from ._docker import Docker, EngineError
from ._restic import Trouble
from ._state import running_versions
from .transaction import Busy, host_lock

_LOCK_PATIENCE = 600.0


class Putting(ABC):
    """One service's snapshot, put where the service finds it. plan, service: of view_backups.plan."""

    def __init__(
        self, docker: Docker, plan: Mapping[str, Any], service: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        self.docker = docker
        self.plan = plan
        self.service = service
        self.name: str = service["name"]
        self.say = say

    def run(self, snapshot: Snapshot) -> None:
        """Read the snapshot beside the data, then put it in place while nobody deploys. Raises Trouble."""
        where = os.path.join(self.plan["data_dir"], ".restore", self.name)
        try:
            with (
                unpacked(snapshot, where, self.say) as found,
                host_lock(self.plan["state_dir"], f"the restore of {self.name}", _LOCK_PATIENCE, self.say),
            ):
                self.put(snapshot, found)
        except (Busy, EngineError, OSError) as problem:
            raise Trouble(f"{self.name}: {problem}") from problem

    @abstractmethod
    def put(self, snapshot: Snapshot, found: Mapping[str, str]) -> None:
        """found: name of its data → where they were unpacked."""

    def places(self) -> dict[str, Place]:
        """Name of the service's data → their place."""
        image = next(iter(self.service["images"].values()), "")
        return {item["name"]: Place(self.docker, item["place"], image) for item in self.service["data"]}

    def refuse_version(self, snapshot: Snapshot) -> None:
        """Refuse data that today's version reads differently. Raises Trouble."""
        saved, now = snapshot.manifest["versions"], running_versions(self.plan["state_dir"], self.service)
        if saved != now and not self.service["reversible"]:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(snapshot.time))
            words = ", ".join(f"{name} {version}" for name, version in saved.items())
            raise Trouble(
                f"the snapshot of {when} was written by {words}; here runs {', '.join(now.values())}, and their"
                " data are not the same",
                "pin those versions and deploy, restore, then walk to today's: playbooks/upgrade.yml",
            )

    def refuse_unknown(self, snapshot: Snapshot) -> None:
        """Refuse data that the service has no place for. Raises Trouble."""
        unknown = {row["name"] for row in snapshot.manifest["data"]} - {
            item["name"] for item in self.service["data"]
        }
        if unknown:
            raise Trouble(
                f"the snapshot {snapshot.id} has {', '.join(sorted(unknown))}, which {self.name} has no place for",
                "use the release of Hearth that saved it",
            )
