#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.stack"""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack
short_description: Change one stack of a host as a transaction
version_added: 0.1.0
description:
  - Hands a change to a transaction on the host, which goes on without the connection, and follows it.
  - Nothing that runs is touched before the new files were checked and their images are there. A change that does not
    get healthy within its deadline is undone.
  - In a role, write only O(name). The action plugin of the same name renders the role's templates, makes the O(plan) of
    them, and calls this module where something differs; the other options are between the two.
author: The Hearth authors (@hearth)
options:
  name:
    description: The service.
    type: str
    required: true
  state:
    description:
      - V(present) submits O(plan) and follows it for O(wait) seconds.
      - V(follow) follows the transaction O(id).
      - V(absent) stops and removes the containers and the stack's files, and keeps its data and volumes. It needs no
        role. Of a stack that the inventory does not list for the host, only what was committed there is removed.
    type: str
    choices: [present, absent, follow]
    default: present
  plan:
    description:
      - What the stack should be, as JSON. Required with V(present); described in
        C(plugins/module_utils/transaction.py).
      - With V(absent), C(project) and C(stack_dir) are taken from it where no committed state tells them.
      - It is text because it holds secrets. Of a dictionary that must not be logged Ansible would hide every value that
        occurs in it, names and modes too, from this module's answer.
    type: str
  state_dir:
    description: Where Hearth keeps its journal and what it last committed.
    type: path
    default: /var/lib/hearth
  id:
    description: The transaction to follow. With V(present), the name for the new one.
    type: str
  offset:
    description: Where to go on reading events, as an earlier call returned it.
    type: int
    default: 0
  wait:
    description: Seconds to wait for the end before returning with what is known.
    type: float
    default: 5
attributes:
  check_mode:
    description: Says which files would change, or whether a stack would be removed.
    support: full
  diff_mode:
    description: Files hold secrets; the action plugin shows what may be shown.
    support: none
"""

EXAMPLES = r"""
- name: Bring up the handbook
  hearth.llm.stack:
    name: handbook

- name: Take the handbook off this host and keep its data
  hearth.llm.stack:
    name: handbook
    state: absent
"""

RETURN = r"""
id:
  description: The transaction.
  returned: with V(present) and V(follow)
  type: str
  sample: 20261121T120000-1a2b3c
finished:
  description: Whether it has ended.
  returned: with V(present) and V(follow)
  type: bool
events:
  description: What happened since O(offset). C(t) in seconds since the epoch.
  returned: with V(present) and V(follow)
  type: list
  elements: dict
  sample: [{t: 1795262400.5, step: healthy, text: "waits for handbook: starting, 12 s"}]
offset:
  description: Where the next call goes on reading.
  returned: with V(present) and V(follow)
  type: int
result:
  description:
    - How it ended, null before.
    - C(outcome) is committed, undone (the previous version is back and healthy) or failed; C(stands) says what is there
      now, new, previous, nothing or unknown.
  returned: with V(present) and V(follow)
  type: dict
  sample:
    id: 20261121T120000-1a2b3c
    outcome: undone
    stands: previous
    changed_files: [compose.yaml]
    recreated: []
    seconds: {staged: 0.01, checked: 0.1, pulled: 0.02, kept: 0.1, placed: 0.02, up: 1.2, healthy: 20.0}
    finished_at: "2026-11-21T12:00:00+00:00"
    error: {step: healthy, message: "handbook exited with status 1", container: handbook, exit_code: 1,
            health_output: null, log_lines: ["no such file"], undo: null}
changed_files:
  description: With check mode, the files that would change.
  returned: with V(present) in check mode
  type: list
  elements: str
removed:
  description: The containers that were, or would be, removed.
  returned: with V(absent)
  type: list
  elements: str
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import engine_program, transaction
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker
from ansible_collections.hearth.llm.plugins.module_utils._durable import look_at_files
from ansible_collections.hearth.llm.plugins.module_utils._state import read_state, state_path


def present(parameters: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Submit and follow; in check mode only compare."""
    if check_mode:
        changed = changed_files(parameters["plan"])
        return {"changed": bool(changed), "changed_files": changed}
    identity = engine_program.submit(
        parameters["state_dir"], parameters["name"], parameters["plan"], parameters["id"]
    )
    return follow({**parameters, "id": identity})


def follow(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What is new. Whether it changed anything is known at its end; until then it counts as a change."""
    found = engine_program.follow(
        parameters["state_dir"],
        parameters["name"],
        parameters["id"],
        parameters["offset"],
        parameters["wait"],
    )
    result = found["result"]
    changed = bool(result["changed_files"] or result["recreated"]) if result else True
    return {"changed": changed, **found}


def absent(parameters: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Take the stack off this host, where anything of it is there."""
    state_dir, name = parameters["state_dir"], parameters["name"]
    known = {**parameters["plan"], **(read_state(state_dir, name) or {})}
    if "stack_dir" not in known:
        return {"changed": False, "removed": []}
    project = known.get("project", name)
    containers = [item["name"] for item in Docker().containers(project)]
    there = bool(
        containers or look_at_files(known["stack_dir"]) or os.path.exists(state_path(state_dir, name))
    )
    if there and not check_mode:
        transaction.remove(state_dir, name, project, known["stack_dir"])
    return {"changed": there, "removed": containers}


def read_plan(text: str | None) -> dict[str, Any]:
    """The plan's dictionary; empty without one. Raises ValueError without quoting the text, which holds secrets."""
    try:
        plan = json.loads(text or "{}")
    except ValueError:
        plan = None
    if not isinstance(plan, dict):
        raise ValueError("plan is not the JSON text of a dictionary")
    return plan


def changed_files(plan: Mapping[str, Any]) -> list[str]:
    """The plan's files that differ from what is there, and those there that the plan has not."""
    found = look_at_files(plan["stack_dir"])
    wanted = {
        file["path"]: (hashlib.sha256(base64.b64decode(file["content"])).hexdigest(), int(file["mode"], 8))
        for file in plan["files"]
    }
    there = {path: (item.sha256, int(item.mode or "0", 8)) for path, item in found.items()}
    return sorted(path for path in {*wanted, *there} if wanted.get(path) != there.get(path))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent", "follow"], "default": "present"},
            "plan": {"type": "str", "no_log": True},
            "state_dir": {"type": "path", "default": "/var/lib/hearth"},
            "id": {"type": "str"},
            "offset": {"type": "int", "default": 0},
            "wait": {"type": "float", "default": 5},
        },
        required_if=[("state", "present", ["plan"]), ("state", "follow", ["id"])],
        supports_check_mode=True,
    )
    try:
        parameters = {**module.params, "plan": read_plan(module.params["plan"])}
        if parameters["state"] == "follow":
            module.exit_json(**follow(parameters))
        act = present if parameters["state"] == "present" else absent
        module.exit_json(**act(parameters, module.check_mode))
    except transaction.PROBLEMS as problem:
        module.fail_json(msg=f"{module.params['name']}: {problem}")


if __name__ == "__main__":
    main()
