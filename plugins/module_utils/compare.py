# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs between the files a stack should have and what a look at the host found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._state import tag


def differences(
    wanted: Mapping[str, tuple[str, str, str]], images: Mapping[str, str], look: Mapping[str, Any], name: str
) -> list[str]:
    """The reasons to deploy a stack, in words; empty when the host already is as wanted.

    wanted: path → (sha256, mode as octal text, owner as uid:gid); images: container → image reference;
    look: the result of hearth.llm.look; name: the service.
    """
    stack = look["stacks"].get(name) or {}
    state = stack.get("state")
    if not state:
        return ["new"]
    reasons = _files(wanted, stack.get("files", {}), look["system"]["uid"])
    if stack.get("transaction"):
        reasons.append("an unfinished change")
    return reasons + _containers(
        state.get("containers", {}), stack.get("containers", {}), images, look["images"]
    )


def _files(
    wanted: Mapping[str, tuple[str, str, str]], found: Mapping[str, Mapping[str, str]], uid: int
) -> list[str]:
    reasons = []
    for path, (sha256, mode, owner) in wanted.items():
        if path not in found:
            reasons.append(f"{path} added")
        elif found[path]["sha256"] != sha256:
            reasons.append(f"{path} changed")
        elif int(found[path]["mode"], 8) != int(mode, 8):
            reasons.append(f"{path} has mode {found[path]['mode']} instead of {mode}")
        elif not _belongs(found[path]["owner"], _in_full(owner), uid):
            reasons.append(f"{path} belongs to {found[path]['owner']} instead of {_in_full(owner)}")
    return reasons + [f"{path} removed" for path in found if path not in wanted]


def _belongs(found: str, wanted: str, uid: int) -> bool:
    """Where the engine runs without root (uid), what should be root's is the operator's own."""
    if uid != 0 and wanted == "0:0":
        return found.partition(":")[0] == str(uid)
    return found == wanted


def _in_full(owner: str) -> str:
    return owner if ":" in owner else f"{owner}:{owner}"


def _containers(
    committed: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Mapping[str, Any]],
    images: Mapping[str, str],
    present: Mapping[str, str | None],
) -> list[str]:
    reasons = []
    for name, before in committed.items():
        now = found.get(name)
        if now is None:
            reasons.append(f"container {name} is gone")
        elif now["id"] != before["id"]:
            reasons.append(f"container {name} was replaced by hand")
        elif now["state"] != before.get("state", "running"):  # a one-shot container was committed as exited
            reasons.append(f"container {name} is {now['state']}")
        elif now["state"] == "running" and now["health"] == "unhealthy":
            reasons.append(f"container {name} is unhealthy")
        elif lost := sorted({*before.get("networks", ())} - {*now.get("networks", ())}):
            reasons.append(f"container {name} is unplugged from {', '.join(lost)}")
        elif now["image"] in images.values() and present.get(now["image"]) not in (None, now["image_id"]):
            reasons.append(f"image {now['image']} is another one now")
    return reasons + [f"container {name} is not ours" for name in found if name not in committed]


def versions(state: Mapping[str, Any] | None, images: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Container → (tag that was committed, tag that is wanted), of those that differ."""
    found = {}
    for item in ((state or {}).get("containers") or {}).values():
        before, after = tag(item["image"]), tag(images.get(item["service"], item["image"]))
        if before != after:
            found[item["service"]] = before, after
    return found
