# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at a host before anything is touched, and say everything that stands in the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils import cards, catalogue, container_host, off, packet_filter, preflight, versions
from ..module_utils.fingerprint import problems as fingerprint_problems
from ..module_utils.fingerprint import stamps
from ..module_utils.problems import Problem, report
from ..module_utils.secrets import FINGERPRINT_KEY
from ..plugin_utils import due, fitting, platform_run, scope
from ..plugin_utils.look import FACT, RECOVERY_UNIT, program_of, take_look
from ..plugin_utils.on_host import program_digest
from ..plugin_utils.refusal import refusal
from ..plugin_utils.secret_values import resolved, values

# Variables of roles/host, whose defaults are invisible here.
_HOST_OPTIONS = {"manage_engine": True, "manage_gpu": True, "recover_at_boot": True, "daemon_options": {}}


class ActionModule(ActionBase):
    """hearth.llm.preflight"""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = task_vars["inventory_hostname"]
        fleet = platform_run.fleet(task_vars)
        services = catalogue.instances(fleet, host)
        look = take_look(self, task_vars)
        left = off.off(fleet, host, look)
        options = self._host_options(task_vars)
        wanted = packet_filter.table(fleet, host, look)
        problems = preflight.problems(host, services, look, options["manage_engine"], left)
        if services:
            problems += container_host.problems(host, look["container"])
            problems += packet_filter.problems(host, wanted, look)
        problems += self._secrets(host, services, look, task_vars)
        selected = scope.selects(task_vars)
        if not boolean(task_vars.get("hearth_only_looks", False)):
            for service in filter(selected, services):
                problems += versions.problems(service, look["stacks"].get(service["name"]))
            found, result["warnings"] = self._cards(services, look, options["manage_gpu"], task_vars)
            problems += found
        if problems:
            return {**result, **refusal(report(problems, f"on {host}"))}
        covered = [name for name in left if selected({"name": name, "host": host})]
        networks, computes = fleet["hosts"][host]["networks"], any(map(cards.wanted, services))
        lacks = preflight.lacks(look, RECOVERY_UNIT, options, networks, computes)
        if packet_filter.differences(wanted, look["filter"]):
            lacks.append("filter")
        if services and look["digests"].get(program_of(fleet, host)) != program_digest():
            lacks.append("program")
        facts = {FACT: look, "hearth_off": covered, "hearth_lacks": lacks, "hearth_filter": wanted or ""}
        if "hearth_deploys" in task_vars:
            facts["hearth_due"] = due.due(self, task_vars, task_vars["hearth_deploys"], look)
        return {**result, "ansible_facts": facts, "msg": "ready"}

    def _cards(
        self,
        services: list[dict[str, Any]],
        look: Mapping[str, Any],
        managed: bool,
        task_vars: dict[str, Any],
    ) -> tuple[list[Problem], list[str]]:
        """Cards that cannot be had, else models that do not fit them, and what could not be known of others.

        Not for those who only look (verify.yml, gpu.yml): gpu.yml goes further and shows all of it.
        """
        host = task_vars["inventory_hostname"]
        absent = cards.problems(host, services, look["gpus"])
        if not absent and not managed:
            absent = cards.unreachable(host, services, look)
        found, told = absent, []
        for service in filter(scope.selects(task_vars), services if not absent else ()):
            misfits, unknown = fitting.misfits(self, task_vars, service, look)
            found, told = found + misfits, told + unknown
        return found, told

    def _secrets(
        self,
        host: str,
        services: list[dict[str, Any]],
        look: Mapping[str, Any],
        task_vars: dict[str, Any],
    ) -> list[Problem]:
        """Whether the vault has what this host runs with, or what it may be given instead."""
        fleet = platform_run.fleet(task_vars)
        rotates = boolean(task_vars.get("hearth_rotates", False))
        found = []
        for service in services:
            recorded = (look["stacks"][service["name"]].get("state") or {}).get("secrets") or {}
            if recorded:
                now = values(self, task_vars, recorded.keys() & set(service["secrets"]))
                key = resolved(self, task_vars, f"vault_{FINGERPRINT_KEY.name}")
                before = stamps(key, now.previous, {})
                found += fingerprint_problems(
                    host, service["title"], recorded, now.stamps, before, fleet["secrets"], rotates
                )
        return list(dict.fromkeys(found))

    def _host_options(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """The variables of roles/host that say which of its parts are wanted."""
        found = {
            name: self._templar.template(task_vars.get(f"host_{name}", default))
            for name, default in _HOST_OPTIONS.items()
        }
        return {name: item if name == "daemon_options" else boolean(item) for name, item in found.items()}
