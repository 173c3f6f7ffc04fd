# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of playbooks/rotate-secrets.yml between its deploys. What they are, and why: module_utils/rotation.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import proof, rotation, secret_ages
from ..module_utils import secrets as rules
from ..module_utils.problems import Problem, report
from ..module_utils.secrets import generate, previous
from ..module_utils.service_spec import Secret
from ..plugin_utils import platform_run
from ..plugin_utils.look import FACT, take_look
from ..plugin_utils.on_host import run_module
from ..plugin_utils.refusal import refusal
from ..plugin_utils.secret_steps import apply_steps, prove_steps
from ..plugin_utils.secret_values import ROTATION, open_store
from ..plugin_utils.vault_store import METADATA, Store

_OPTIONS = {
    "step": {
        "type": "str",
        "required": True,
        "choices": ["plan", "store", "apply", "prove", "close", "refuse", "forget"],
    },
    "secret": {"type": "str"},
    "days": {"type": "int"},
    "keep_old": {"type": "bool", "default": False},
    "undo": {"type": "bool", "default": False},
    "service": {"type": "str"},
    "late": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """hearth.llm.rotation"""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=_OPTIONS)
        if arguments["step"] == "plan":
            return {**result, **self._plan(arguments, task_vars)}
        run = platform_run.kept(ROTATION)
        if not run or not run["names"]:
            return {**result, "skipped": True}
        self._all_hosts_are_here(task_vars)
        if arguments["step"] == "apply":
            return {**result, **self._apply(run, arguments["service"], arguments["late"], task_vars)}
        return {**result, **getattr(self, f"_{arguments['step']}")(run, task_vars)}

    def _all_hosts_are_here(self, task_vars: Mapping[str, Any]) -> None:
        lost = set(task_vars["ansible_play_hosts_all"]) - set(task_vars["ansible_play_hosts"])
        if lost:
            raise AnsibleActionFail(
                f"{', '.join(sorted(lost))} failed, so the rotation stays where it is: old and new values are both in "
                "the vault, and the same command goes on from here"
            )

    # Before anything is touched ----------------------------------------------------------------------------------

    def _plan(self, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        fleet = platform_run.fleet(task_vars)
        store = open_store(self, task_vars)
        metadata = dict(task_vars.get(METADATA) or {})
        under_way = {name for name in fleet["secrets"] if store.place(previous(name))}
        rows = secret_ages.ages(fleet["secrets"], metadata, under_way, date.today())
        tags = set(task_vars.get("ansible_run_tags", ("all",))) - {"all", "tagged", "always"}
        wish = rotation.Wish(
            arguments["secret"], frozenset(tags), arguments["days"], keep_old=arguments["keep_old"]
        )
        names, skipped, problems = rotation.choose(
            fleet["secrets"],
            {row["name"]: row["days"] for row in rows},
            under_way,
            self._unmovable(fleet, store, task_vars),
            wish,
        )
        if arguments["undo"]:
            names = [name for name in names if name in under_way]
        found = rotation.plan(fleet, names, under_way, skipped, wish)
        problems += self._not_ready(fleet, found, task_vars)
        if problems:
            return refusal(report(problems, "in the way of a rotation"))
        Display().display("\n" + rotation.text(fleet, found, wish))
        check = self._task.check_mode
        run = {
            "names": [] if check else found.names,
            "fresh": found.fresh,
            "undo": arguments["undo"],
            "keep_old": wish.keep_old,
            "closing": False,
        }
        platform_run.keep(ROTATION, run)
        rounds = {"first": [], "second": []} if check else {"first": found.first, "second": found.second}
        return {
            "msg": f"{len(found.names)} secrets to rotate",
            "names": found.names,
            "ansible_facts": {
                "hearth_rotation": {word: rotation.stages(fleet, places) for word, places in rounds.items()}
            },
        }

    def _unmovable(
        self, fleet: Mapping[str, Any], store: Store, task_vars: Mapping[str, Any]
    ) -> dict[str, str]:
        """Secrets whose value Hearth cannot replace, because it does not know where it comes from."""
        found = {}
        for name in fleet["secrets"]:
            services = rotation.readers(fleet, name)
            hosts = {service["host"] for service in services}
            given = {task_vars["hostvars"][host].get(f"vault_{name}") for host in hosts}
            if not store.place(f"vault_{name}"):
                found[name] = "is not in group_vars/all of the inventory; replace it where it comes from"
            elif any(value != store.value(f"vault_{name}") for value in given):
                found[name] = "is overridden by another variable of the same name; replace it there"
            elif not services:
                found[name] = "is read by no service"
        return found

    def _not_ready(
        self, fleet: Mapping[str, Any], found: rotation.Plan, task_vars: Mapping[str, Any]
    ) -> list[Problem]:
        """Services that this run has to change and cannot, or that are not well enough to tell whether it worked."""
        covered = set(task_vars["ansible_play_hosts_all"])
        fresh = {
            (service["host"], service["name"])
            for name in found.fresh
            for service in rotation.readers(fleet, name)
        }
        problems = []
        for host, service in found.first:
            if host not in covered:
                expected = f"{service} there reads one of these secrets, and --limit leaves {host} out"
                problems.append(Problem(host, "--limit", None, expected, f"let the run cover {host} too"))
                continue
            if (host, service) not in fresh:
                continue
            word = proof.health(task_vars["hostvars"][host][FACT], service)
            if word != "healthy":
                expected = "a rotation begins when every service that reads one of the secrets is healthy"
                remedy = "mend it first: playbooks/deploy-stacks.yml, playbooks/verify.yml"
                problems.append(Problem(host, service, word, expected, remedy))
        return problems

    # The vault ---------------------------------------------------------------------------------------------------

    def _store(self, run: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """New values beside the old ones; with `undo`, the old ones back in their place."""
        fleet = platform_run.fleet(task_vars)
        store = open_store(self, task_vars)
        metadata = store.metadata()
        today = date.today().isoformat()
        changes: dict[str, str | None] = {}
        for name in run["names"]:
            turned = run["undo"] and name not in run["fresh"]
            if not turned and (name not in run["fresh"] or run["undo"]):
                continue
            if not turned and store.place(previous(name)):
                remedy = "Nothing was written; run it again when that one has ended"
                raise AnsibleActionFail(
                    f"Another rotation of vault_{name} has begun since this one's plan. {remedy}"
                )
            now = store.value(f"vault_{name}")
            new = store.value(previous(name)) if turned else generate(_secret(fleet, name))
            changes.update({f"vault_{name}": new, previous(name): now})
            counted = secret_ages.generation(metadata.get(name)) + 1
            metadata[name] = {"made": today, "generation": counted}
        if changes:
            store.write(changes, metadata)
        return {"changed": bool(changes), "msg": f"{len(changes) // 2} new values stored beside the old ones"}

    def _close(self, run: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """From here on nobody is given an old value any more. What the first round left is looked at anew."""
        if run["keep_old"]:
            return {"msg": "the old values stay valid"}
        platform_run.keep(ROTATION, {**run, "closing": True})
        return {"ansible_facts": {FACT: take_look(self, task_vars)}}

    def _forget(self, run: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        store = open_store(self, task_vars)
        names = run["names"]
        if run["keep_old"]:
            both = ("overlap", "migrate")
            secrets = platform_run.fleet(task_vars)["secrets"]
            names = [name for name in names if secrets[name]["rotate"] not in both]
        changes = {previous(name): None for name in names if store.place(previous(name))}
        if changes:
            store.write(changes, store.metadata())
        Display().display(f" {len(names)} secrets rotated\n")
        return {"changed": bool(changes), "msg": f"{len(changes)} old values forgotten"}

    # The services ------------------------------------------------------------------------------------------------

    def _apply(
        self, run: dict[str, Any], service: str, late: bool, task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """Change what is changed inside a service; late: it has restarted since, so what could not be has to be now."""
        steps = [] if run["closing"] else apply_steps(self, run, task_vars, service)
        found = self._work(steps, task_vars, forgive=not late)
        if found:
            return refusal(
                "\n".join([*found, "Nothing is lost: both values are in the vault; run it again."])
            )
        return {"changed": bool(steps), "msg": f"{len(steps)} secrets changed inside their services"}

    def _prove(self, run: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self._proven(prove_steps(self, run, task_vars, old=False), True, "works", task_vars)

    def _refuse(self, run: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        both = ("overlap", "migrate") if run["keep_old"] else ()
        secrets = platform_run.fleet(task_vars)["secrets"]
        names = [name for name in run["names"] if secrets[name]["rotate"] not in both]
        steps = prove_steps(self, {**run, "names": names}, task_vars, old=True)
        return self._proven(steps, False, "is refused", task_vars)

    def _proven(
        self, steps: list[dict[str, Any]], wanted: bool, word: str, task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        found = self._work(steps, task_vars, wanted)
        if found:
            return refusal("\n".join([*found, "Both values are still in the vault; run it again."]))
        return {"msg": f"{len(steps)} times proven that the {'new' if wanted else 'old'} value {word}"}

    def _work(
        self,
        steps: list[dict[str, Any]],
        task_vars: dict[str, Any],
        wanted: bool | None = None,
        forgive: bool = False,
    ) -> list[str]:
        """Do the steps on this host; returns what went wrong, a line each. forgive: what may be done later."""
        if not steps:
            return []
        host, wrong = task_vars["inventory_hostname"], []
        state_dir = platform_run.fleet(task_vars)["hosts"][host]["directories"]["state_dir"]
        work = {"steps": json.dumps(steps), "state_dir": state_dir}
        answer = run_module(self, "secret_work", work, task_vars)
        for row in answer["results"]:
            if row["error"] and forgive and row["later"]:
                continue
            if row["error"]:
                wrong.append(f"{host}: vault_{row['name']}: {row['error']}")
            elif wanted is not None and row["accepted"] != wanted:
                word = "the new value is refused" if wanted else "the OLD value is still accepted"
                wrong.append(f"{host}: vault_{row['name']}: {word}")
        return wrong


def _secret(fleet: Mapping[str, Any], name: str) -> Secret:
    described = fleet["secrets"][name]
    return rules.Secret(**{key: described[key] for key in ("name", "kind", "prefix", "length")})
