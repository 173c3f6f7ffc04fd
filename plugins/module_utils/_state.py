# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was committed on a host, one file a stack: <state_dir>/stacks/<service>.json.

    format 1    name, title, project, stack_dir, digest, exports, id, committed_at, files (path → sha256),
                containers (name → id, service, image, image_id, state)
    format 2    each container's networks, too, and `fallback`, what to go back to: null or {images (container →
                {image, image_id}), copy (of the data, or null), since (when it was replaced)}

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from . import _durable

FORMAT = 2

_CONTAINER_KEYS = ("id", "service", "image", "image_id", "state", "networks")


class NewerState(ValueError):
    """A newer Hearth deployed to this host; the text says so."""


def state_path(state_dir: str, service: str) -> str:
    """The file that says what was committed."""
    return os.path.join(state_dir, "stacks", f"{service}.json")


def read_state(state_dir: str, service: str) -> dict[str, Any] | None:
    """What was committed, in today's format; None where nothing was. Raises NewerState."""
    return today(_durable.read_json(state_path(state_dir, service)), service)


def today(state: Any, service: str) -> dict[str, Any] | None:
    """A state of any format up to today's, in today's; None for what is none. Raises NewerState."""
    if not isinstance(state, dict):
        return None
    written = state.get("format", 1)
    if not isinstance(written, int) or written > FORMAT:
        raise NewerState(
            f"{service} was deployed here by a newer Hearth (its state has format {written}, this one knows up to"
            f" {FORMAT}); update Hearth where you run it"
        )
    # A container of format 1 has no `networks`: whether one is missing is not known before the next commit.
    return {"fallback": None, **state, "format": FORMAT}


def refuse_newer(state_dir: str) -> None:
    """Raises NewerState where any stack of this host was committed by a newer Hearth."""
    for service in committed(state_dir):
        read_state(state_dir, service)


def committed(state_dir: str) -> list[str]:
    """The names of the stacks that were committed on this host."""
    try:
        names = os.listdir(os.path.join(state_dir, "stacks"))
    except OSError:
        return []
    return sorted(name[: -len(".json")] for name in names if name.endswith(".json"))


def tag(reference: str) -> str:
    """`v1.2` of registry.lan:5000/some/image:v1.2@sha256:…"""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2]


def running_versions(state_dir: str, service: Mapping[str, Any]) -> dict[str, str]:
    """Container → the version that was committed last; of one that was not, what `versions` of the service says."""
    there = ((read_state(state_dir, service["name"]) or {}).get("containers") or {}).values()
    running = {item["service"]: tag(item["image"]) for item in there}
    return {name: running.get(name) or version for name, version in service["versions"].items()}


def standing(containers: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What a state remembers of containers; `state` tells a one-shot container from a stopped one."""
    return {item["name"]: {key: item[key] for key in _CONTAINER_KEYS} for item in containers}


def fallback(
    before: Sequence[Mapping[str, Any]],
    now: Sequence[Mapping[str, Any]],
    last: Mapping[str, Any] | None,
    copy: str | None,
    moment: str,
) -> dict[str, Any] | None:
    """What to go back to after a commit: of each container the image before this one, and the last copy of the data."""
    stay = {item["image_id"] for item in now}
    replaced = {
        item["service"]: {"image": item["image"], "image_id": item["image_id"]}
        for item in before
        if item["service"] and item["image_id"] not in stay
    }
    if not (replaced or copy):
        return dict(last) if last else None
    known = last or {"images": {}, "copy": None}
    return {"images": {**known["images"], **replaced}, "copy": copy or known["copy"], "since": moment}
