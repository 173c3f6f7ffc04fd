# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is meant when nvidia-smi says something else than its cards, and what helps.

Part of the program that stays on hosts: standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Said:
    """How a call of nvidia-smi ended. hung: it was given up; code is then None."""

    code: int | None
    text: str
    hung: bool = False


@dataclass(frozen=True)
class Trouble:
    """Why there are no cards, or one too few. kind: a word for programs; meaning and remedy for people."""

    kind: str
    said: str
    meaning: str
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


# For a host without a driver, or with one that is too old. Debian 12's own (535) is older than what is wanted.
INSTALL = (
    "Ubuntu: ubuntu-drivers install; Debian 13, with contrib non-free non-free-firmware in its sources: apt install "
    "nvidia-driver; Debian 12: NVIDIA's archive (cuda-keyring), then apt install nvidia-open (docs/gpu.md); then reboot"
)
# The kind of what is said beside cards that can be used (status 14: nvidia-smi's manual calls it a warning).
WARNING = "inforom"
# A card's row in the answer to a query. What stands in it is that card's own, and no trouble of the driver's.
ROW = re.compile(r"^\s*\d+\s*,")
# What is said → kind, meaning, remedy. The first that matches.
_TROUBLES = (
    (
        r"version mismatch",
        *("mismatch", "the loaded kernel module and the libraries are of different versions, mostly after an update"),
        "reboot; or, with nothing using the card: rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia; modprobe nvidia",
    ),
    (
        r"communicate with the NVIDIA driver",
        *("not_loaded", "the kernel module is not loaded, or is another one (nouveau)"),
        "modprobe nvidia; where that fails: dkms status; mokutil --sb-state; dmesg | grep -i nvrm",
    ),
    (
        r"handle for GPU|GPU is lost|requires reset|fallen off",
        *("lost", "a card does not answer any more: it has fallen off the bus, or wants a reset"),
        "dmesg | grep -i xid; power the machine off and on; if it comes back, look at the card's seat, power and heat",
    ),
    (
        r"No devices were found",
        *("none", "the driver runs and finds no card"),
        "lspci -d 10de:; dmesg | grep -i nvrm",
    ),
    (
        r"Insufficient Permissions",
        *("forbidden", "the devices may not be opened"),
        "ls -l /dev/nvidia*; in LXC the host must hand them to the container (docs/gpu.md)",
    ),
    (
        r"libnvidia-ml",
        *("libraries", "nvidia-smi is there without the driver's libraries"),
        "install the driver again, all its packages of one version",
    ),
    (
        r"not a valid field",
        *("old", "the driver is too old to be asked"),
        f"install driver 550 or newer: {INSTALL}",
    ),
    (
        r"initialize NVML",
        *("nvml", "the driver's library cannot be used here; in a container mostly after `systemctl daemon-reload`"),
        "in a container: make it anew (docker compose up -d --force-recreate); on the host: dmesg | grep -i nvrm",
    ),
    (
        r"infoROM is corrupted",
        *(WARNING, "a card's infoROM, where it keeps its settings, is damaged; it computes all the same"),
        "nvidia-smi -q | grep -i -A 6 inforom; a reboot may mend it, else the card's maker replaces it",
    ),
)  # fmt: skip


def trouble(said: Said) -> Trouble | None:
    """What an answer without cards means; None where there is nothing wrong with it."""
    if said.hung:
        return Trouble(
            "hung",
            "",
            "nvidia-smi does not come back: the driver waits for a card that does not answer",
            "dmesg | grep -i -e xid -e nvrm; a reboot is the only way out of this",
        )
    text = "\n".join(line for line in said.text.splitlines() if not ROW.match(line))
    for pattern, kind, meaning, remedy in _TROUBLES:
        if re.search(pattern, text, re.IGNORECASE):
            return Trouble(kind, _first_line(text, pattern), meaning, remedy)
    if said.code:
        line = _first_line(text, ".")
        return Trouble("failed", line, f"nvidia-smi failed with status {said.code}", "dmesg | grep -i nvrm")
    return None


def _first_line(text: str, pattern: str) -> str:
    return next((line.strip() for line in text.splitlines() if re.search(pattern, line, re.IGNORECASE)), "")
