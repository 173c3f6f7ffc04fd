#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.old_stacks"""

from __future__ import annotations

DOCUMENTATION = r"""
module: old_stacks
short_description: Leave the old structure of one compose file for each kind of host
version_added: 0.1.0
description:
  - Finds C(/opt/stacks/ai) and C(/opt/stacks/ai-compute), puts them aside so that the new stacks can take their names,
    ports and data, and lets them go or brings them back.
  - In a playbook, write only O(state), O(fresh_start) and O(drop). The action plugin of the same name makes the plan
    from the catalogue; the other options are between the two. See C(playbooks/migrate.yml).
author: The Hearth authors (@hearth)
options:
  state:
    description:
      - V(planned) looks and reports what would be done, and every reason against it.
      - V(aside) stops and renames the old containers, and copies or moves their data.
      - V(back) undoes that and starts them again.
      - V(gone) removes the old containers, networks and stack directories. Data stays.
    type: str
    choices: [planned, aside, back, gone]
    required: true
  fresh_start:
    description: Services that start without their old data, which stays where it is or beside it.
    type: list
    elements: str
    default: []
  drop:
    description: Old containers without a counterpart in the new structure, that may go.
    type: list
    elements: str
    default: []
  folders:
    description: The old stacks' directories.
    type: list
    elements: path
    default: []
  targets:
    description: Where the new structure keeps data.
    type: list
    elements: path
    default: []
  steps:
    description: What V(aside) carries out, as JSON.
    type: str
    default: "[]"
  state_dir:
    description: Where the steps are written down.
    type: path
    default: /var/lib/hearth
attributes:
  check_mode:
    description: V(planned) changes nothing anyway; the other states do nothing.
    support: full
  diff_mode:
    description: Has nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Say what leaving the old structure would do
  hearth.llm.old_stacks:
    state: planned

- name: The same, without the vectors of a Qdrant that is too old
  hearth.llm.old_stacks:
    state: planned
    fresh_start: [qdrant]
"""

RETURN = r"""
found:
  description: What there is of the old structure.
  returned: with O(state=planned)
  type: dict
removed:
  description: Containers and directories that were removed.
  returned: with O(state=gone)
  type: list
  elements: str
  sample: [open-webui-before-hearth, /opt/stacks/ai]
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import old_stacks
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker, EngineError


def act(options: dict[str, Any], check: bool) -> dict[str, Any]:
    """Do what O(state) says. Raises EngineError and OSError."""
    docker, state, state_dir = Docker(), options["state"], options["state_dir"]
    if state == "planned":
        found = old_stacks.look(docker, options["folders"], options["targets"], state_dir)
        return {"changed": False, "found": found}
    if check:
        return {"changed": False}
    if state == "aside":
        steps = json.loads(options["steps"])
        old_stacks.put_aside(docker, steps, state_dir)
        return {"changed": bool(steps)}
    if state == "back":
        return {"changed": old_stacks.bring_back(docker, state_dir)}
    removed = old_stacks.let_go(docker, options["folders"], state_dir)
    return {"changed": bool(removed), "removed": removed}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["planned", "aside", "back", "gone"], "required": True},
            "fresh_start": {"type": "list", "elements": "str", "default": []},
            "drop": {"type": "list", "elements": "str", "default": []},
            "folders": {"type": "list", "elements": "path", "default": []},
            "targets": {"type": "list", "elements": "path", "default": []},
            "steps": {"type": "str", "default": "[]"},
            "state_dir": {"type": "path", "default": "/var/lib/hearth"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**act(module.params, module.check_mode))
    except (EngineError, OSError) as problem:
        module.fail_json(msg=f"the old structure: {problem}")


if __name__ == "__main__":
    main()
