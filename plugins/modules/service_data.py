#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.service_data"""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_data
short_description: Delete the data that a service left behind
version_added: 0.1.0
description:
  - Deletes exactly the directories or volumes that the service's C(service.yml) names under C(data).
  - In a playbook, write only O(name) and O(confirm). The action plugin of the same name refuses while a targeted host
    still lists the service, and while another service shares the data; the other options are between the two.
  - On the host it refuses while the stack is deployed, while a container has the data mounted, and for a directory that
    is a link, a mount point, or not below O(data_dir).
author: The Hearth authors (@hearth)
options:
  name:
    description: The service.
    type: str
    required: true
  confirm:
    description: The service's name once more. Not needed in check mode.
    type: str
    default: ""
  directories:
    description: The directories to delete.
    type: list
    elements: path
    default: []
  volumes:
    description: The volumes to delete.
    type: list
    elements: str
    default: []
  copies:
    description: Where the engine keeps copies of the data from before an update. They are deleted, too.
    type: path
    default: ""
  data_dir:
    description: Where services keep their data; nothing outside is deleted.
    type: path
    default: /srv/docker
  state_dir:
    description: Where Hearth keeps its journal and what it last committed.
    type: path
    default: /var/lib/hearth
attributes:
  check_mode:
    description: Lists what would be deleted.
    support: full
  diff_mode:
    description: Has nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Delete the data that Open WebUI left on this host
  hearth.llm.service_data:
    name: openwebui
    confirm: openwebui
"""

RETURN = r"""
removed:
  description: What was, or would be, deleted. C(bytes) on the disk, null where the size could not be read.
  returned: always
  type: list
  elements: dict
  sample: [{kind: directory, name: /srv/docker/openwebui/data, bytes: 1200000000}]
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import transaction
from ansible_collections.hearth.llm.plugins.module_utils._copies import Copies, disk_usage
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker, EngineError
from ansible_collections.hearth.llm.plugins.module_utils._state import state_path

_PATIENCE = 60.0


class Refused(Exception):
    """Something is not the service's alone, or is in use; the text says what."""


def delete(
    docker: Docker,
    name: str,
    directories: Sequence[str],
    volumes: Sequence[str],
    copies: str,
    data_dir: str,
    state_dir: str,
    check: bool,
) -> list[dict[str, Any]]:
    """Delete what is there of these, or with `check` only list it. Raises Refused, EngineError, Busy and OSError."""
    lock = (
        nullcontext()
        if check
        else transaction.host_lock(state_dir, f"deletion of {name}'s data", _PATIENCE, lambda text: None)
    )
    with lock:
        if os.path.exists(state_path(state_dir, name)):
            raise Refused("it is still deployed here; playbooks/deploy-stacks.yml stops what is in no stacks")
        there = [path for path in directories if os.path.lexists(path)]
        for path in there:
            refuse_strange(path, data_dir)
        kept = [volume for volume in volumes if docker.call("volume", "inspect", volume).good]
        if there or kept:
            refuse_used(docker, there, kept)
        found = [{"kind": "directory", "name": path, "bytes": disk_usage(path)} for path in there]
        found += [{"kind": "volume", "name": volume, "bytes": volume_size(docker, volume)} for volume in kept]
        if copies and os.path.isdir(copies):
            found.append({"kind": "directory", "name": copies, "bytes": disk_usage(copies)})
        if not check:
            for path in there:
                shutil.rmtree(path)
            with suppress(OSError):  # not there, or something else is in it
                os.rmdir(os.path.join(data_dir, name))
            for volume in kept:
                answer = docker.call("volume", "rm", volume)
                if not answer.good:
                    raise EngineError(answer.reason)
            if copies:
                Copies(docker, copies, "none", []).forget()
    return found


def refuse_strange(path: str, data_dir: str) -> None:
    """Raise Refused for what is no plain directory below data_dir."""
    root = os.path.realpath(data_dir)
    expected = os.path.join(root, os.path.relpath(path, data_dir))
    if os.path.relpath(path, data_dir).split(os.sep)[0] in (os.curdir, os.pardir):
        raise Refused(f"{path} is not below {data_dir}")
    if os.path.realpath(path) != expected:
        raise Refused(f"{path} leads by a link to {os.path.realpath(path)}; delete that by hand")
    if not os.path.isdir(path):
        raise Refused(f"{path} is not a directory; delete it by hand")
    if os.path.ismount(path):
        raise Refused(f"{path} is a mount point; unmount it, or empty it by hand")


def refuse_used(docker: Docker, directories: Sequence[str], volumes: Sequence[str]) -> None:
    """Raise Refused where a container, running or not, has one of these mounted. Raises EngineError."""
    listed = docker.call("ps", "-aq", "--no-trunc")
    if not listed.good:
        raise EngineError(listed.reason)
    if not listed.out.split():
        return
    answer = docker.call("container", "inspect", *listed.out.split())
    try:
        found = json.loads(answer.out or "[]")
    except ValueError as error:
        raise EngineError(answer.reason) from error
    places = [os.path.realpath(path) for path in directories]
    for container in found:
        for mount in container.get("Mounts") or ():
            source = os.path.realpath(mount.get("Source") or "/")
            below = any(source == place or source.startswith(place + os.sep) for place in places)
            if below or mount.get("Name") in volumes:
                used = mount.get("Name") or source
                raise Refused(f"the container {container['Name'].lstrip('/')} uses {used}; remove it first")


def volume_size(docker: Docker, volume: str) -> int | None:
    """Bytes of a volume; None where its place cannot be read from here."""
    place = docker.call("volume", "inspect", "--format", "{{.Mountpoint}}", volume).out.strip()
    return disk_usage(place) if place and os.access(place, os.R_OK | os.X_OK) else None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "confirm": {"type": "str", "default": ""},
            "directories": {"type": "list", "elements": "path", "default": []},
            "volumes": {"type": "list", "elements": "str", "default": []},
            "copies": {"type": "path", "default": ""},
            "data_dir": {"type": "path", "default": "/srv/docker"},
            "state_dir": {"type": "path", "default": "/var/lib/hearth"},
        },
        supports_check_mode=True,
    )
    options = {key: value for key, value in module.params.items() if key != "confirm"}
    if not module.check_mode and module.params["confirm"] != options["name"]:
        module.fail_json(msg=f"confirm does not repeat the name {options['name']}; nothing was deleted")
    try:
        removed = delete(Docker(), **options, check=module.check_mode)
    except (Refused, EngineError, transaction.Busy, OSError) as problem:
        module.fail_json(msg=f"the data of {options['name']}: {problem}")
    module.exit_json(changed=bool(removed), removed=removed)


if __name__ == "__main__":
    main()
