# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the secrets that the inventory's vault lacks, and list them all. Answers on the controller; shows no value."""

from __future__ import annotations

from datetime import date
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import catalogue, secret_ages
from ..module_utils import secrets as rules
from ..module_utils.problems import EVERY_HOST, Problem, report
from ..module_utils.secrets import GIVEN, generate, previous
from ..plugin_utils import platform_run
from ..plugin_utils.refusal import refusal
from ..plugin_utils.secret_values import open_store
from ..plugin_utils.vault_store import METADATA


class ActionModule(ActionBase):
    """hearth.llm.secrets"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(
            argument_spec={"list_only": {"type": "bool", "default": False}}
        )
        platform, hosts = platform_run.resolve(task_vars)
        there = {name: value for host in hosts for name, value in host.variables.items()}
        metadata = dict(task_vars.get(METADATA) or {})
        missing: list[str] = []
        if not arguments["list_only"]:
            unreadable = sorted({name for host in hosts for name in host.broken if name.startswith("vault_")})
            if unreadable:
                remedy = "is the vault password the right one? Nothing was written"
                raise AnsibleActionFail(f"{', '.join(unreadable)} cannot be decrypted: {remedy}")
            problems = wrong(platform, there)
            if problems:
                return {**result, **refusal(report(problems, "in the vault"))}
            lacking = catalogue.missing_secrets(platform, there)
            missing = [secret.name for secret in lacking if secret.kind != GIVEN]
            self._make(missing, platform, metadata, task_vars)
            for secret in lacking:
                if secret.kind == GIVEN:
                    remedy = "somebody else makes it: put it in with ansible-vault edit"
                    Display().warning(f"vault_{secret.name} is still missing; {remedy}")
        rotating = {name for name in platform.secrets if there.get(previous(name))}
        rows = secret_ages.ages(platform.fleet["secrets"], metadata, rotating, date.today())
        Display().display(secret_ages.text(rows))
        return {
            **result,
            "changed": bool(missing),
            "msg": self._said(missing),
            "secrets": [{**row, "made_now": row["name"] in missing} for row in rows],
        }

    def _make(
        self,
        missing: list[str],
        platform: catalogue.Platform,
        metadata: dict[str, Any],
        task_vars: dict[str, Any],
    ) -> None:
        """Write new values for the missing secrets; in check mode only say which."""
        if missing and not self._task.check_mode:
            store = open_store(self, task_vars)
            today = date.today().isoformat()
            metadata.update({name: {"made": today, "generation": 1} for name in missing})
            values = {f"vault_{name}": generate(platform.secrets[name]) for name in missing}
            store.write(values, {**store.metadata(), **{name: metadata[name] for name in missing}})
            Display().display(f" made {', '.join(values)} in {store.target}\n")
        elif not missing:
            Display().display(" every secret is there\n")
        else:
            Display().display(f" would make {', '.join(f'vault_{name}' for name in missing)}\n")

    def _said(self, missing: list[str]) -> str:
        if not missing:
            return "every secret is there"
        return f"{'would make' if self._task.check_mode else 'made'} {len(missing)} secrets"


def wrong(platform: catalogue.Platform, there: dict[str, Any]) -> list[Problem]:
    """What is wrong with secrets before any is made: declared in two ways, weak, or a placeholder."""
    declared = [problem for problem in platform.problems if problem.variable.startswith("vault_")]
    values = [
        problem
        for name, secret in platform.secrets.items()
        if there.get(f"vault_{name}")
        for problem in rules.check(EVERY_HOST, secret, there[f"vault_{name}"])
    ]
    return list(dict.fromkeys([*declared, *values]))
