# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts, cards and models as one table, from what playbooks/gpu.yml has registered on each host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import gpu_table


class ActionModule(ActionBase):
    """hearth.llm.gpu_report"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        hosts = [collected(host, task_vars["hostvars"][host]) for host in task_vars["ansible_play_hosts"]]
        hosts = [host for host in hosts if host["services"]]
        if not hosts:
            Display().display("No host runs a service that computes on cards.")
            return {**result, "hosts": []}
        Display().display(gpu_table.text(hosts))
        wrong = gpu_table.problems(hosts, ["wrong"])
        if wrong:
            result.update(failed=True, told=True, msg=f"{len(wrong)} of the cards' checks ask for attention")
        return {**result, "hosts": hosts}


def collected(host: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """One host's part of the table: {host, cards, services: [{name, models, checks, error}]}."""
    speeds = _by_service(found.get("hearth_speed"))
    checks = _by_service(found.get("hearth_checks"))
    return {
        "host": host,
        "cards": (found.get("hearth_cards") or {}).get("cards") or [],
        "services": [
            {
                "name": name,
                "models": speed.get("models") or [],
                "error": speed.get("error"),
                "checks": checks.get(name, {}).get("checks") or [],
            }
            for name, speed in speeds.items()
        ],
    }


def _by_service(registered: Any) -> dict[str, Any]:
    results = (registered or {}).get("results") or []
    return {item["item"]["name"]: item for item in results if not item.get("skipped")}
