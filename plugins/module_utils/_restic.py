# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drives restic on one repository, and says in plain words what is wrong with it.

Any restic from 0.12 on: the oldest that a supported distribution has. Its exit status tells a wrong key, a missing
repository and a lock apart since 0.17 only, so its words are read as well.
Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ._docker import Answer

INCOMPLETE = 3

# (exit status since 0.17, words in small letters, what is said, the remedy); the first that fits.
_REASONS = (
    (
        12,
        r"wrong password or no key found",
        "does not open with this host's key",
        "put the key that it was made with back into the vault ({key}), then run playbooks/backup.yml",
    ),
    (
        None,
        r"no space left|quota exceeded|insufficient storage",
        "is full",
        "make room there, or keep less (backups_keep); nothing that was saved before is lost",
    ),
    (
        None,
        r"connection refused|timed out|timeout|no route to host|network is unreachable|no such host"
        r"|could not resolve|unable to start the sftp session|host key verification failed"
        r"|permission denied \(publickey|connection reset|dial tcp|failed to start, command not found",
        "cannot be reached",
        "see that the other side is up and lets this host in; playbooks/backup.yml renews the access by sftp",
    ),
    (
        10,
        r"is there a repository at|unable to open config file|repository does not exist",
        "is not there",
        "if its disk is only not mounted, mount it; to begin a new one: hearth-backup init --anew {name}",
    ),
    (
        11,
        r"already locked",
        "is locked by somebody else's work on it",
        "wait for its end; where there is none: hearth-backup restic {name} unlock --remove-all",
    ),
    (
        None,
        r"ciphertext verification failed|hash mismatch|hashes? does not match|does not match id|invalid data"
        r"|data corrupt|damaged|unexpected eof|not contained in|pack .* (missing|not found)|repository contains errors",
        "is damaged",
        "save anew to another place of backups_to now; then hearth-backup restic {name} check --read-data says what is"
        " affected, and restic's manual (Troubleshooting) how to repair it",
    ),
    (
        None,
        r"permission denied",
        "may not be written to",
        "see who owns the directory and how it is mounted",
    ),
)


