# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The backups of one host: saves its services with restic, lists, checks and restores what was saved.

It is kept on the host with the files that it imports as one program (see backup_program.py):

    hearth-backup run [SERVICE …] [--tag pre-update]     save now, all services or these
    hearth-backup list [SERVICE …] [--json]              what there is to restore
    hearth-backup status [--json]                        how old the last good backup of each service is
    hearth-backup restore SERVICE [--snapshot ID|TIME] --confirm SERVICE     put its data back in place
    hearth-backup refill [SERVICE …] [--snapshot TIME]   on the successor of a lost host, before anything is deployed
    hearth-backup drill [SERVICE …]                      restore the newest beside what runs, and try them
    hearth-backup follow                                 save what another host leads, as it says (_backup_line.py)
    hearth-backup recover                                bring to an end what a kill or a power cut interrupted
    hearth-backup init [--anew REPOSITORY]               begin the repositories that are not there yet
    hearth-backup restic REPOSITORY ARGUMENT …           restic itself, on one of the repositories

Exit status: 0 all is well, 1 something failed and is named, 2 it could not begin, 3 another one is at work.

The configuration (config.json): what view_backups.plan says, and {keep: {daily, weekly, monthly}, limit_upload: KiB/s,
check_percent, metrics: file, on_failure: {command, url}}. Beside it lie `key`, `environment.json`, `id_ed25519` and
`known_hosts`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ._backup_line import READY, Line
from ._backup_snapshot import NEWEST, moment
from ._backup_status import Status, age, amount, tell
from ._backup_work import AtWork, Backup
from ._bring_up import Failure
from ._docker import EngineError
from ._restic import Trouble

CONFIG = "/etc/hearth/backups/config.json"
GOOD, FAILED, UNABLE, BUSY = 0, 1, 2, 3


def report(plan: Mapping[str, Any], status: Status) -> str:
    """A line for each service: how old its last good backup and drill are, and what went wrong last."""
    lines = []
    for name in (service["name"] for service in plan["services"]):
        service = status.service(name)
        for repository in (item["name"] for item in plan["repositories"]):
            saved = service["saved"].get(repository)
            size = f", {amount(saved['bytes'])}" if saved else ""
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
    parser.add_argument(
        "--wait", action="store_true", help="for another one at work to end, instead of ending with 3"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="save now")
    run.add_argument("--tag", action="append", default=[], help="a further tag of the snapshots")
    listed = commands.add_parser("list", help="what there is to restore")
    for command in (run, listed):
        command.add_argument("service", nargs="*", help="all without any")
    restore = commands.add_parser("restore", help="put a service's data back in place")
    restore.add_argument("service")
    restore.add_argument("--confirm", metavar="SERVICE", help="the service's name once more")
    drills = commands.add_parser("drill", help="restore the newest beside what runs, and try them")
    drills.add_argument("service", nargs="*", help="all without any")
    refill = commands.add_parser("refill", help="put the data of a lost host in place on its successor")
    refill.add_argument("service", nargs="*", help="all without any")
    refill.add_argument(
        "--without", action="append", default=[], metavar="SERVICE", help="one that begins with nothing"
    )
    for command in (restore, drills, refill):
        command.add_argument(
            "--snapshot", default=NEWEST, help="an id, or a time: the newest that is not younger"
        )
    commands.add_parser("follow", help="save what another host leads, as it says on standard input")
    commands.add_parser("recover", help="bring to an end what a kill or a power cut interrupted")
    status = commands.add_parser("status", help="how old the backups are")
    for command in (listed, status):
        command.add_argument("--json", action="store_true")
    init = commands.add_parser("init", help="begin the repositories that are not there yet")
    init.add_argument(
        "--anew",
        action="append",
        default=[],
        metavar="REPOSITORY",
        help="one that was there before and is lost",
    )
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
    except (Trouble, EngineError, Failure, OSError) as problem:
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
    follows = options.command == "follow"
    handle = backup.lock(READY if follows or options.wait else 0.0)
    try:
        if follows:
            return _follow(backup)
        if options.command == "init":
            return _end(backup, backup.init(options.anew), loud=False)
        if options.command == "recover":
            return _end(backup, backup.recover())
        if options.command == "restore":
            backup.restore(options.service, options.snapshot, options.confirm)
            return GOOD
        if options.command == "refill":
            return _end(backup, backup.refill(options.service, options.snapshot, options.without), loud=False)
        if options.command == "drill":
            return _end(backup, backup.drill(options.service, options.snapshot))
        return _end(backup, backup.run(options.service, options.tag))
    finally:
        os.close(handle)


def _follow(backup: Backup) -> int:
    """Standard output is the line to the host that leads, so what happens is said on standard error."""
    backup.say = _err
    line = Line(sys.stdin.fileno(), sys.stdout.fileno())
    try:
        problems = backup.follow(line)
    except Trouble as problem:
        problems = [str(problem)]
    try:
        line.tell(problems=problems)  # the host that leads reports them
    except Trouble:
        return _end(backup, problems)
    return FAILED if problems else GOOD


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
    saved = moment(row["time"])
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(saved))
    size = amount(row["bytes"]) if row["bytes"] else "?"
    tags = f"  {','.join(row['tags'])}" if row["tags"] else ""
    return f"{row['service']:<12} {row['id']}  {when}  {age(saved):<15} {size:>9}  {row['repository']}{tags}"


def _err(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _out(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
