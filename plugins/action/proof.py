# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove what a run did: every covered stack is healthy, and a model answers where one is in reach."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import catalogue, proof
from ..plugin_utils import platform_run, scope
from ..plugin_utils.look import FACT, take_stacks
from ..plugin_utils.on_host import reason
from ..plugin_utils.secret_values import values

_PAUSE = 3  # seconds between two looks while something starts


class ActionModule(ActionBase):
    """hearth.llm.proof"""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec={"question": {"type": "str"}})
        host = task_vars["inventory_hostname"]
        fleet = platform_run.fleet(task_vars)
        selected = scope.selects(task_vars)
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": "nothing was deployed, so there is nothing to prove"}
        services = [service for service in catalogue.instances(fleet, host) if selected(service)]
        health = self._settled_health(task_vars, services)
        answers = [
            self._ask(question, arguments["question"], task_vars)
            for question in proof.questions(fleet, scope.hosts(task_vars), selected, _up(task_vars))
            if question.host == host
        ]
        platform_run.keep(f"proofs/{host}", {"health": health, "answers": answers})
        ill = {name: word for name, word in health.items() if word != "healthy"}
        if ill:
            words = ", ".join(f"{name} is {word}" for name, word in ill.items())
            remedy = f"look at it with: docker compose -p {next(iter(ill))} logs --tail 50"
            return {**result, "failed": True, "msg": f"On {host} {words}.\n{remedy}"}
        return {**result, "health": health, "answers": answers}

    def _settled_health(self, task_vars: dict[str, Any], services: list[dict[str, Any]]) -> dict[str, str]:
        """Stack → health, once none is starting any more (after a reboot, say) or its deadline has passed."""
        host = task_vars["inventory_hostname"]
        look = self._current_look(task_vars, host)
        started = time.monotonic()
        while True:
            health = {service["name"]: proof.health(look, service["name"]) for service in services}
            waited = time.monotonic() - started
            waiting = [
                s["name"] for s in services if health[s["name"]] == "starting" and waited < s["deadline"]
            ]
            if not waiting:
                return health
            Display().display(f" {host}: waits for {', '.join(waiting)}: starting, {waited:.0f} s")
            time.sleep(_PAUSE)
            look = take_stacks(self, task_vars)

    def _current_look(self, task_vars: dict[str, Any], host: str) -> dict[str, Any]:
        """The look of this run, taken again if anything was changed since."""
        done = [row for row in platform_run.kept_all("results") if row["host"] == host]
        if FACT in task_vars and not any(row["changed"] for row in done):
            return task_vars[FACT]
        return take_stacks(self, task_vars)

    def _ask(self, question: proof.Question, words: str | None, task_vars: dict[str, Any]) -> dict[str, Any]:
        arguments = {
            "url": question.url,
            "address": question.address,
            "model": question.model,
            "key": values(self, task_vars, [question.key]).current[question.key] if question.key else None,
            **({"question": words, "max_tokens": 512} if words else {}),
            "ca_file": _ca_file(platform_run.fleet(task_vars), question.host),
        }
        found = self._execute_module("hearth.llm.chat_completion", module_args=arguments, task_vars=task_vars)
        if found.get("failed"):
            remedy = f"playbooks/verify.yml asks again; logs: docker logs {question.service}"
            raise AnsibleActionFail(f"No model answered: {reason(found)}\n{remedy}", result=found)
        line = proof.sentence(question.model, question.about, question.url, found["seconds"])
        return {
            "line": line,
            **{key: found[key] for key in ("answer", "model", "backend", "request_id", "seconds")},
        }


def _ca_file(fleet: Mapping[str, Any], host: str) -> str | None:
    """Where the host's own front door keeps its private CA's certificate, if it has one."""
    return next(
        (service["ca_file"] for service in catalogue.instances(fleet, host) if service["ca_file"]), None
    )


def _up(task_vars: Mapping[str, Any]) -> Any:
    """A function that says whether a service runs well, by this run's result or this run's look."""
    done = {(row["host"], row["name"]): row for row in platform_run.kept_all("results")}

    def is_up(service: Mapping[str, Any]) -> bool:
        row = done.get((service["host"], service["name"]))
        if row is not None:
            return not row["failed"]
        look = task_vars["hostvars"][service["host"]].get(FACT)
        return bool(look) and proof.health(look, service["name"]) in ("healthy", "starting")

    return is_up
