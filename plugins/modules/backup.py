#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.backup on the host: starts hearth-backup as a job, or says how far it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
version_added: "0.1.0"
short_description: Have a host's backups do something, and show what they say meanwhile
description:
  - Runs C(hearth-backup) on the host, which C(playbooks/backup.yml) puts there, and prints its lines as they come.
  - It goes on when the connection is lost or the controller goes. Where another one is at work it waits for its end.
  - In check mode nothing is done.
author: The Hearth authors (@hearth)
options:
  arguments:
    description: What C(hearth-backup) is to do, as on its command line, such as V([run, openwebui]).
    type: list
    elements: str
    required: true
  state_dir:
    description: Where the job keeps what it said, in C(jobs/backup).
    type: path
    default: /var/lib/hearth
  job:
    description: Set by the action plugin. The job to follow.
    type: str
  offset:
    description: Set by the action plugin. Where the last answer ended.
    type: int
    default: 0
  wait:
    description: Set by the action plugin. Seconds to wait for news.
    type: float
    default: 3
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Save the chat and what belongs to it
  hearth.llm.backup:
    arguments: [run, openwebui]
"""

RETURN = r"""
said:
  description: The lines that it printed.
  type: list
  elements: str
  returned: when it was run
problems:
  description: What went wrong, with remedies; empty where all is well.
  type: str
  returned: when it was run
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils.backup_job import follow


def main() -> None:
    """Follow a job, or start one."""
    module = AnsibleModule(
        argument_spec={
            "arguments": {"type": "list", "elements": "str", "required": True},
            "state_dir": {"type": "path", "default": "/var/lib/hearth"},
            "job": {"type": "str"},
            "offset": {"type": "int", "default": 0},
            "wait": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    options = module.params
    directory = Path(options["state_dir"]) / "jobs" / "backup"
    answer = follow(directory, options["arguments"], options["job"], options["offset"], options["wait"])
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
