# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Updates that change a service's data for good: copied cold, tried on them unrouted, put back where that fails.

    stopped   nothing writes any more; what only a dump can carry over was dumped
    copied    the data as they are, whole, on the disk
    up        the new version on the data, with nobody to reach it; healthy proves it
    routed    the same version as the stack's own compose.yaml says

Until `routed` begins the previous version and its data come back when anything fails; from then on people may have
written to the data, and only this run, which knows that nobody was let in, may still put them back.
Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from . import _durable
from ._bring_up import BringUp, Containers, Failure, stop_all, take_down
from ._copies import Copies
from ._docker import Docker, EngineError, compose
from ._journal import Folder
from ._unrouted import remove_networks, unrouted


class OneWay:
    """What a plan's `update` asks for: {copies: folder, data: [{name, place, container, dump, restore, changed_by,
    by_dump}]}.

    docker, folder, say, masked: the transaction's.
    """

    def __init__(
        self,
        plan: Mapping[str, Any],
        docker: Docker,
        folder: Folder,
        say: Callable[..., None],
        masked: Callable[[str], str],
    ) -> None:
        self.docker = docker
        self.folder = folder
        self.say = say
        self.masked = masked
        self.project: str = plan["project"]
        self.stack_dir: str = plan["stack_dir"]
        self.images: Mapping[str, str] = plan["images"]
        update = plan.get("update") or {"copies": folder.inside("copies"), "data": []}
        first = next(iter(self.images.values()), "")
        self.data = [{**item, "image": self.images.get(item["container"], first)} for item in update["data"]]
        self.copies = Copies(docker, update["copies"], folder.id, self.data)

    def is_needed(self, containers: Containers, last: Mapping[str, Any] | None) -> bool:
        """Whether a container that changes data gets another image; where it is not known which one they knew, too.

        containers: those that are there; last: the committed state.
        """
        if not self.data:
            return False
        there = containers or list(((last or {}).get("containers") or {}).values())
        known = {item["service"]: item["image_id"] for item in there}
        wanted = self.docker.image_ids(self.images.values())
        own = [(item.get("changed_by"), item["container"]) for item in self.data]
        changing = {name for names, owner in own for name in names or ([owner] if owner else self.images)}
        if known and all(known.get(name) == wanted[self.images[name]] for name in changing):
            return False
        return not all(place.is_empty() for place in self.copies.places().values())

    def dumped(self, containers: Containers) -> list[dict[str, Any]]:
        """The data that only a dump can carry over, because their container gets another major version."""
        now = {item["service"]: major(item["image"]) for item in containers}
        return [
            item
            for item in self.data
            if item["by_dump"]
            and item["container"] in now
            and now[item["container"]] != major(self.images[item["container"]])
        ]

    def stop(self, containers: Containers) -> None:
        """Stop everything; where there is something to dump, its container last."""
        dumped = self.dumped(containers)
        if dumped:
            owners = {item["container"] for item in dumped}
            others = sorted({item["service"] for item in containers} - owners)
            if others:
                stop_all(self.docker, self.project, *others)
            for item in dumped:
                self._dump(item)
        self.say("stops it, to copy its data")
        stop_all(self.docker, self.project)

    def _dump(self, item: Mapping[str, Any]) -> None:
        self.say(f"dumps {item['place']}")
        container = self._running(item["container"])
        with open(self.copies.dump(item["name"]), "wb") as file:
            answer = self.docker.call("exec", container, *item["dump"], timeout=None, stdout=file)
        if not answer.good:
            raise Failure(f"{item['place']} cannot be dumped: {self.masked(answer.reason)}")

    def copy(self) -> int:
        """Copy the data; returns the copy's bytes."""
        try:
            return self.copies.make(self.say)
        except EngineError as problem:
            raise Failure(f"the data cannot be copied: {problem}") from problem

    def up(self, bring_up: Callable[[], BringUp], containers: Containers) -> BringUp:
        """Start the new version on the data where nobody reaches it; bring_up() is an attempt at `folder.unrouted`.

        Returns the attempt that is to get healthy.
        """
        take_down(self.docker, self.project)
        answer = self.docker.call(*compose(self.project, self.stack_dir, "config", "--format", "json"))
        if not answer.good:
            raise Failure(f"docker compose refuses compose.yaml: {self.masked(answer.reason)}")
        model = unrouted(json.loads(answer.out), self.project)
        _durable.write_json(self.folder.unrouted, model)
        dumped = self.dumped(containers)
        if dumped:
            # Containers of a new major version begin with nothing, and get the dumps.
            for item in dumped:
                self.copies.places()[item["name"]].empty()
                bring_up().load(item, self.copies.dump(item["name"]))
        self.say("starts the new version on the data, unrouted")
        attempt = bring_up()
        attempt.up()
        return attempt

    def route(self, attempt: BringUp) -> None:
        """Make the proven version the one that its compose.yaml describes."""
        self.say("the new version is proven; routes to it")
        attempt.up()
        attempt.wait_until_healthy()
        remove_networks(self.docker, self.project)

    def put_back(self) -> None:
        """Make the data what they were before the new version saw them; once, however often it is called."""
        if not self.copies.whole:
            return
        take_down(self.docker, self.project)
        try:
            self.copies.put_back(self.say)
        except EngineError as problem:
            raise Failure(f"the data cannot be put back from {self.copies.path}: {problem}") from problem

    def _running(self, service: str) -> str:
        found = [
            item["id"]
            for item in self.docker.containers(self.project)
            if item["service"] == service and item["state"] == "running"
        ]
        if not found:
            raise Failure(f"{service} does not run, so its data can be neither dumped nor restored")
        return str(found[0])


def major(reference: str) -> str:
    """The first number of an image's tag: `17` of docker.io/library/postgres:17.6@sha256:…"""
    tag = reference.partition("@")[0].rpartition("/")[2].partition(":")[2]
    found = re.search(r"\d+", tag)
    return found.group() if found else tag
