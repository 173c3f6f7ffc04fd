# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The packet filter as a host has it: its file, what the kernel holds, and whether the kernel lets us at all.

Runs on the host: standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

FILE = "/etc/hearth/filter.nft"
SERVICE = "hearth-filter.service"
_LIST = "nft --stateless list table inet hearth"
# Each kind of match that the filter uses; `--check` asks the kernel, which loads its modules, and changes nothing.
_PROBE = """\
table inet hearth-probe {
\tchain arriving {
\t\ttype filter hook prerouting priority mangle;
\t\tiifname != "hearth-*" ct direction original fib daddr type local tcp dport 1 ip saddr != { 10.0.0.0/8 } reject
\t\tfib daddr oifname "hearth-*" fib daddr . iif oif missing reject
\t}
}
"""
_UNITS = "/etc/systemd/system"
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def look(wanted: bool, file: str = FILE, units: str = _UNITS) -> dict[str, Any]:
    """`filter` of hearth.llm.look's answer. Where none is wanted and none was installed, the kernel is not asked.

    installed: whether nft is there to be asked; error: why it cannot be used, None where it can or is not there;
    file: the content of our file, None where it is not there; loaded: whether our table is in the kernel; as_file:
    whether it is what the file says; enabled: whether our unit loads it at boot.
    """
    text = _read(file)
    installed = (wanted or text is not None) and shutil.which("nft", path=_PATH) is not None
    listed = _run(["sh", "-c", _LIST]).stdout if installed else ""
    loaded = listed != ""
    return {
        "installed": installed,
        "error": None if loaded or not installed else _usable(),
        "file": text,
        "loaded": loaded,
        "as_file": loaded and text is not None and listed == _listing_of(file),
        "enabled": os.path.lexists(f"{units}/sysinit.target.wants/{SERVICE}"),
    }


def _usable() -> str | None:
    done = _run(["nft", "--check", "--file", "-"], _PROBE)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return None if done.returncode == 0 else (lines[0] if lines else f"nft ended with {done.returncode}")


def _listing_of(file: str) -> str:
    """How this host's nft lists the file's table: loaded in a network namespace of its own, where it has no effect."""
    return _run(["unshare", "--net", "sh", "-c", f'nft --file "$0" && {_LIST}', file]).stdout


def _run(command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": _PATH, "LC_ALL": "C"}
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, env=environment)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None
