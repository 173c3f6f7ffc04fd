#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.gpu_info"""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: List a host's NVIDIA cards
version_added: 0.1.0
description:
  - Asks C(nvidia-smi) for every card, its memory, what computes on it, and the driver.
  - A host without cards, or without a driver, is an answer and not an error. So is a driver that fails or hangs, with
    what is meant and what to do, in RV(trouble).
author: The Hearth authors (@hearth)
options:
  timeout:
    description:
      - Seconds to wait for each call of C(nvidia-smi). One that does not come back is given up, also where it waits in
        the kernel and cannot be killed.
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
- name: Which cards are there?
  hearth.llm.gpu_info:
  register: gpus

- name: Say what is wrong with them
  ansible.builtin.debug:
    msg: "{{ gpus.trouble.meaning }}: {{ gpus.trouble.remedy }}"
  when: gpus.trouble
"""

RETURN = r"""
nvidia_smi:
  description: Where it was found, or null.
  returned: success
  type: str
  sample: /usr/bin/nvidia-smi
driver:
  description: The driver's version, null without one that answers.
  returned: success
  type: str
  sample: 595.80
cuda:
  description: The newest CUDA that the driver can run.
  returned: success
  type: str
  sample: "13.2"
cards:
  description:
    - Every card that answers, sizes in bytes. C(usable) is what programs can have at most, C(total) without what the
      driver keeps. Both are null where the driver tells no size, as of a card that shares the machine's memory.
    - C(mig) is null where a card cannot be divided; C(instances) are the parts of one that is.
    - C(error) is what stood in the place of a value, where the card itself is the trouble.
  returned: success
  type: list
  elements: dict
  sample: [{index: 0, uuid: GPU-5c3f1d7a-0f0e-4c1f-9a55-2f1f3a6f0b11, name: NVIDIA L40S, driver: "595.80",
            bus: "00000000:01:00.0", total: 48305799168, reserved: 638582784, used: 0, free: 47668264960,
            usable: 47667216384, compute_capability: "8.9", mig: null, error: null, instances: []}]
apps:
  description: Programs that compute on the cards. C(memory) is null where the driver does not tell.
  returned: success
  type: list
  elements: dict
  sample: [{card: GPU-5c3f1d7a-0f0e-4c1f-9a55-2f1f3a6f0b11, pid: 5268, name: ollama, memory: 387973120}]
trouble:
  description:
    - Why there are no cards, or too few; null where nothing is wrong. C(kind) is V(hung), V(mismatch), V(not_loaded),
      V(lost), V(none), V(forbidden), V(libraries), V(old), V(nvml), V(failed), or V(inforom) where every card works and
      one's infoROM is damaged.
  returned: success
  type: dict
  sample: {kind: mismatch, said: "Failed to initialize NVML: Driver/library version mismatch", meaning: …, remedy: …}
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import nvidia_smi


def main() -> None:
    """Ask once for the cards, and for the rest only where there are some."""
    module = AnsibleModule(
        argument_spec={"timeout": {"type": "int", "default": int(nvidia_smi.PATIENCE)}},
        supports_check_mode=True,
    )
    path = nvidia_smi.find()

    def run(command):
        return nvidia_smi.call(command, module.params["timeout"])

    cards, trouble = nvidia_smi.ask(path, run)
    apps, cuda = [], None
    if cards and path:
        apps = nvidia_smi.apps(run([path, *nvidia_smi.QUERY_APPS]))
        cuda = nvidia_smi.cuda(run([path, *nvidia_smi.QUERY_HEAD]))
    module.exit_json(
        changed=False,
        nvidia_smi=path,
        driver=next((card.driver for card in cards if card.driver), None),
        cuda=cuda,
        cards=[card.as_dict() for card in cards],
        apps=[asdict(app) for app in apps],
        trouble=trouble.as_dict() if trouble else None,
    )


if __name__ == "__main__":
    main()
