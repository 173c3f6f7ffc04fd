#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.backup_program"""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_program
short_description: Put the program of a host's backups in place, with its configuration
version_added: 0.1.0
description:
  - Writes C(/usr/local/sbin/hearth-backup) and, for root alone, what it reads in O(folder).
  - It needs restic to do anything; the role C(hearth.llm.backups) installs it, and the timers.
author: The Hearth authors (@hearth)
options:
  config:
    description: What is to be saved and where to, from the filter C(hearth.llm.backup_plan) and the role's variables.
    type: dict
    required: true
  key:
    description: What encrypts this host's repositories.
    type: str
    required: true
  environment:
    description: Credentials for restic, as environment variables.
    type: dict
    default: {}
  folder:
    description: Where the configuration lies.
    type: path
    default: /etc/hearth/backups
attributes:
  check_mode:
    description: Says whether anything would change.
    support: full
  diff_mode:
    description: Shows nothing, because there are secrets among it.
    support: none
"""

EXAMPLES = r"""
- name: Put the program of the backups in place
  hearth.llm.backup_program:
    config: "{{ lookup('hearth.llm.fleet') | hearth.llm.backup_plan(inventory_hostname) }}"
    key: "{{ vault_backups_key_edge }}"
"""

RETURN = r"""
files:
  description: The files that were, or would be, written.
  returned: always
  type: list
  elements: str
  sample: [/etc/hearth/backups/config.json]
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import _durable, backup_program


def wanted(parameters: Mapping[str, Any]) -> dict[str, tuple[bytes, int]]:
    """Path → content and mode of each file."""
    folder = parameters["folder"]

    def as_json(value: Any) -> bytes:
        return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"

    environment = {name: str(value) for name, value in parameters["environment"].items()}
    return {
        backup_program.PATH: (backup_program.program(), 0o755),
        os.path.join(folder, "config.json"): (as_json(parameters["config"]), 0o600),
        os.path.join(folder, "key"): (parameters["key"].encode() + b"\n", 0o600),
        os.path.join(folder, "environment.json"): (as_json(environment), 0o600),
    }


def differs(path: str, content: bytes, mode: int) -> bool:
    """Whether a file is not there, or not as it is wanted."""
    try:
        with open(path, "rb") as file:
            return file.read() != content or os.fstat(file.fileno()).st_mode & 0o7777 != mode
    except OSError:
        return True


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "config": {"type": "dict", "required": True},
            "key": {"type": "str", "required": True, "no_log": True},
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "folder": {"type": "path", "default": "/etc/hearth/backups"},
        },
        supports_check_mode=True,
    )
    files = {path: item for path, item in wanted(module.params).items() if differs(path, *item)}
    if not module.check_mode:
        try:
            os.makedirs(module.params["folder"], mode=0o700, exist_ok=True)
            for path, (content, mode) in files.items():
                _durable.write_whole(path, content, mode)
        except OSError as problem:
            module.fail_json(msg=f"the program of the backups: {problem}")
    module.exit_json(changed=bool(files), files=sorted(files))


if __name__ == "__main__":
    main()