class Trouble(Exception):
    """Why something cannot be done, and the remedy: both are for people."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}\n  → {remedy}" if remedy else message)


class Restic:
    """One repository. repository: {name, place, …} of view_backups.plan.

    folder: where `key`, `id_ed25519` and `known_hosts` lie; environment: what the operator adds (credentials);
    key: what its key is called in the vault; cache: restic's own; limit: KiB/s upwards, 0 for none.
    """

    def __init__(
        self,
        repository: Mapping[str, Any],
        folder: str,
        environment: Mapping[str, str],
        key: str,
        cache: str,
        limit: int = 0,
    ) -> None:
        self.name: str = repository["name"]
        self.append_only: bool = repository["append_only"]
        self.key = key
        self.options = _reached(repository, folder) if repository["host"] else []
        self.options += [f"--limit-upload={limit}"] if limit else []
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": os.environ.get("HOME", "/root"),
            "LC_ALL": "C.UTF-8",
            "RESTIC_PROGRESS_FPS": "0.1",
            **environment,
            # Here and not among the arguments, which everybody on the host can read.
            "RESTIC_REPOSITORY": _with_account(repository["place"], environment),
            "RESTIC_PASSWORD_FILE": os.path.join(folder, "key"),
            "RESTIC_CACHE_DIR": cache,
        }

    def call(self, *arguments: str, told: Callable[[Mapping[str, Any]], None] | None = None) -> Answer:
        """Run restic to its end; told: gets what it says of its progress. Raises Trouble where there is none."""
        out = []
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    ["restic", *self.options, *arguments],
                    env=self.environment,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
            except OSError as error:
                raise Trouble(
                    f"restic: {error.strerror}",
                    "install the distribution's restic, or run playbooks/backup.yml",
                ) from error
            with process:
                for line in process.stdout or ():
                    status = _status(line) if told else None
                    if told and status:
                        told(status)
                    else:
                        out.append(line)
            errors.seek(0)
            err = errors.read()
        return Answer(
            process.returncode, b"".join(out).decode("utf-8", "replace"), err.decode("utf-8", "replace")
        )

    def good(self, *arguments: str) -> str:
        """The output of a call that has to succeed. Raises Trouble."""
        answer = self.call(*arguments)
        if not answer.good:
            raise self.trouble(answer)
        return answer.out

    def trouble(self, answer: Answer) -> Trouble:
        """What restic complained about, in words for people."""
        return Trouble(*explain(answer, self.name, self.key))

    def identity(self) -> str | None:
        """The repository's id; None where there is no repository. Raises Trouble for any other reason."""
        answer = self.call("cat", "config", "--no-lock")
        if answer.good:
            return str(json.loads(answer.out)["id"])
        if explain(answer, self.name, self.key)[0].endswith(" is not there"):
            return None
        raise self.trouble(answer)

    def make(self) -> None:
        """Begin a new repository. Raises Trouble."""
        self.good("init")

    def save(
        self,
        host: str,
        tags: Iterable[str],
        paths: Sequence[str],
        excludes: Sequence[str],
        moment: float,
        linked: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> dict[str, Any]:
        """One snapshot: {id, bytes, added}. There is none unless everything was read. Raises Trouble.

        moment: its time; linked: files were linked to since the last one, and are not changed by that.
        progress(done, total): bytes that were read, now and then.
        """
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
        options = ["--json", "--host", host, "--time", when, *(f"--tag={tag}" for tag in tags)]
        options += [f"--exclude={_literal(path)}" for path in excludes]
        options += ["--ignore-ctime"] if linked else []
        for _attempt in range(2):  # a file may vanish between being listed and being read, once
            answer = self.call(
                *("backup", *options, "--", *paths),
                told=lambda status: progress(status.get("bytes_done", 0), status.get("total_bytes", 0)),
            )
            told = (item for item in _json_lines(answer.out) if item.get("message_type") == "summary")
            summary = next(told, {})
            if answer.code != INCOMPLETE:
                break
            if summary.get("snapshot_id"):
                self.drop(summary["snapshot_id"])
        else:
            unread = [item["item"] for item in _json_lines(answer.err) if item.get("item")]
            raise Trouble(
                f"{len(unread) or 'some'} files could not be read, among them {', '.join(unread[:3]) or '?'};"
                " the incomplete snapshot was dropped",
                "see who owns them and whether the disk is sound, then run hearth-backup run",
            )
        if not answer.good or not summary.get("snapshot_id"):
            raise self.trouble(answer)
        return {
            "id": summary["snapshot_id"][:8],
            "bytes": summary["total_bytes_processed"],
            "added": summary["data_added"],
        }

    def restore(self, snapshot: str, folder: str, progress: Callable[[int, int], None]) -> None:
        """A snapshot's files below a folder; progress(done, total): bytes, now and then, by restic 0.16 and newer."""
        answer = self.call(
            *("restore", snapshot, "--target", folder, "--json"),
            told=lambda status: progress(status.get("bytes_restored", 0), status.get("total_bytes", 0)),
        )
        if not answer.good:
            raise self.trouble(answer)

    def drop(self, snapshot: str) -> None:
        """Take back a snapshot that is not what it looks like. Raises Trouble where nothing can be deleted."""
        self.call("forget", snapshot)  # ends well also where the target forbids it
        if self.call("cat", "snapshot", snapshot, "--no-lock").good:
            raise Trouble(
                f"the snapshot {snapshot[:8]} in {self.name} is incomplete and could not be dropped",
                f"do not restore it; forget it at the target: restic forget {snapshot[:8]}",
            )

    def snapshots(self, host: str, *tags: str) -> list[dict[str, Any]]:
        """[{id, time (RFC 3339), tags, paths, bytes}] with all of these tags, oldest first. Raises Trouble.

        bytes: None by a restic before 0.17, which does not keep them.
        """
        wanted = [f"--tag={','.join(tags)}"] if tags else []
        found = json.loads(self.good("snapshots", "--json", "--host", host, *wanted) or "[]") or []
        return sorted(
            (
                {
                    "id": item["id"][:8],
                    "time": item["time"],
                    "tags": item.get("tags") or [],
                    "paths": item["paths"],
                    "bytes": (item.get("summary") or {}).get("total_bytes_processed"),
                }
                for item in found
            ),
            key=lambda item: item["time"],
        )

    def tidy(self, host: str, keep: Mapping[str, int]) -> None:
        """Forget the snapshots that the policy does not keep, of each service for itself. Raises Trouble.

        All of the last day stay: one that was made by hand must not cost that of the night before it.
        """
        policy = ["--keep-within=1d", *(f"--keep-{name}={number}" for name, number in keep.items() if number)]
        self.good("forget", "--host", host, "--group-by", "host,tags", *policy, "--prune")


def explain(answer: Answer, name: str, key: str) -> tuple[str, str]:
    """(what is wrong with the repository, the remedy) for how restic ended."""
    said = f"{answer.err}\n{answer.out}"
    for code, words, text, remedy in _REASONS:
        if (code is not None and answer.code == code) or re.search(words, said.lower()):
            return f"the repository {name} {text}", remedy.format(name=name, key=f"vault_{key}")
    reason = answer.reason.replace("Fatal: ", "")
    return f"the repository {name}: {reason}", f"hearth-backup restic {name} check looks at it more closely"


def _status(line: bytes) -> dict[str, Any] | None:
    """What restic says of its progress in a line; None for any other line."""
    if b'"message_type":"status"' not in line:
        return None
    return next(iter(_json_lines(line.decode("utf-8", "replace"))), None)


def _json_lines(text: str) -> list[dict[str, Any]]:
    found = []
    for line in text.splitlines():
        try:
            item = json.loads(line)
        except ValueError:
            continue
        if isinstance(item, dict):
            found.append(item)
    return found


def _literal(path: str) -> str:
    """A path as an exclude pattern that means this path."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", path)


def _with_account(place: str, environment: Mapping[str, str]) -> str:
    """A rest-server's address with the credentials; restic reads them from the environment since 0.16 only."""
    user, word = (environment.get(f"RESTIC_REST_{name}") for name in ("USERNAME", "PASSWORD"))
    match = re.match(r"(rest:https?://)([^@]+)$", place)
    return f"{match[1]}{user}:{word}@{match[2]}" if match and user and word else place


def _reached(repository: Mapping[str, Any], folder: str) -> list[str]:
    """The options by which restic speaks with another host of ours: sftp, or what rclone serves there."""
    words = ssh(folder, repository["account"], repository["address"])
    if repository["append_only"]:
        return ["-o", f"rclone.program={' '.join(words)}", "-o", "rclone.args=serve restic --stdio"]
    return ["-o", f"sftp.command={' '.join([*words, '-s', 'sftp'])}"]


def ssh(folder: str, account: str, address: str) -> list[str]:
    """The command that reaches an account of another host: with this host's key, and that host only."""
    options = {
        "UserKnownHostsFile": os.path.join(folder, "known_hosts"),
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": "20",
        "ServerAliveInterval": "30",
        "ServerAliveCountMax": "4",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-T", "-i", os.path.join(folder, "id_ed25519"), *words, "-l", account, address.strip("[]")]
