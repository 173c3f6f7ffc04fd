# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host that is itself a container lacks for running stacks, and where that is given to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .problems import Problem

_PROXMOX = (
    "on the machine that it runs on (Proxmox: pct set ID --features nesting=1,keyctl=1), then restart it"
)
_NEEDED = ("cpu", "memory", "pids")


def problems(host: str, container: Mapping[str, Any]) -> list[Problem]:
    """Everything that Docker would fail of inside this container; container: that of hearth.llm.look's answer."""
    kind = container["kind"]
    if kind is None:
        return []
    found = []
    if not container["nesting"]:
        expected = "may not mount a /proc of its own, so Docker can start no container in it"
        found.append(("nesting", expected, f"allow nesting {_PROXMOX}"))
    if not container["keyctl"]:
        expected = "has no system call keyctl, which Docker uses for each container"
        found.append(("keyctl", expected, f"allow keyctl {_PROXMOX}"))
    if not container["overlay"]:
        expected = "sees no file system overlay; Docker would copy every image whole, for every container"
        remedy = "on the machine that it runs on: modprobe overlay, and a line `overlay` in /etc/modules"
        found.append(("overlay", expected, remedy))
    if not container["net_admin"]:
        expected = "lacks CAP_NET_ADMIN, so neither Docker nor the packet filter can set anything up"
        found.append(
            ("CAP_NET_ADMIN", expected, f"take it out of lxc.cap.drop {_PROXMOX.partition(' (')[0]}")
        )
    missing = [name for name in _NEEDED if name not in (container["controllers"] or ())]
    if container["controllers"] is not None and (missing or not container["delegated"]):
        expected = f"has no control over {', '.join(missing) or 'control groups'}, so limits would not hold"
        remedy = f"delegate the controllers {', '.join(_NEEDED)} to it {_PROXMOX.partition(' (')[0]}"
        found.append(("cgroups", expected, remedy))
    return [
        Problem(host, f"container ({kind}): {what}", None, expected, remedy)
        for what, expected, remedy in found
    ]
