# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter of the backups' view: documented in backup_plan.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hearth.llm.plugins.module_utils import view_backups
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import role_folder


def backup_plan(fleet: Mapping[str, Any], host: str) -> dict[str, Any]:
    """view_backups.plan, with the text of each service's program for the drill in place of its file's name."""
    found = view_backups.plan(fleet, host)
    for drill in (service["drill"] for service in found["services"] if service["drill"]):
        file = role_folder(drill.pop("role")) / "files" / drill["program"]
        drill["program"] = file.read_text(encoding="utf-8")
    return found


class FilterModule:
    """backup_plan."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_plan": backup_plan}
