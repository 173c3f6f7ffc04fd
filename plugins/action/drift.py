# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say where hosts differ from the catalogue, after the stacks were compared with it. Answers on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import drift
from ..plugin_utils import platform_run, scope
from ..plugin_utils.look import FACT


class ActionModule(ActionBase):
    """hearth.llm.drift"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        compared = list(platform_run.kept_all("compared"))
        looks = {host: task_vars["hostvars"][host].get(FACT) for host in scope.hosts(task_vars)}
        seen = {host: look for host, look in looks.items() if look}
        rows = drift.drift(platform_run.fleet(task_vars), compared, seen, scope.selects(task_vars))
        Display().display(drift.text(rows, len({(row["host"], row["name"]) for row in compared})))
        message = f"{len(rows)} stacks differ; {drift.remedy(rows)}" if rows else "nothing differs"
        return {
            **result,
            "msg": message,
            "ansible_facts": {"hearth_drift": rows, "hearth_drift_message": message},
        }
