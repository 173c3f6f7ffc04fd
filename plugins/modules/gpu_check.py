#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.gpu_check"""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_check
short_description: Check that a container really computes on its host's cards
version_added: 0.1.0
description:
  - Checks every link of the chain from the card to the loaded model, each for itself, in the order in which a fault of
    one makes the next fail. The driver and its CUDA, kernel module and libraries, the container toolkit, the engine's
    hook, runtime or CDI specification, what the container sees, C(systemctl daemon-reload), where the loaded model
    runs, and who else holds the cards' memory.
  - Changes nothing and never fails because of what it finds. C(docs/gpu.md) explains the checks.
author: The Hearth authors (@hearth)
options:
  container:
    description: The container that computes.
    type: str
    default: ollama
  port:
    description: Ollama's port in the container. Without it nobody is asked where a model runs.
    type: int
  oldest_driver:
    description: The oldest driver that the container's image works with, beside what the image itself says.
    type: str
    default: "550"
  may_spill:
    description: Models that may run on the processor in part. One that is there wholly is wrong all the same.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for each call of C(nvidia-smi), on the host and in the container.
    type: int
    default: 20
attributes:
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: Has nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Does Ollama really compute on the card?
  hearth.llm.gpu_check:
    port: 11434
  register: gpu

- name: Say what does not
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.found }}; {{ item.remedy }}"
  loop: "{{ gpu.checks | rejectattr('verdict', 'in', ['ok', 'unknown']) }}"
"""

RETURN = r"""
healthy:
  description: Whether no check is C(wrong).
  returned: success
  type: bool
checks:
  description:
    - C(verdict) is V(ok), V(wrong), V(risk) for what works and is known to break, or V(unknown) where what the check
      needs is not there.
    - C(remedy) is a command where there is one.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: container, verdict: wrong, found: "Failed to initialize NVML: Unknown Error",
       expected: the container sees its cards, remedy: docker restart ollama; …}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import gpu_check, gpu_facts


def main() -> None:
    """Look, then judge."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "default": "ollama"},
            "port": {"type": "int"},
            "oldest_driver": {"type": "str", "default": "550"},
            "may_spill": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    options = module.params
    facts = gpu_facts.gather(options["container"], options["port"], options["timeout"])
    checks = gpu_check.checks(facts, options["container"], options["oldest_driver"], options["may_spill"])
    healthy = not any(check["verdict"] == "wrong" for check in checks)
    module.exit_json(changed=False, healthy=healthy, checks=checks)


if __name__ == "__main__":
    main()
