# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nvidia-smi says of a host's cards, typed.

Part of the program that stays on hosts: standard library only, Python 3.9 and newer. nvidia-smi's text is not promised
to stay as it is, so only its CSV is read, and the few lines that have been the same since driver 470. Memory in bytes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .nvidia_trouble import ROW, WARNING, Said, Trouble, trouble

FIELDS = (
    *("index", "uuid", "name", "driver_version", "pci.bus_id"),
    *("memory.total", "memory.reserved", "memory.used", "memory.free"),
    *("compute_cap", "mig.mode.current"),
)
APP_FIELDS = ("gpu_uuid", "pid", "process_name", "used_memory")
_FORMAT = "--format=csv,noheader,nounits"
QUERY_CARDS = (f"--query-gpu={','.join(FIELDS)}", _FORMAT)
QUERY_APPS = (f"--query-compute-apps={','.join(APP_FIELDS)}", _FORMAT)
QUERY_HEAD = ("-q", "-d", "COMPUTE")
LIST = ("-L",)
# A card that does not answer makes nvidia-smi wait for ever; a healthy one without persistence mode takes 2 seconds.
PATIENCE = 20.0
_PLACES = ("/usr/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi", "/run/current-system/sw/bin/nvidia-smi")
_MIB = 2**20
_CUDA = re.compile(r"^CUDA (?:UMD )?Version\s*:\s*(\d+\.\d+)", re.MULTILINE)
_LISTED = re.compile(r"^GPU \d+: .*\(UUID: (GPU-[^)]+)\)")
_INSTANCE = re.compile(r"^\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)]+)\)")


@dataclass(frozen=True)
class Instance:
    """A part of a card that is divided by MIG."""

    profile: str
    uuid: str


@dataclass(frozen=True)
class Card:
    """One card. mig: whether it is divided, None where it cannot be. usable: bytes that programs can have at most,
    None where the driver tells no size, as of a card that shares the machine's memory (GB10). error: what nvidia-smi
    said in the place of a value, when the card itself is the trouble.
    """

    index: int
    uuid: str
    name: str
    driver: str
    bus: str
    total: int | None
    reserved: int | None
    used: int | None
    free: int | None
    compute_capability: str | None
    mig: bool | None
    error: str | None = None
    instances: tuple[Instance, ...] = ()

    @property
    def usable(self) -> int | None:
        return None if self.total is None else max(0, self.total - (self.reserved or 0))

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self)
        return {**found, "usable": self.usable, "instances": [asdict(item) for item in self.instances]}


@dataclass(frozen=True)
class App:
    """A program that computes on a card; memory is None where the driver does not tell."""

    card: str
    pid: int
    name: str
    memory: int | None


def find() -> str | None:
    """Where nvidia-smi is on this host."""
    return shutil.which("nvidia-smi") or next((path for path in _PLACES if os.access(path, os.X_OK)), None)


def call(command: Sequence[str], patience: float = PATIENCE) -> Said:
    """Run a command that may never end. One that cannot even be killed (it waits in the kernel) is left behind."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as error:
        return Said(127, str(error))
    try:
        text, _nothing = process.communicate(timeout=patience)
        return Said(process.returncode, text)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
        return Said(None, "", hung=True)


def cards(said: Said) -> list[Card]:
    """The cards in the answer to QUERY_CARDS; lines that are no card are left out."""
    return [_card(line) for line in said.text.splitlines() if ROW.match(line)]


def _card(line: str) -> Card:
    parts = [part.strip() for part in line.split(",")]
    values = {name: parts[place] for place, name in enumerate(FIELDS[: len(parts)])}
    wrong = next((text[1:-1] for text in values.values() if _is_trouble(text)), None)
    mig = _plain(values.get("mig.mode.current", ""))
    return Card(
        index=int(values["index"]),
        uuid=_plain(values.get("uuid", "")) or "",
        name=_plain(values.get("name", "")) or "",
        driver=_plain(values.get("driver_version", "")) or "",
        bus=_plain(values.get("pci.bus_id", "")) or "",
        total=_bytes(values.get("memory.total", "")),
        reserved=_bytes(values.get("memory.reserved", "")),
        used=_bytes(values.get("memory.used", "")),
        free=_bytes(values.get("memory.free", "")),
        compute_capability=_plain(values.get("compute_cap", "")),
        mig=None if mig is None else mig == "Enabled",
        error=wrong,
    )


def _is_trouble(text: str) -> bool:
    """`[Unknown Error]`, `[GPU is lost]`: not merely `[N/A]` or `[Not Supported]`."""
    return text.startswith("[") and bool(re.search(r"error|lost|reset", text, re.IGNORECASE))


def _plain(text: str) -> str | None:
    return None if not text or text == "N/A" or text.startswith("[") else text


def _bytes(text: str) -> int | None:
    number = text.removesuffix(" MiB")
    return int(number) * _MIB if number.isdecimal() else None


def apps(said: Said) -> list[App]:
    """The programs in the answer to QUERY_APPS; their names may hold commas."""
    found = []
    for line in said.text.splitlines():
        card, _comma, rest = line.partition(",")
        pid, _comma, rest = rest.strip().partition(",")
        name, _comma, memory = rest.rpartition(",")
        if pid.isdecimal():
            found.append(App(card.strip(), int(pid), name.strip(), _bytes(memory.strip())))
    return found


def cuda(said: Said) -> str | None:
    """The newest CUDA that the driver can run, from the answer to QUERY_HEAD."""
    match = _CUDA.search(said.text)
    return match[1] if match else None


def listed(said: Said) -> dict[str, tuple[Instance, ...]]:
    """The cards in the answer to LIST, by UUID, with the parts of each."""
    found: dict[str, tuple[Instance, ...]] = {}
    card = ""
    for line in said.text.splitlines():
        if match := _LISTED.match(line):
            card = match[1]
            found[card] = ()
        elif card and (match := _INSTANCE.match(line)):
            found[card] += (Instance(match[1], match[3]),)
    return found


def ask(
    path: str | None, run: Callable[[Sequence[str]], Said] | None = None
) -> tuple[list[Card], Trouble | None]:
    """A host's cards, and what is wrong. No nvidia-smi and no card are answers: ([], None) and ([], kind none)."""
    if path is None:
        return [], None
    run = run or call
    said = run([path, *QUERY_CARDS])
    found = cards(said)
    wrong = trouble(said)
    broken = "; ".join(
        f"{card.bus}: GPU requires reset or is lost ({card.error})" for card in found if card.error
    )
    if broken and (wrong is None or wrong.kind in ("failed", WARNING)):
        wrong = trouble(Said(said.code, broken))
    if any(card.mig for card in found):
        parts = listed(run([path, *LIST]))
        found = [replace(card, instances=parts.get(card.uuid, ())) for card in found]
    return found, wrong
