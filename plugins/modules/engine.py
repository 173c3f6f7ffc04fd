#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.engine"""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine
short_description: Keep the program that carries out changes on a host
version_added: 0.1.0
description:
  - Writes C(engine.py) of this release to the host. It carries out M(hearth.llm.stack)'s changes apart from the
    connection, finishes or undoes them at boot, and answers later runs without a module that Ansible sends first.
author: The Hearth authors (@hearth)
options:
  state_dir:
    description: Where Hearth keeps its journal and what it last committed.
    type: path
    default: /var/lib/hearth
attributes:
  check_mode:
    description: Tells whether the program would be written.
    support: full
  diff_mode:
    description: A program is not shown.
    support: none
"""

EXAMPLES = r"""
- name: Keep the program that carries out changes
  hearth.llm.engine:
"""

RETURN = r"""{}"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import engine_program


def main() -> None:
    module = AnsibleModule(
        argument_spec={"state_dir": {"type": "path", "default": "/var/lib/hearth"}},
        supports_check_mode=True,
    )
    state_dir = module.params["state_dir"]
    changed = not engine_program.is_installed(state_dir)
    if changed and not module.check_mode:
        try:
            engine_program.install(state_dir)
        except OSError as problem:
            module.fail_json(msg=f"engine.py cannot be written to {state_dir}: {problem}")
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
