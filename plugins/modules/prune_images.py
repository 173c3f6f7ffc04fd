#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.prune_images"""

from __future__ import annotations

DOCUMENTATION = r"""
module: prune_images
short_description: Delete older images of the platform's services
version_added: 0.1.0
description:
  - Deletes images with the same name as those in O(images) and another tag.
  - Keeps what a container uses, running or not, and of each stack the image that it ran before its present one, so that
    there is something to fall back to. Images with other names are not looked at.
author: The Hearth authors (@hearth)
options:
  images:
    description: The images that the platform's services are pinned to.
    type: list
    elements: str
    required: true
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
- name: Delete older images
  hearth.llm.prune_images:
    images: ["docker.io/ollama/ollama:0.32.15"]
"""

RETURN = r"""
removed:
  description: What was, or would be, deleted.
  returned: always
  type: list
  elements: str
  sample: ["docker.io/ollama/ollama:0.30.1"]
"""

from collections.abc import Collection, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hearth.llm.plugins.module_utils import transaction
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker, EngineError
from ansible_collections.hearth.llm.plugins.module_utils._state import committed, read_state

_PATIENCE = 60.0


def unused(present: Mapping[str, str], wanted: Collection[str], kept: Collection[str]) -> list[str]:
    """The references to delete. present: reference → image id; wanted: references; kept: image ids."""
    names = {short(reference).rpartition(":")[0] for reference in wanted}
    pinned = {short(reference) for reference in wanted}
    return sorted(
        reference
        for reference, identity in present.items()
        if short(reference).rpartition(":")[0] in names
        and short(reference) not in pinned
        and identity not in kept
    )


def short(reference: str) -> str:
    """As `docker image ls` writes it: without the default registry, and without a digest beside the tag."""
    return reference.partition("@")[0].removeprefix("docker.io/").removeprefix("library/")


def to_fall_back_to(state_dir: str) -> set[str]:
    """The ids of the images that the committed stacks ran before their present ones."""
    found = set()
    for service in committed(state_dir):
        before = (read_state(state_dir, service) or {}).get("fallback") or {"images": {}}
        found.update(item["image_id"] for item in before["images"].values())
    return found


def images_in_use(docker: Docker) -> set[str]:
    listed = docker.call("ps", "-aq", "--no-trunc")
    if not listed.good:
        raise EngineError(listed.reason)
    return {item["image_id"] for item in docker.inspect(listed.out.split())}


def prune(docker: Docker, images: Collection[str], state_dir: str, check: bool) -> list[str]:
    """Delete what is unused, or with `check` only list it. Raises EngineError and NewerState."""
    listed = docker.call("image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    if not listed.good:
        raise EngineError(listed.reason)
    present = dict(line.split() for line in listed.out.splitlines() if "<none>" not in line)
    found = unused(present, images, images_in_use(docker) | to_fall_back_to(state_dir))
    if found and not check:
        answer = docker.call("image", "rm", *found)
        if not answer.good:
            raise EngineError(answer.reason)
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "str", "required": True},
            "state_dir": {"type": "path", "default": "/var/lib/hearth"},
        },
        supports_check_mode=True,
    )
    options: dict[str, Any] = module.params
    try:
        if module.check_mode:
            removed = prune(Docker(), options["images"], options["state_dir"], check=True)
        else:
            # A change under way may be about to run one of them.
            with transaction.host_lock(
                options["state_dir"], "the pruning of images", _PATIENCE, lambda text: None
            ):
                removed = prune(Docker(), options["images"], options["state_dir"], check=False)
    except (EngineError, transaction.Busy, OSError, ValueError) as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(changed=bool(removed), removed=removed)


if __name__ == "__main__":
    main()
