# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The backups of one host: saves its services with restic, lists, checks and restores what was saved.

It is kept on the host with the files that it imports as one program (see backup_program.py):

    hearth-backup run [SERVICE …] [--tag pre-update]     save now, all services or these
    hearth-backup list [SERVICE …] [--json]              what there is to restore
    hearth-backup status [--json]                        how old the last good backup of each service is
    hearth-backup init [--anew]                          begin the repositories that are not there yet
    hearth-backup restic REPOSITORY ARGUMENT …           restic itself, on one of the repositories

Exit status: 0 all is well, 1 something failed and is named, 2 it could not begin, 3 another one is at work.

The configuration (config.json): what view_backups.plan says, and {keep: {daily, weekly, monthly}, limit_upload: KiB/s,
metrics: file, on_failure: {command, url}}. Beside it lie `key`, `environment.json`, `id_ed25519` and `known_hosts`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from . import _durable
from ._backup_stage import staged, thaw
from ._backup_status import Status, age, tell
from ._copies import gib
from ._docker import Docker, EngineError
from ._restic import Restic, Trouble
from ._state import committed, state_path
from .transaction import Busy, host_lock

CONFIG = "/etc/hearth/backups/config.json"
TAG = "hearth"
GOOD, FAILED, UNABLE, BUSY = 0, 1, 2, 3
# While a service is made ready no deploy may change it; a deploy that is under way is waited for.
_LOCK_PATIENCE = 1800.0
_CLOCK_SLACK = 3600.0


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
        beside = os.path.dirname(config)
        environment = _durable.read_json(os.path.join(beside, "environment.json")) or {}
        self.repositories = [
            Restic(
                item,
                beside,
                environment,
                plan["key"],
                os.path.join(self.folder, "cache"),
                plan.get("limit_upload", 0),
            )
            for item in plan["repositories"]
        ]

    def lock(self) -> int:
        """Be the only one at work; a kill sets it free. Raises AtWork."""
        handle = _durable.try_lock(os.path.join(self.folder, "lock"))
        if handle is None:
            raise AtWork(
                "another hearth-backup is at work on this host; hearth-backup status tells its results"
            )
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

    def init(self, anew: bool) -> list[str]:
        """Begin the repositories that are not there. Returns the problems.

        One that was there before and is not any more is not begun again unasked: its disk may just not be mounted.
        """
        problems = []
        for repository in self.repositories:
            known = self.status.repository(repository.name)
            try:
                identity = repository.identity()
                if identity is None and known["id"] and not anew:
                    raise Trouble(
                        f"the repository {repository.name} was there before and is gone",
                        "mount its disk; to begin a new one: hearth-backup init --anew",
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
        for container in thaw(self.docker, self.plan["services"]):
            self.say(f"thawed {container}, which a killed run had left frozen")
        problems = self._unlisted() if not names else []
        ready, wrong = self._ready()
        problems += wrong
        for service in services:
            problems += self._save(service, ready, tags)
            self.status.write()
        for repository in ready:
            problems += self._tidy(repository)
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

    def _save(
        self, service: Mapping[str, Any], repositories: Sequence[Restic], tags: Sequence[str]
    ) -> list[str]:
        """One service into each repository."""
        name, began = service["name"], time.time()
        problems: list[str] = []
        paused = 0.0
        lock = host_lock(self.plan["state_dir"], f"the backup of {name}", _LOCK_PATIENCE, self.say)
        try:
            with ExitStack() as stack:
                with lock:
                    found = stack.enter_context(staged(self.docker, self.plan, service, self.say))
                    deploys = self._deploys(name)
                paused = sum(item.get("paused_seconds", 0.0) for item in found.manifest["data"])
                for repository in repositories:
                    try:
                        snapshot = repository.save(
                            self.host, [TAG, f"service={name}", *tags], found.paths, found.excludes
                        )
                        self._refuse_changed(repository, name, deploys, snapshot)
                    except Trouble as problem:
                        problems.append(f"{name}: {problem}")
                        continue
                    self.status.saved(name, repository.name, snapshot, found.manifest["saved_at"])
                    self.say(
                        f"{name}: {gib(snapshot['bytes'])} saved to {repository.name} as {snapshot['id']},"
                        f" {gib(snapshot['added'])} of it new"
                    )
        except (Trouble, Busy) as problem:
            problems.append(f"{name}: {problem}")
        if not repositories:
            problems.append(f"{name}: there is no repository that could take it")
        self.status.ran(name, began, problems, paused)
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
            repository.call("forget", snapshot["id"])
            raise Trouble(
                "it was deployed while it was being saved; the snapshot was dropped",
                f"save it again: hearth-backup run {service}",
            )

    def _tidy(self, repository: Restic) -> list[str]:
        """Forget what the policy does not keep; where only the target may delete, that is the target's to do."""
        if repository.append_only:
            return []
        try:
            newest = max((moment(item["time"]) for item in repository.snapshots(self.host)), default=0.0)
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
        """[{repository, service, id, time, tags}], oldest first, of every repository. Raises Trouble."""
        found = []
        for repository in self.repositories:
            for item in repository.snapshots(self.host, TAG):
                service = next((tag[8:] for tag in item["tags"] if tag.startswith("service=")), "?")
                if not names or service in names:
                    tags = [tag for tag in item["tags"] if tag != TAG and not tag.startswith("service=")]
                    row = {"repository": repository.name, "service": service, "tags": tags}
                    found.append({**row, "id": item["id"], "time": item["time"]})
        return found


class AtWork(Exception):
    """Another hearth-backup holds this host's lock."""


def moment(text: str) -> float:
    """Seconds since the epoch of restic's time, which has nanoseconds."""
    stamp, _point, rest = text.partition(".")
    zone = rest.lstrip("0123456789") if rest else ""
    if not zone:
        stamp, zone = (stamp[:-1], "Z") if stamp.endswith("Z") else (stamp[:-6], stamp[-6:])
    return datetime.fromisoformat(stamp + ("+00:00" if zone == "Z" else zone)).timestamp()


def report(plan: Mapping[str, Any], status: Status) -> str:
    """A line for each service: how old its last good backup and drill are, and what went wrong last."""
    lines = []
    for name in (service["name"] for service in plan["services"]):
        service = status.service(name)
        for repository in (item["name"] for item in plan["repositories"]):
            saved = service["saved"].get(repository)
            size = f", {gib(saved['bytes'])}" if saved else ""
            when = age(saved["time"] if saved else None)
            lines.append(
                f"{name:<12} saved to {repository} {when}{size}; restored by a drill {age(service['drilled'])}"
            )
        for word in ("run", "drill"):
            if service[word] and not service[word]["good"]:
                lines.append(f"{name:<12} last {word} failed: {service[word]['message']}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's text."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="hearth-backup", description="The backups of this host's services.")
    parser.add_argument("--config", default=CONFIG, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="save now")
    run.add_argument("--tag", action="append", default=[], help="a further tag of the snapshots")
    listed = commands.add_parser("list", help="what there is to restore")
    for command in (run, listed):
        command.add_argument("service", nargs="*", help="all without any")
    status = commands.add_parser("status", help="how old the backups are")
    for command in (listed, status):
        command.add_argument("--json", action="store_true")
    init = commands.add_parser("init", help="begin the repositories that are not there yet")
    init.add_argument("--anew", action="store_true", help="also those that were there before")
    restic = commands.add_parser("restic", help="restic itself, on one of the repositories")
    restic.add_argument("repository")
    restic.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        return _do(options, Backup(options.config, _out))
    except AtWork as problem:
        sys.stderr.write(f"hearth-backup: {problem}\n")
        return BUSY
    except (Trouble, EngineError, OSError) as problem:
        sys.stderr.write(f"hearth-backup: {problem}\n")
        return UNABLE


def _do(options: argparse.Namespace, backup: Backup) -> int:
    if options.command == "restic":
        restic = backup.repository(options.repository)
        os.execvpe("restic", ["restic", *restic.options, *options.arguments], restic.environment)
    if options.command == "list":
        rows = backup.list(options.service)
        _out(
            json.dumps(rows)
            if options.json
            else "\n".join(_row(row) for row in rows) or "nothing was saved yet"
        )
        return GOOD
    if options.command == "status":
        found = {"repositories": backup.status.repositories, "services": backup.status.services}
        _out(json.dumps(found) if options.json else report(backup.plan, backup.status))
        return GOOD
    handle = backup.lock()
    try:
        if options.command == "init":
            return _end(backup, backup.init(options.anew), loud=False)
        return _end(backup, backup.run(options.service, options.tag))
    finally:
        os.close(handle)


def _end(backup: Backup, problems: Sequence[str], loud: bool = True) -> int:
    """Say what went wrong, to the operator's command and URL as well, and give the exit status."""
    for problem in problems:
        sys.stderr.write(f"hearth-backup: {problem}\n")
    if problems and loud:
        failed = tell(backup.plan.get("on_failure") or {}, backup.host, "\n".join(problems) + "\n")
        if failed:
            sys.stderr.write(f"hearth-backup: nobody was told: {failed}\n")
    return FAILED if problems else GOOD


def _row(row: Mapping[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment(row["time"])))
    tags = f"  {','.join(row['tags'])}" if row["tags"] else ""
    return f"{row['service']:<12} {row['id']}  {when}  {row['repository']}{tags}"


def _out(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
