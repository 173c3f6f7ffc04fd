# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Data from a backup that wait for a service's first start on this host.

    <waiting>/               made by who put the service's data in place (hearth-backup refill), gone once it is healthy
    <waiting>/<name>.dump    loaded before anything else of the service starts, then deleted
    <waiting>/<name>         as well: what was saved of data of which most can be had again

The service then starts on them as on its own: they are of its version, and the backup is the copy to go back to.
Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ._bring_up import BringUp, Containers
from ._copies import Place
from ._docker import Docker


def folder(data_dir: str, service: str) -> str:
    """Where data of a service wait, beside the data themselves."""
    return os.path.join(data_dir, ".waiting", service)


class Waiting:
    """A plan's `waiting`: {folder, data: [{name, place, container, restore, regain}]}, or null."""

    def __init__(self, plan: Mapping[str, Any], docker: Docker) -> None:
        found = plan.get("waiting") or {"folder": "", "data": []}
        self.docker = docker
        self.folder: str = found["folder"]
        self.data = found["data"]
        self.images: Mapping[str, str] = plan["images"]

    def is_needed(self, containers: Containers, last: Mapping[str, Any] | None) -> bool:
        """Whether this start is the one that they wait for: nothing of the service was ever here.

        containers: those that are there; last: the committed state.
        """
        return os.path.isdir(self.folder) and not containers and last is None

    def load(self, bring_up: Callable[[], BringUp]) -> None:
        """Give each database its dump. A dump that is still there was not loaded whole. Raises Failure."""
        for item in self.data:
            kept = os.path.join(self.folder, item["name"])
            dump = f"{kept}.dump"
            if item["regain"] and os.path.exists(kept):
                bring_up().load(item, kept)
                shutil.rmtree(kept)
            elif os.path.exists(dump):
                Place(self.docker, item["place"], self.images[item["container"]]).empty()
                bring_up().load(item, dump)
                os.unlink(dump)

    def forget(self) -> None:
        """Nothing waits any more."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            os.rmdir(os.path.dirname(self.folder))
