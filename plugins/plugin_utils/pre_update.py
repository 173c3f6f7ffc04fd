# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A backup of a service before an update that changes its data for good, on hosts where backups are set up.

It goes where all backups of the host go, and is counted apart from them. The engine's own copy, which a failed update
takes back, is made all the same: it is of the moment when the service had stopped, and lies on the host itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from .backups import work

TAG = "pre-update"


def is_due(service: Mapping[str, Any], updates: list[str], look: Mapping[str, Any]) -> bool:
    """Whether it gets another version that changes its data for good, and was ever saved by this host's backups."""
    known = (look.get("backups") or {}).get("services") or {}
    saved = (known.get(service["name"]) or {}).get("saved")
    return bool(updates and not service["update"]["reversible"] and saved)


def save(action: ActionBase, service: Mapping[str, Any], task_vars: dict[str, Any]) -> None:
    """Save the service now. Where that fails it is said, and the update goes on: its data are copied on the host."""
    display, host, name = Display(), service["host"], service["name"]
    display.display(f"{host}: {name}: is saved before its update, as {TAG}")
    options = {"arguments": ["run", name, "--tag", TAG], "state_dir": service["state_dir"]}
    try:
        done = work(action, options, task_vars)
        problem = done["code"] and (done["problems"] or f"hearth-backup ended with {done['code']}")
    except AnsibleActionFail as error:
        problem = str(error)
    if problem:
        display.warning(
            f"{host}: {name} was not saved before its update; its data are copied on the host only: {problem}"
        )
