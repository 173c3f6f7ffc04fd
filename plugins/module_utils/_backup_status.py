# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host remembers of its backups, as JSON for people and playbooks and as metrics for Prometheus.

    <state_dir>/backups/status.json
    {format: 1,
     repositories: {name: {id, checked: {time, good, message}}},
     services: {name: {run: {time, good, message, seconds, paused_seconds, held_seconds},
                       saved: {repository: {time, id, bytes, added}}, drill: {time, good, message, seconds},
                       drilled: time, refilled: {id, time, done}}}}

Times are seconds since the epoch. `run` and `drill` are the last ones however they ended, `saved` and `drilled` the
last good ones.
Part of the program that stays on hosts (see backup.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _durable

FORMAT = 1
_PATIENCE = 60


class Status:
    """The remembered state, read at the start and written after each service, so that a kill loses nothing."""

    def __init__(self, folder: str, metrics: str | None = None) -> None:
        self.path = os.path.join(folder, "status.json")
        self.metrics = metrics
        found = _durable.read_json(self.path) or {}
        self.repositories: dict[str, dict[str, Any]] = found.get("repositories", {})
        self.services: dict[str, dict[str, Any]] = found.get("services", {})

    def write(self) -> None:
        found = {"format": FORMAT, "repositories": self.repositories, "services": self.services}
        _durable.write_json(self.path, found)
        if self.metrics:
            os.makedirs(os.path.dirname(self.metrics), exist_ok=True)
            _durable.write_whole(self.metrics, metrics(self.repositories, self.services).encode(), 0o644)

    def service(self, name: str) -> dict[str, Any]:
        return self.services.setdefault(name, {"run": None, "saved": {}, "drill": None, "drilled": None})

    def repository(self, name: str) -> dict[str, Any]:
        return self.repositories.setdefault(name, {"id": None, "checked": None, "sizes": {}})

    def ran(
        self, name: str, began: float, problems: Sequence[str], paused: float = 0.0, held: float = 0.0
    ) -> None:
        """Remember how the saving of a service ended, and for how long (s) it was frozen and kept from writing."""
        seconds = {"paused_seconds": round(paused, 2), "held_seconds": round(held, 2)}
        self.service(name)["run"] = {**outcome(began, problems), **seconds}

    def saved(self, name: str, repository: str, snapshot: Mapping[str, Any], moment: float) -> None:
        self.service(name)["saved"][repository] = {"time": moment, **snapshot}
        self.repository(repository).setdefault("sizes", {})[snapshot["id"]] = snapshot["bytes"]

    def size(self, repository: str, snapshot: str) -> int | None:
        """Bytes of a snapshot that this host remembers to have made."""
        found: int | None = self.repository(repository).get("sizes", {}).get(snapshot)
        return found

    def forget_all_but(self, repository: str, snapshots: Collection[str]) -> None:
        """Remember the sizes of these snapshots only."""
        sizes = self.repository(repository).get("sizes", {})
        self.repository(repository)["sizes"] = {name: sizes[name] for name in sizes if name in snapshots}

    def drilled(self, name: str, began: float, problems: Sequence[str]) -> None:
        """Remember how the drill of a service ended."""
        found = self.service(name)
        found["drill"] = outcome(began, problems)
        if not problems:
            found["drilled"] = found["drill"]["time"]

    def checked(self, name: str, began: float, problems: Sequence[str]) -> None:
        """Remember what restic's check of a repository said."""
        self.repository(name)["checked"] = outcome(began, problems)


def outcome(began: float, problems: Sequence[str]) -> dict[str, Any]:
    """{time, seconds, good, message} of something that ends now."""
    now = time.time()
    return {
        "time": now,
        "seconds": round(now - began, 1),
        "good": not problems,
        "message": "; ".join(problems),
    }


def metrics(repositories: Mapping[str, Any], services: Mapping[str, Any]) -> str:
    """The state in Prometheus' text format."""
    rows: dict[str, list[tuple[dict[str, str], float]]] = {}
    for name, service in services.items():
        one = {"service": name}
        for word in ("run", "drill"):
            if service[word]:
                rows.setdefault(f"{word}_good", []).append((one, int(service[word]["good"])))
                rows.setdefault(f"{word}_duration_seconds", []).append((one, service[word]["seconds"]))
        if service["run"]:
            for word in ("paused_seconds", "held_seconds"):
                rows.setdefault(word, []).append((one, service["run"].get(word, 0.0)))
        if service["drilled"]:
            rows.setdefault("drill_last_good_timestamp_seconds", []).append((one, service["drilled"]))
        for place, saved in service["saved"].items():
            both = {"service": name, "repository": place}
            rows.setdefault("last_good_timestamp_seconds", []).append((both, saved["time"]))
            rows.setdefault("size_bytes", []).append((both, saved["bytes"]))
            rows.setdefault("added_bytes", []).append((both, saved["added"]))
    for name, repository in repositories.items():
        if repository["checked"]:
            rows.setdefault("check_good", []).append(
                ({"repository": name}, int(repository["checked"]["good"]))
            )
    lines = []
    for metric in sorted(rows):
        lines.append(f"# TYPE hearth_backup_{metric} gauge")
        lines += [f"hearth_backup_{metric}{{{_labels(labels)}}} {value}" for labels, value in rows[metric]]
    return "\n".join([*lines, ""])


def _labels(labels: Mapping[str, str]) -> str:
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        for name, value in labels.items()
    }
    return ",".join(f'{name}="{value}"' for name, value in escaped.items())


def tell(on_failure: Mapping[str, Any], host: str, text: str) -> str | None:
    """Tell the operator's command (on its standard input) and URL (as a POST) what failed; why that failed, if so."""
    problems = []
    if on_failure.get("command"):
        try:
            done = subprocess.run(
                on_failure["command"],
                input=text.encode(),
                env={**os.environ, "HEARTH_HOST": host},
                timeout=_PATIENCE,
                check=False,
            )
            if done.returncode:
                problems.append(f"backups_on_failure.command ended with {done.returncode}")
        except (OSError, subprocess.SubprocessError) as error:
            problems.append(f"backups_on_failure.command: {error}")
    if on_failure.get("url"):
        request = urllib.request.Request(on_failure["url"], data=text.encode(), method="POST")
        request.add_header("Content-Type", "text/plain; charset=utf-8")
        try:
            with urllib.request.build_opener().open(request, timeout=_PATIENCE):
                pass
        except (OSError, ValueError) as error:
            problems.append(f"backups_on_failure.url: {error}")
    return "; ".join(problems) or None


@dataclass
class Progress:
    """Says how far something is. what: what is being done."""

    say: Callable[[str], None]
    what: str

    def __call__(self, done: int, total: int) -> None:
        if total:
            self.say(f"{self.what}, {amount(done)} of {amount(total)}")


def amount(size: int) -> str:
    """Bytes in words."""
    if size >= 1024**3:
        return f"{size / 1024**3:.1f} GiB"
    return f"{size / 1024**2:.1f} MiB" if size >= 1024**2 else f"{size / 1024:.0f} KiB"


def age(moment: float | None) -> str:
    """How long ago, in words."""
    if not moment:
        return "never"
    seconds = time.time() - moment
    if seconds < -60:
        return "in the future: look at the clock"
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now" if seconds < 60 else "a minute ago"
