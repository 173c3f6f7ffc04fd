#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.secret_work"""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_work
short_description: Change secrets inside running services, and try whether they are accepted
version_added: 0.1.0
description:
  - The host's side of C(playbooks/rotate-secrets.yml); M(hearth.llm.rotation) calls it.
author: The Hearth authors (@hearth)
options:
  steps:
    description:
      - What to do, as JSON; described in C(plugins/module_utils/secret_work.py). Each step has a C(name) and a C(what),
        C(apply) or C(prove).
      - It is text because it holds secrets. Of a dictionary that must not be logged Ansible would hide every value that
        occurs in it, names too, from this module's answer.
    type: str
    required: true
  state_dir:
    description: Where Hearth keeps its journal. The steps wait for a change of a stack that is under way on the host.
    type: path
    required: true
attributes:
  check_mode:
    description: Nothing is done in check mode.
    support: full
  diff_mode:
    description: Secrets are not shown.
    support: none
"""

EXAMPLES = r"""
- name: Rotate every secret
  ansible.builtin.import_playbook: hearth.llm.rotate_secrets
"""

RETURN = r"""
results:
  description:
    - One for each step, with its C(name), whether the value was C(accepted) (null after C(apply)), and the C(error) of
      a step that failed, with C(later) where it may succeed once the service has restarted.
  returned: success
  type: list
  elements: dict
"""

import json
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils.secret_work import NotNow, WorkError, accepted, apply
from ansible_collections.hearth.llm.plugins.module_utils.transaction import Busy, host_lock

# Seconds; a change that a killed run has handed over ends by itself, one way or the other.
PATIENCE = 900.0


def done(step: Mapping[str, Any]) -> dict[str, Any]:
    """One step's result; a failed one keeps no other from being done."""
    try:
        if step["what"] == "apply":
            apply(step)
            return {"name": step["name"], "accepted": None, "error": None}
        return {"name": step["name"], "accepted": accepted(step), "error": None}
    except WorkError as error:
        later = isinstance(error, NotNow)
        return {"name": step["name"], "accepted": None, "error": str(error), "later": later}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "steps": {"type": "str", "required": True, "no_log": True},
            "state_dir": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    steps = json.loads(module.params["steps"])
    if module.check_mode:
        module.exit_json(changed=False, results=[])
    try:
        with host_lock(module.params["state_dir"], "a rotation", PATIENCE, lambda _text: None):
            results = [done(step) for step in steps]
    except Busy as busy:
        module.fail_json(msg=str(busy))
    module.exit_json(changed=any(step["what"] == "apply" for step in steps), results=results)


if __name__ == "__main__":
    main()
