# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A backup of a service before an update that changes its data for good, on hosts where backups are set up.

It goes where all backups of the host go, and is counted apart from them. The engine's own copy, which a failed update
takes back, is made all the same: it is of the moment when the service had stopped, and lies on the host itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.backup_program import PATH

TAG = "pre-update"


def is_due(service: Mapping[str, Any], updates: list[str], look: Mapping[str, Any]) -> bool:
    """Whether it gets another version that changes its data for good, and was ever saved by this host's backups."""
    known = (look.get("backups") or {}).get("services") or {}
    saved = (known.get(service["name"]) or {}).get("saved")
    return bool(updates and not service["update"]["reversible"] and saved)


def save(action: ActionBase, service: Mapping[str, Any]) -> None:
    """Save the service now. Where that fails it is said, and the update goes on: its data are copied on the host."""
    display, name = Display(), service["name"]
    display.display(f"{service['host']}: {name}: is saved before its update, as {TAG}")
    command = shlex.join(["nice", "-n", "19", PATH, "--wait", "run", name, "--tag", TAG])
    done = action._low_level_execute_command(command)
    if done["rc"]:
        said = (done["stderr"] or done["stdout"]).strip()
        display.warning(
            f"{service['host']}: {name} was not saved before its update; its data are copied on the host only: {said}"
        )
