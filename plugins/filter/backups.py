# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter of the backups' view: documented in backup_plan.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hearth.llm.plugins.module_utils import view_backups
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import role_program


def backup_plan(fleet: Mapping[str, Any], host: str) -> dict[str, Any]:
    """view_backups.plan, with the text of each of a role's programs in place of its file's name."""
    found = view_backups.plan(fleet, host)
    for service in found["services"]:
        role = service.pop("role")
        if service["drill"]:
            service["drill"] = {
                **service["drill"],
                "program": role_program(role, service["drill"]["program"]),
            }
        for item in (item for item in service["data"] if item["regain"]):
            item["regain"] = role_program(role, item["regain"])
    return found


class FilterModule:
    """backup_plan."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_plan": backup_plan}
