# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether this host is itself a container (LXC, as Proxmox makes them), and what its machine lets it have.

Runs on the host: standard library only. What of it is missed is judged in container_host.py.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

_CAP_NET_ADMIN = 12
_KEYCTL = {"x86_64": 250, "aarch64": 219}  # the system call's number
_CGROUP = "/sys/fs/cgroup"


def look() -> dict[str, Any]:
    """`container` of hearth.llm.look's answer.

    kind: lxc, docker, …, None where the host is no container, and then all others are None, too; nesting: may it mount
    a /proc of its own, as every container in it must; keyctl: is there the system call; overlay: does the kernel have
    the file system; controllers: of control groups, None under version 1; delegated: may it make control groups;
    net_admin: may it configure its network.
    """
    kind = _kind()
    if kind is None:
        return dict.fromkeys(
            ("kind", "nesting", "keyctl", "overlay", "controllers", "delegated", "net_admin")
        )
    return {
        "kind": kind,
        "nesting": _run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"]).returncode == 0,
        "keyctl": _has_keyctl(),
        "overlay": any(line.split()[-1:] == ["overlay"] for line in _read("/proc/filesystems").splitlines()),
        "controllers": _controllers(),
        "delegated": os.access(f"{_CGROUP}/cgroup.subtree_control", os.W_OK),
        "net_admin": bool(capabilities(_read("/proc/self/status")) >> _CAP_NET_ADMIN & 1),
    }


def capabilities(status: str) -> int:
    """The effective capabilities in the text of /proc/PID/status."""
    found = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")]
    return int(found[0], 16) if found else 0


def _kind() -> str | None:
    try:
        found = _run(["systemd-detect-virt", "--container"]).stdout.strip()
    except OSError:
        found = _read("/run/systemd/container").strip()
    return found if found and found != "none" else None


def _has_keyctl() -> bool:
    """Whether keyctl exists; Proxmox hides it from unprivileged containers that were not given it."""
    number = _KEYCTL.get(platform.machine())
    if number is None:
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    session_keyring, its_id = -3, 0
    return libc.syscall(number, its_id, session_keyring, 0) != -1 or ctypes.get_errno() not in (
        errno.ENOSYS,
        errno.EPERM,
    )


def _controllers() -> list[str] | None:
    path = f"{_CGROUP}/cgroup.controllers"
    return _read(path).split() if os.path.exists(path) else None


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
