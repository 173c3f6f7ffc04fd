# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How old each service's last good backup is and when a drill last restored it, for verify's report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import view_backups
from ._backup_status import age
from .closing import columns


def text(fleet: Mapping[str, Any], looks: Mapping[str, Mapping[str, Any] | None]) -> str:
    """A line for each service with data of the hosts that were looked at, then what is wrong; empty without any."""
    rows, wrong = [], []
    for host, look in looks.items():
        services = view_backups.plan(fleet, host)["services"]
        if not look or not services:
            continue
        status = look["backups"] or {}
        known = status.get("services") or {}
        if not known:
            wrong.append(f" {host}: nothing was ever saved\n → ansible-playbook … playbooks/backup.yml")
            continue
        for name in (service["name"] for service in services):
            found = known.get(name) or {}
            rows.append((name, host, _saved(found), f"restored by a drill {age(found.get('drilled'))}"))
            for word, verb in (("run", "backup"), ("drill", "drill")):
                last = found.get(word)
                if last and not last["good"]:
                    wrong.append(f" {name} on {host}: the last {verb} failed: {last['message']}")
        for repository in (status.get("repositories") or {}).values():
            if repository["checked"] and not repository["checked"]["good"]:
                wrong.append(f" {host}: {repository['checked']['message']}")
    table = columns(rows)
    return "\n".join([*([table] if table else []), *wrong]) + "\n" if rows or wrong else ""


def _saved(found: Mapping[str, Any]) -> str:
    """The oldest of the last good ones says what is safe everywhere."""
    saved = found.get("saved") or {}
    if not saved:
        return "never saved"
    place, last = min(saved.items(), key=lambda item: float(item[1]["time"]))
    return f"saved {age(last['time'])} to {place}"
