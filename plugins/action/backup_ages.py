# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say how old the backups are, from what this run's look found on the hosts. Answers on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import backup_ages
from ..plugin_utils import platform_run, scope
from ..plugin_utils.look import FACT


class ActionModule(ActionBase):
    """hearth.llm.backup_ages"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        looks = {host: task_vars["hostvars"][host].get(FACT) for host in scope.hosts(task_vars)}
        text = backup_ages.text(platform_run.fleet(task_vars), looks)
        if text:
            Display().display(text)
        return {**result, "msg": text or "nothing is to be saved"}
