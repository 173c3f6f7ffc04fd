# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Saves services: each by itself, or those that belong together at one moment, on other hosts, too.

Together are services of which one uses another, and both have data (view_backups.together). The host of the one that
uses leads: it freezes who writes, has all of them copied, here and elsewhere, and lets them go on; what was copied is
uploaded afterwards. Their snapshots carry that moment as their time.
Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from . import _durable
from ._backup_line import HOLD, READY, SAVED, Line, Lines, called
from ._backup_snapshot import TAG
from ._backup_stage import Stage, Staged, paused, stage
from ._backup_status import Progress, Status, amount
from ._docker import Docker
from ._restic import Restic, Trouble, ssh
from ._state import state_path
from .transaction import Busy, host_lock

# While a service is made ready no deploy may change it; a deploy that is under way is waited for.
_LOCK_PATIENCE = 1800.0

Service = Mapping[str, Any]


@dataclass
class Saving:
    """One run on this host. plan: of view_backups.plan; folder: with this host's key for ssh."""

    docker: Docker
    plan: Mapping[str, Any]
    folder: str
    status: Status
    say: Callable[[str], None]
    repositories: Sequence[Restic]
    tags: Sequence[str] = ()

    def alone(self, service: Service) -> list[str]:
        """Save one service. Returns what went wrong."""
        began = time.time()
        try:
            with ExitStack() as stack:
                with self._no_deploy([service]):
                    one = stack.enter_context(stage(self.docker, self.plan, service, self.say))
                    found, deploys = one.make(time.time()), self._deploys(service["name"])
                return self._upload(one, found, deploys, began)
        except (Trouble, Busy) as problem:
            return self._failed([service], began, problem)

    def lead(self, group: Mapping[str, Any]) -> list[str]:
        """Save services that belong together, those of other hosts, too. Returns what went wrong."""
        began = time.time()
        mine = self._named(group["members"][self.plan["host"]])
        with ExitStack() as stack:
            others = Lines(group["members"], mine[0]["name"])
            for host, address in group["addresses"].items():
                command = ssh(self.folder, group["account"], address)
                others.lines[host] = stack.enter_context(called(command))
            others.each(lambda host, line: line.tell(services=group["members"][host], tags=list(self.tags)))
            others.each(lambda host, line: line.hear("ready", READY))
            try:
                with self._no_deploy(mine):
                    stages = self._stages(stack, mine)
                    with paused(self.docker, self._writers(group)):
                        moment = time.time()
                        others.each(lambda host, line: line.tell(hold=moment))
                        others.each(lambda host, line: line.hear("held", HOLD))
                        others.each(lambda host, line: line.tell(copy=True))
                        made = [(one, one.make(moment), self._deploys(one.name)) for one in stages]
                        others.each(lambda host, line: line.hear("copied", moment + HOLD - time.time()))
                    held = time.time() - moment
                    others.each(lambda host, line: line.tell(go_on=True))
            except (Trouble, Busy) as problem:
                return [*others.problems, *self._failed(mine, began, problem)]
            together = [item["name"] for item in mine] + others.names()
            self.say(f"{', '.join(together)}: copied as of one moment; nobody wrote to them for {held:.1f} s")
            problems = []
            for one, found, deploys in made:
                problems += self._upload(one, found, deploys, began, held)
            others.each(lambda host, line: problems.extend(line.hear("problems", SAVED)))
        return [*others.problems, *problems]

    def follow(self, line: Line) -> list[str]:
        """Do what the host that leads says. Returns what went wrong."""
        began = time.time()
        asked = line.hear("services", HOLD)
        groups = [
            group
            for group in self.plan["together"]
            if group["lead"] != self.plan["host"]
            and set(asked) <= set(group["members"].get(self.plan["host"], ()))
        ]
        if not groups:
            raise Trouble(f"{', '.join(asked)}: no other host leads their backup", "playbooks/backup.yml")
        mine = self._named(asked)
        try:
            with ExitStack() as stack:
                with self._no_deploy(mine):
                    stages = self._stages(stack, mine)
                    line.tell(ready=True)
                    moment = float(line.hear("hold", READY))
                    with paused(self.docker, self._writers(groups[0])):
                        line.tell(held=True)
                        line.hear("copy", HOLD)
                        made = [(one, one.make(moment), self._deploys(one.name)) for one in stages]
                        with suppress(Trouble):  # what was copied is good, whatever became of the others
                            line.tell(copied=True)
                            line.hear("go_on", HOLD)
                problems = []
                for one, found, deploys in made:
                    problems += self._upload(one, found, deploys, began)
                return problems
        except (Trouble, Busy) as problem:
            return self._failed(mine, began, problem)

    def _stages(self, stack: ExitStack, services: Sequence[Service]) -> list[Stage]:
        return [
            stack.enter_context(stage(self.docker, self.plan, item, self.say, linked=True))
            for item in services
        ]

    def _named(self, names: Sequence[str]) -> list[Service]:
        return [service for service in self.plan["services"] if service["name"] in names]

    def _writers(self, group: Mapping[str, Any]) -> list[str]:
        """The containers of this host that write to what the group saves, but those that have to work for a dump."""
        found = []
        for service in self._named(group["holds"].get(self.plan["host"], ())):
            busy = {item["container"] for item in service["data"] if item["save"] == "dump"}
            found += [
                str(item["id"])
                for item in self.docker.containers(service["name"])
                if item["state"] == "running" and item["service"] not in busy
            ]
        return found

    @contextmanager
    def _no_deploy(self, services: Sequence[Service]) -> Iterator[None]:
        who = f"the backup of {', '.join(service['name'] for service in services)}"
        with host_lock(self.plan["state_dir"], who, _LOCK_PATIENCE, self.say):
            yield

    def _failed(self, services: Sequence[Service], began: float, problem: Exception) -> list[str]:
        problems = []
        for service in services:
            problems.append(f"{service['name']}: {problem}")
            self.status.ran(service["name"], began, problems[-1:])
        return problems

    def _upload(self, one: Stage, found: Staged, deploys: Any, began: float, held: float = 0.0) -> list[str]:
        """What was made ready, into each repository. Returns what went wrong."""
        name, moment = one.name, found.manifest["saved_at"]
        one.settle()
        problems: list[str] = []
        for repository in self.repositories:
            try:
                tags = [TAG, f"service={name}", *self.tags]
                progress = Progress(self.say, f"{name}: saves to {repository.name}")
                snapshot = repository.save(
                    *(self.plan["host"], tags, found.paths, found.excludes, moment, found.linked, progress)
                )
                self._refuse_changed(repository, name, deploys, snapshot)
            except Trouble as problem:
                problems.append(f"{name}: {problem}")
                continue
            self.status.saved(name, repository.name, snapshot, moment)
            self.say(
                f"{name}: {amount(snapshot['bytes'])} saved to {repository.name} as {snapshot['id']},"
                f" {amount(snapshot['added'])} of it new"
            )
        if not self.repositories:
            problems.append(f"{name}: there is no repository that could take it")
        frozen = sum(item.get("paused_seconds", 0.0) for item in found.manifest["data"])
        self.status.ran(name, began, problems, frozen, held)
        return problems

    def _deploys(self, service: str) -> tuple[Any, list[str]]:
        """What differs after a deploy of the service has touched it."""
        state_dir = self.plan["state_dir"]
        folder = os.path.join(state_dir, "transactions", service)
        begun = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        return _durable.read_json(state_path(state_dir, service)), begun

    def _refuse_changed(
        self, repository: Restic, service: str, deploys: Any, snapshot: Mapping[str, Any]
    ) -> None:
        """A deploy may put other files under restic's reading: such a snapshot looks whole and is not."""
        if self._deploys(service) != deploys:
            repository.drop(snapshot["id"])
            raise Trouble(
                "it was deployed while it was being saved; the snapshot was dropped",
                f"save it again: hearth-backup run {service}",
            )
