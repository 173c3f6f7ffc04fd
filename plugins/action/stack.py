# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stack engine's front on the controller: render, compare with the look, submit, follow.

What already is as it should be costs no call to the host. A change is handed to the host's transaction
(modules/stack.py) and followed until it ends.
"""

from __future__ import annotations

import base64
import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import catalogue, engine_program, off
from ..module_utils._catalogue_backups import saved_data, saves
from ..module_utils._waiting import folder as waiting_folder
from ..module_utils.digest import digest
from ..module_utils.versions import with_versions
from ..plugin_utils import platform_run, pre_update
from ..plugin_utils.comparison import Comparison, compare
from ..plugin_utils.follow import follow
from ..plugin_utils.look import look_at, take_look
from ..plugin_utils.on_host import ask_engine, run_module
from ..plugin_utils.refusal import refusal
from ..plugin_utils.render import File

_PLAN_FORMAT = 1
_OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


class ActionModule(ActionBase):
    """hearth.llm.stack"""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=_OPTIONS)
        host, name = task_vars["inventory_hostname"], arguments["name"]
        if arguments["state"] == "absent":
            return {**result, **self._stop(host, name, task_vars)}
        service = self._service(task_vars, host, name)
        # On the way through several versions the run's first look is of before the first of them.
        on_the_way = "hearth_step" in task_vars
        look = take_look(self, task_vars) if on_the_way else look_at(self, task_vars, service)
        found = compare(self, task_vars, service, self._templates(), look)
        outcome = {
            **result,
            "changed": bool(found.reasons),
            "reasons": found.reasons,
            "service": name,
            "diff": [],
        }
        if found.reasons and self._task.diff:
            outcome["diff"] = diffs(found.files, look["stacks"].get(name, {}).get("files", {}))
        if found.reasons and not self._task.check_mode:
            if pre_update.is_due(service, found.updates, look):
                pre_update.save(self, service, task_vars)
            outcome.update(self._change(service, found, task_vars))
        found.remember(service, outcome, compares=bool(task_vars.get("hearth_compares", False)))
        return outcome

    def _service(self, task_vars: Mapping[str, Any], host: str, name: str) -> dict[str, Any]:
        found = catalogue.instances(platform_run.fleet(task_vars), host, name)
        if not found:
            raise AnsibleActionFail(
                f"{name} is not among the stacks of {host}; add it there, or leave the role out"
            )
        chosen = task_vars.get("hearth_step", {}).get("versions")
        if chosen:
            chosen = {str(name): str(version) for name, version in chosen.items()}
            return with_versions(found[0], chosen)
        return found[0]

    def _templates(self) -> Path:
        role = self._task._role
        if role is None:
            raise AnsibleActionFail(
                "hearth.llm.stack belongs into a role: its templates are found beside the task"
            )
        return Path(role._role_path) / "templates"

    def _change(
        self, service: dict[str, Any], found: Comparison, task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        more = {"secrets": found.stamps, "serials": found.numbers}
        plan = {**change_plan(service, found.files), **more}
        name, state_dir = service["name"], service["state_dir"]
        # Named here: where the connection breaks before the answer came, asking again starts nothing twice.
        identity = engine_program.new_id()
        which = {"state_dir": state_dir, "service": name, "identity": identity}
        submitted = {"state": "present", "plan": json.dumps(plan)}

        def poll(offset: int) -> dict[str, Any]:
            if offset:
                question, state, part = {"do": "follow"}, {"state": "follow"}, {"offset": offset, "wait": 5}
            else:
                question, state, part = {"do": "submit", "plan": plan}, submitted, {"offset": 0, "wait": 3}
            return ask_engine(self, state_dir, {**question, **which, **part}) or self._module(
                {**state, "name": name, "state_dir": state_dir, "id": identity, **part}, task_vars
            )

        ended = follow(
            Display(), poll, service["host"], service["name"], retry_on=(AnsibleConnectionFailure,)
        )
        if ended["outcome"] == "committed":
            copy = (ended.get("data") or {}).get("copy")
            kept = f"; the data from before the update are kept in {copy}" if copy else ""
            return {**ended, "msg": f"{service['title']} is healthy{kept}"}
        told = refusal(summary(service, ended, found.updates))
        return {**told, "outcome": ended["outcome"], "stands": ended["stands"], "seconds": ended["seconds"]}

    def _stop(self, host: str, name: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Off is not gone: containers and files go, data stays."""
        fleet = platform_run.fleet(task_vars)
        settings = fleet["hosts"][host]
        directories = settings["directories"]
        listed = name in settings["services"]
        # Of a stack that is not in the inventory the host removes what it committed, and nothing else of that name.
        plan = {"project": name, "stack_dir": f"{directories['stacks_dir']}/{name}"} if listed else {}
        common = {"name": name, "state_dir": directories["state_dir"]}
        found = self._module({**common, "state": "absent", "plan": json.dumps(plan)}, task_vars)
        if found["changed"] and not listed:
            spec = platform_run.load_specs(platform_run.own_folders(task_vars)).get(name)
            where = {**directories, "data_in": settings["data_in"]}
            row = {
                "host": host,
                "name": name,
                "data": off.places(spec, where) if spec else None,
                "known_to": off.knew(fleet, host, name, spec),
            }
            platform_run.keep(f"stopped/{host}-{name}", row)
        return found

    def _module(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return run_module(self, "stack", arguments, task_vars)


def change_plan(service: Mapping[str, Any], files: list[File]) -> dict[str, Any]:
    """What the host's transaction is asked to do; its format is described in docs/architecture.md."""
    return {
        "format": _PLAN_FORMAT,
        "name": service["name"],
        "title": service["title"],
        "project": service["name"],
        "stack_dir": service["stack_dir"],
        "state_dir": service["state_dir"],
        "files": [
            {
                "path": file.path,
                "content": base64.b64encode(file.content).decode(),
                "mode": file.mode,
                "owner": file.owner,
            }
            for file in files
        ],
        "directories": service["directories"],
        "images": service["images"],
        "networks": ["frontend"],
        "check": service["check"] or None,
        "reload": service["reload"] or None,
        "update": update_plan(service),
        "replicas": {"container": service["replicated"], "drain": service["drain"]}
        if service["replicated"]
        else None,
        "waiting": waiting_plan(service),
        "deadline": service["deadline"],
        "exports": service["exports"],
        "digest": digest([(file.path, file.sha256, file.mode, file.owner) for file in files]),
    }


def update_plan(service: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the transaction has to know of data that a new version changes for good; None where it does not."""
    update = service["update"]
    if update["reversible"]:
        return None
    by_dump = {
        container
        for container, variable in update["variables"].items()
        if update["versions"].get(variable, {}).get("path") == "dump_restore"
    }
    data = [
        {
            "name": name,
            **{key: item[key] for key in ("place", "container", "dump", "restore", "changed_by")},
            "by_dump": bool(item["dump"]) and item["container"] in by_dump,
        }
        for name, item in service["data"].items()
        if not item["replaceable"]
    ]
    return {"copies": update["copies"], "data": data}


def waiting_plan(service: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where data from a backup wait for the service's first start; None where it has none that are saved."""
    if not saves(service):
        return None
    data = [
        {
            "name": name,
            **{key: item[key] for key in ("place", "container", "restore")},
            "regain": platform_run.role_program(service["role"], item["regain"]) if item["regain"] else None,
        }
        for name, item in saved_data(service).items()
        if item["save"] == "dump" or item["regain"]
    ]
    return {"folder": waiting_folder(os.path.dirname(service["data_dir"]), service["name"]), "data": data}


def summary(service: Mapping[str, Any], ended: Mapping[str, Any], updates: list[str]) -> str:
    """How a change failed: the cause, the container's own words, and what stands now."""
    error = ended["error"]
    what = f", {'; '.join(updates)}" if updates else ""
    lines = [f"{service['title']} on {service['host']}{what}: {error['message']}"]
    if error["health_output"]:
        lines.append(f"Its health check said: {error['health_output'].strip()}")
    if error["log_lines"]:
        lines.append(f"{error['container'] or service['name']}'s last lines:")
        lines += [f"  {line}" for line in error["log_lines"]]
    return "\n".join([*lines, _stands(ended)])


def _stands(ended: Mapping[str, Any]) -> str:
    if ended["outcome"] == "failed" and ended["stands"] == "previous":
        return f"Nothing was touched: it failed at the step '{ended['error']['step']}', and what ran before runs on."
    data = ended.get("data") or {}
    restored = ", its data restored from before the update" if data.get("restored") else ""
    copy = f"; the data from before the update are in {data['copy']}" if data.get("copy") else ""
    return {
        "new": f"The new version is left as it is{copy}.",
        "previous": f"ROLLED BACK: the previous version runs again and is healthy{restored}.",
        "nothing": f"Nothing of it is left running{restored}; its logs are kept with the transaction on the host.",
    }.get(ended["stands"], f"What stands now could not be told; look at the host{copy}.")


def diffs(files: list[File], found: Mapping[str, Mapping[str, str]]) -> list[dict[str, str]]:
    """What --diff shows: each file that changes; secret files only by name."""
    shown = []
    for file in files:
        if found.get(file.path, {}).get("sha256") == file.sha256:
            continue
        before = found.get(file.path, {}).get("content", "")
        after = file.content.decode(errors="replace")
        if file.secret:
            before, after = "", f"(secret content, {'changed' if file.path in found else 'new'})\n"
        text = "".join(
            difflib.unified_diff(before.splitlines(True), after.splitlines(True), file.path, file.path)
        )
        shown.append({"prepared": text})
    return shown + [
        {"prepared": f"--- {path}\n(removed)\n"} for path in found if path not in {f.path for f in files}
    ]
