# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What hearth-backup does, one method a command: whatever of it can be done is done, and the rest is named.

Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _durable
from ._backup_drill import check, drill
from ._backup_line import Line
from ._backup_refill import Refill
from ._backup_restore import Restore, recover
from ._backup_save import Saving
from ._backup_snapshot import TAG, find, moment
from ._backup_stage import thaw
from ._backup_status import Status, age
from ._bring_up import Failure
from ._docker import Docker, EngineError
from ._restic import Restic, Trouble
from ._state import committed

_LEADERS_PATIENCE = 36 * 3600.0
_CLOCK_SLACK = 3600.0
_PAUSE = 1.0


class Backup:
    """What the commands share. say(text) is told what happens."""

    def __init__(self, config: str, say: Callable[[str], None], docker: Docker | None = None) -> None:
        plan = _durable.read_json(config)
        if not isinstance(plan, dict):
            raise Trouble(f"there is no configuration at {config}", "playbooks/backup.yml writes it")
        self.plan: dict[str, Any] = plan
        self.host: str = plan["host"]
        self.say = say
        self.docker = docker or Docker()
        self.folder = os.path.join(plan["state_dir"], "backups")
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self.status = Status(self.folder, plan.get("metrics"))
        self.beside = os.path.dirname(config)
        environment = _durable.read_json(os.path.join(self.beside, "environment.json")) or {}
        self.repositories = [
            Restic(
                item,
                self.beside,
                environment,
                plan["key"],
                os.path.join(self.folder, "cache"),
                plan.get("limit_upload", 0),
            )
            for item in plan["repositories"]
        ]

    def lock(self, patience: float) -> int:
        """Be the only one at work; a kill sets it free. Raises AtWork after so many seconds."""
        until = time.monotonic() + patience
        while (handle := _durable.try_lock(os.path.join(self.folder, "lock"))) is None:
            if time.monotonic() >= until:
                raise AtWork(
                    "another hearth-backup is at work on this host; hearth-backup status tells its results"
                )
            time.sleep(_PAUSE)
        self.status = Status(self.folder, self.plan.get("metrics"))  # the other one may have written it
        return handle

    def services(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The services of these names, all without any. Raises Trouble for a name that is none."""
        known = {service["name"]: service for service in self.plan["services"]}
        unknown = [name for name in names if name not in known]
        if unknown:
            text = f"{', '.join(unknown)}: nothing of that name is saved on this host"
            raise Trouble(text, f"what is: {', '.join(known)}")
        return [known[name] for name in names or known]

    def repository(self, name: str) -> Restic:
        """The repository of this name. Raises Trouble."""
        found = next((item for item in self.repositories if item.name == name), None)
        if found is None:
            names = ", ".join(item.name for item in self.repositories)
            raise Trouble(f"{name} is none of this host's repositories", f"these are: {names}")
        return found

    def init(self, anew: Sequence[str]) -> list[str]:
        """Begin the repositories that are not there. Returns the problems.

        One that was there before and is not any more is begun again only where it is named: its disk may just not be
        mounted.
        """
        for name in anew:
            self.repository(name)
        problems = []
        for repository in self.repositories:
            known = self.status.repository(repository.name)
            try:
                identity = repository.identity()
                if identity is None and known["id"] and repository.name not in anew:
                    raise Trouble(
                        f"the repository {repository.name} was there before and is gone",
                        f"mount its disk; to begin a new one: hearth-backup init --anew {repository.name}",
                    )
                if identity is None:
                    repository.make()
                    identity = repository.identity()
                    self.say(f"began the repository {repository.name}")
                known["id"] = identity
            except Trouble as problem:
                problems.append(str(problem))
        self.status.write()
        return problems

    def run(self, names: Sequence[str], tags: Sequence[str]) -> list[str]:
        """Save services. Returns what went wrong; what could be saved is saved."""
        services = self.services(names)
        problems = self.recover()
        problems += [] if names else self._unlisted()
        ready, wrong = self._ready()
        problems += wrong
        saving = Saving(self.docker, self.plan, self.beside, self.status, self.say, ready, tags)
        done: list[str] = []
        for service in services:
            if service["name"] in done:
                continue
            groups = (item for item in self.plan["together"] if service["name"] in item["members"][self.host])
            group = next(groups, None)
            if group and group["lead"] == self.host:
                done += group["members"][self.host]
                problems += saving.lead(group)
            elif names or not group:
                problems += saving.alone(service)
            else:
                problems += self._missed(saving, service, group["lead"])
            self.status.write()
        for repository in ready:
            problems += self._tidy(repository)
        self.status.write()
        return problems

    def follow(self, line: Line) -> list[str]:
        """Save what another host leads. Returns what went wrong."""
        problems = self.recover()
        ready, wrong = self._ready()
        saving = Saving(self.docker, self.plan, self.beside, self.status, self.say, ready)
        problems += [*wrong, *saving.follow(line)]
        self.status.write()
        for repository in ready:
            problems += self._tidy(repository)
        self.status.write()
        return problems

    def _missed(self, saving: Saving, service: Mapping[str, Any], leader: str) -> list[str]:
        """A service that another host leads is saved alone where that host does not ask for it any more."""
        saved = self.status.service(service["name"])["saved"].values()
        last = min((item["time"] for item in saved), default=None)
        if last is not None and time.time() - last < _LEADERS_PATIENCE:
            return []
        problems = saving.alone(service)
        if last is not None:
            problems.append(
                f"{service['name']}: {leader}, which uses it, asked for its backup last {age(last)}; it was saved alone"
                "\n  → look there: hearth-backup status"
            )
        return problems

    def recover(self) -> list[str]:
        """Thaw what is frozen, and undo or finish a restore that was interrupted. Returns what went wrong."""
        try:
            held = {name for group in self.plan["together"] for name in group["holds"].get(self.host, ())}
            for container in thaw(self.docker, self.plan["services"], held):
                self.say(f"thawed {container}, which a killed run had left frozen")
            recover(self.docker, os.path.join(self.folder, "restoring.json"), self.plan, self.say)
        except (EngineError, Failure, OSError) as problem:
            return [f"what was interrupted could not be brought to an end: {problem}"]
        return []

    def restore(self, name: str, wanted: str, confirmed: str | None) -> None:
        """Put a service's data back in place. Raises Trouble; then what was there before is there."""
        (service,) = self.services([name])
        for problem in self.recover():
            raise Trouble(problem)
        restore = Restore(self.docker, self.plan, service, self.folder, self.say)
        snapshot = find(self.repositories, self.host, name, wanted)
        restore.refuse(snapshot, confirmed)
        restore.run(snapshot)

    def refill(self, names: Sequence[str], wanted: str, without: Sequence[str]) -> list[str]:
        """Put the data of a lost host in place where nothing is yet. Returns what went wrong.

        What speaks against any of the services is found before the first of them is touched.
        """
        self.services(without)
        ready, unready = self._ready()
        found, problems = [], []
        for service in (item for item in self.services(names) if item["name"] not in without):
            refill = Refill(self.docker, self.plan, service, self.status, self.say)
            if refill.done:
                self.say(f"{refill.name}: {refill.done} was put in place before")
                continue
            try:
                snapshot = find(ready, self.host, refill.name, wanted)
            except Trouble as problem:
                problems.append(
                    f"{refill.name}: {problem}\n  → to let it begin with nothing: --without {refill.name}"
                    f" (the playbook: -e without={refill.name})"
                )
                continue
            try:
                refill.refuse(snapshot)
                found.append((refill, snapshot))
            except Trouble as problem:
                problems.append(f"{refill.name}: {problem}")
        if problems:
            return [*unready, *problems]
        for text in unready:
            self.say(text)
        for refill, snapshot in found:
            try:
                refill.run(snapshot)
            except Trouble as problem:
                problems.append(str(problem))
        return problems

    def drill(self, names: Sequence[str], wanted: str) -> list[str]:
        """Check every repository, and try the newest snapshot of services. Returns what went wrong."""
        services = self.services(names)
        problems = self.recover()
        ready, wrong = self._ready()
        problems += wrong
        for repository in ready:
            began, found = time.time(), []
            try:
                check(repository, self.plan["check_percent"])
            except Trouble as problem:
                found = [str(problem)]
            self.status.checked(repository.name, began, found)
            problems += found
        for service in services:
            began, found = time.time(), []
            try:
                snapshot = find(ready, self.host, service["name"], wanted)
                drill(self.docker, self.plan, service, snapshot, self.say)
                self.say(f"{service['name']}: restored beside what runs, and healthy")
            except Trouble as problem:
                found = [f"{service['name']}: {problem}"]
            self.status.drilled(service["name"], began, found)
            self.status.write()
            problems += found
        return problems

    def _unlisted(self) -> list[str]:
        """Services that were deployed since the configuration was written."""
        new = sorted(set(committed(self.plan["state_dir"])) - set(self.plan["stacks"]))
        return [
            f"{name} is deployed on this host and not known here, so it is not saved\n"
            "  → playbooks/backup.yml brings the configuration up to date"
            for name in new
        ]

    def _ready(self) -> tuple[list[Restic], list[str]]:
        """The repositories that can be worked with, and what is wrong with the others."""
        ready, problems = [], []
        for repository in self.repositories:
            try:
                # Takes away what a killed run left: locks of processes that are no more.
                repository.good("unlock")
                ready.append(repository)
            except Trouble as problem:
                problems.append(str(problem))
        return ready, problems

    def _tidy(self, repository: Restic) -> list[str]:
        """Forget what the policy does not keep; where only the target may delete, that is the target's to do."""
        try:
            there = repository.snapshots(self.host)
            self.status.forget_all_but(repository.name, {item["id"] for item in there})
            if repository.append_only:
                return []
            newest = max((moment(item["time"]) for item in there), default=0.0)
            if newest > time.time() + _CLOCK_SLACK:
                raise Trouble(
                    f"{repository.name} has a snapshot from the future, so nothing is forgotten there",
                    "set this host's clock; if that snapshot was made by a wrong clock, forget it by its id:"
                    f" hearth-backup restic {repository.name} forget ID",
                )
            repository.tidy(self.host, self.plan["keep"])
        except Trouble as problem:
            return [str(problem)]
        return []

    def list(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """[{repository, service, id, time, tags, bytes}], oldest first, of every repository. Raises Trouble.

        bytes: None where neither restic nor this host remembers them.
        """
        found = []
        for repository in self.repositories:
            for item in repository.snapshots(self.host, TAG):
                service = next((tag[8:] for tag in item["tags"] if tag.startswith("service=")), "?")
                if not names or service in names:
                    tags = [tag for tag in item["tags"] if tag != TAG and not tag.startswith("service=")]
                    row = {"repository": repository.name, "service": service, "tags": tags}
                    size = item["bytes"] or self.status.size(repository.name, item["id"])
                    found.append({**row, "id": item["id"], "time": item["time"], "bytes": size})
        return found


class AtWork(Exception):
    """Another hearth-backup holds this host's lock."""
