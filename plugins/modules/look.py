#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.look"""

from __future__ import annotations

DOCUMENTATION = r"""
module: look
short_description: Look at a host without changing anything
version_added: 0.1.0
description:
  - Tells in one call what the platform needs to know about a host before it changes anything. The engine, disks,
    networks, listening ports with their holders, and for each stack its files, containers and committed state.
  - A host without Docker is an answer, not an error.
author: The Hearth authors (@hearth)
options:
  stacks_dir:
    description: Where the stacks' files lie.
    type: path
    default: /opt/stacks
  data_dir:
    description: Where services keep their data.
    type: path
    default: /srv/docker
  state_dir:
    description: Where Hearth keeps its journal and what it last committed.
    type: path
    default: /var/lib/hearth
  stacks:
    description:
      - Names of the stacks to look at.
      - Those that were once committed on this host are looked at too, so that orphans show.
    type: list
    elements: str
    default: []
  images:
    description: Image references whose local id is wanted.
    type: list
    elements: str
    default: []
  paths:
    description: Further paths whose kind, mode, owner and disk are wanted.
    type: list
    elements: path
    default: []
  packet_filter:
    description: Whether the host is to have the packet filter of Hearth. The kernel is asked whether it can be had.
    type: bool
    default: false
  gpus:
    description: Whether the driver is asked for the host's cards, which may take two seconds.
    type: bool
    default: false
  digests:
    description: Small files whose sha256 is wanted.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: Has nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Look at the host
  hearth.llm.look:
    stacks: [litellm, ollama]
    images: ["ghcr.io/berriai/litellm:v1.104.2"]
  register: found
"""

RETURN = r"""
engine:
  description:
    - The Docker engine. All but C(present), C(running) and C(error) are null where it does not answer, and C(runtimes)
      is empty.
  returned: always
  type: dict
  sample: {present: true, running: true, version: 26.1.5, compose: 2.26.1, root: /var/lib/docker,
           runtimes: [io.containerd.runc.v2, runc], error: null}
system:
  description: The machine; C(memory) in bytes.
  returned: always
  type: dict
  sample: {os: {id: debian, version: "13"}, arch: x86_64, python: 3.13.5, memory: 16777216000, uid: 0, systemd: true,
           hostname: edge}
container:
  description:
    - What the machine lets a container have, where the host is one (LXC). All but C(kind) are null where it is none.
  returned: always
  type: dict
  sample: {kind: lxc, nesting: true, keyctl: true, overlay: true, controllers: [cpu, memory, pids], delegated: true,
           net_admin: true}
filter:
  description:
    - The packet filter. C(file) is the content of its file, C(as_file) whether what is loaded is what the file says,
      C(error) why nf_tables cannot be used.
  returned: always
  type: dict
  sample: {installed: true, error: null, file: "table inet hearth…", loaded: true, as_file: true, enabled: true}
backups:
  description: What hearth-backup remembers of its runs and drills (docs/backups.md), null where there were none.
  returned: always
  type: dict
  sample: {format: 1, repositories: {}, services: {}}
disks:
  description: By path, free and total bytes where the path lies or would lie, and the device's number.
  returned: always
  type: dict
  sample: {/opt/stacks: {free: 1000000000, total: 2000000000, device: "254:0"}}
paths:
  description: What was found at each of O(paths).
  returned: always
  type: dict
  sample: {/srv/docker/models: {exists: true, kind: directory, mode: "0755", owner: "0:0", empty: false}}
digests:
  description: The sha256 of each of O(digests), null where it is not there.
  returned: always
  type: dict
networks:
  description: Names of Docker's networks.
  returned: always
  type: list
  elements: str
frontend_bridge:
  description: The network interface of Docker's network C(frontend), null where there is none.
  returned: always
  type: str
  sample: hearth-frontend
volumes:
  description: Names of Docker's volumes.
  returned: always
  type: list
  elements: str
listening:
  description: Listening ports. C(protocol) is tcp, tcp6, udp or udp6; C(holder) is the process's name where it shows.
  returned: always
  type: list
  elements: dict
  sample: [{port: 443, address: 0.0.0.0, protocol: tcp, holder: docker-proxy, pid: 812, container: traefik,
            project: traefik}]
gpus:
  description:
    - Where C(nvidia-smi), the toolkit's C(hook) and a specification for CDI were found, or null. C(taken_up) is
      whether the engine started after the hook came, C(no_cgroups) whether the toolkit's configuration says so.
    - With O(gpus), C(cards) and C(trouble) as M(hearth.llm.gpu_info) has them.
  returned: always
  type: dict
  sample: {nvidia_smi: /usr/bin/nvidia-smi, hook: /usr/bin/nvidia-container-runtime-hook, cdi: null, cards: [],
           trouble: null, taken_up: true, no_cgroups: false}
images:
  description: The local id of each of O(images), null where it is not there.
  returned: always
  type: dict
stacks:
  description:
    - By stack, its C(files) (hash, mode, owner), C(containers), the C(state) that was committed, and the C(transaction)
      that has not ended.
  returned: always
  type: dict
  sample:
    litellm:
      files: {compose.yaml: {sha256: "9f86…", mode: "0644", owner: "0:0"}}
      containers:
        litellm: {id: 3f1c…, service: litellm, image: "ghcr.io/berriai/litellm:v1.104.2", image_id: "sha256:5d…",
                  state: running, health: healthy, exit_code: 0, restarts: 0, config: 1f2e3d4c,
                  networks: [frontend]}
      state: {format: 2, digest: ab12…}
      transaction: null
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils.look import look


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stacks_dir": {"type": "path", "default": "/opt/stacks"},
            "data_dir": {"type": "path", "default": "/srv/docker"},
            "state_dir": {"type": "path", "default": "/var/lib/hearth"},
            "stacks": {"type": "list", "elements": "str", "default": []},
            "images": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "path", "default": []},
            "packet_filter": {"type": "bool", "default": False},
            "gpus": {"type": "bool", "default": False},
            "digests": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **look(**module.params))


if __name__ == "__main__":
    main()
