# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter of the backups' view: documented in backup_plan.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.hearth.llm.plugins.module_utils import view_backups


class FilterModule:
    """backup_plan."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_plan": view_backups.plan}
