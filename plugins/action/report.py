# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The closing report of a run: what changed, what is where, what is stale elsewhere, and the proof."""

from __future__ import annotations

from typing import Any

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import catalogue, closing
from ..plugin_utils import platform_run, scope
from ..plugin_utils.look import FACT

OWN_DISPLAY = "hearth.llm.hearth"


class ActionModule(ActionBase):
    """hearth.llm.report"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        fleet = platform_run.fleet(task_vars)
        rows = list(platform_run.kept_all("results"))
        proofs = list(platform_run.kept_all("proofs"))
        health = {
            (host, name): word
            for host in scope.hosts(task_vars)
            for name, word in ((platform_run.kept(f"proofs/{host}") or {}).get("health") or {}).items()
        }
        stale = closing.stale(fleet, rows, scope.selects(task_vars), catalogue.dependents)
        looks = {host: task_vars["hostvars"][host].get(FACT) for host in scope.hosts(task_vars)}
        stopped = list(platform_run.kept_all("stopped"))
        stale += closing.stale_without(stopped, scope.selects(task_vars))
        orphans = closing.orphans(fleet, {host: look for host, look in looks.items() if look}, stopped)
        if "hearth_drift" in task_vars:  # the table of what differs has them
            orphans = []
        lines = [answer["line"] for found in proofs for answer in found["answers"]]
        text = closing.text(fleet, rows, health, stale, orphans, self._task.check_mode, stopped)
        if OWN_DISPLAY != C.DEFAULT_STDOUT_CALLBACK:  # else they come as the very last lines
            text = "\n".join([text, *lines])
        Display().display(text)
        return {**result, "hearth_proof": lines, "stale": stale, "orphans": orphans, "answers": proofs}
