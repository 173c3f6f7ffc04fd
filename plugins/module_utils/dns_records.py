# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's own DNS records: checked one by one, and turned into what a zone file holds (RFC 1035).

Host names are as narrow as RFC 1123 has them; owners of records that name no host may have underscores.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_WIDE_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_CAA = re.compile(r'(?P<flag>\d{1,3}) +(?P<tag>[a-z0-9]+) +"?(?P<value>[^"]*)"?')
_LONGEST_NAME = 253
_LONGEST_STRING = 255
_LARGEST = 65535
# Records that belong to a host: their owner is a host name.
_OF_HOSTS = ("A", "AAAA", "MX")


@dataclass(frozen=True)
class Record:
    """A line of a zone: `owner` is relative to the zone, `@` is the zone itself; a name in `value` ends with a dot."""

    zone: str
    owner: str
    type: str
    value: str
    ttl: int | None = None
    internal: bool = False

    @property
    def name(self) -> str:
        """The owner in full, without a last dot."""
        return self.zone if self.owner == "@" else f"{self.owner}.{self.zone}"


class Wrong(ValueError):
    """Why a record cannot be: its key, what was expected, and what to do."""

    def __init__(self, key: str, expected: str, remedy: str) -> None:
        super().__init__(expected)
        self.key, self.expected, self.remedy = key, expected, remedy


def parse(written: Mapping[str, Any], zones: Sequence[str]) -> Record:
    """A record as the operator wrote it (`name`, `type`, `value`, perhaps `ttl`, `internal`). Raises Wrong.

    zones: those that there are; a name without one lies in the first.
    """
    kind = str(written["type"])
    owner, zone = _owner(str(written["name"]).lower(), zones, kind in _OF_HOSTS)
    ttl = written.get("ttl")
    if ttl is not None and not 0 <= int(ttl) < 2**31:
        raise Wrong("ttl", "is not a time in seconds", "0 to 2147483647")
    value = VALUES[kind](str(written["value"]).strip(), zone)
    if kind == "CNAME" and owner == "@":
        expected = "the zone itself can be no other name's alias: it has records of its own"
        raise Wrong("name", expected, "give it A records")
    return Record(zone, owner, kind, value, None if ttl is None else int(ttl), bool(written.get("internal")))


def _owner(name: str, zones: Sequence[str], of_host: bool) -> tuple[str, str]:
    full = name.removesuffix(".")
    for zone in sorted(zones, key=len, reverse=True):
        if full == zone or full.endswith(f".{zone}"):
            owner = full.removesuffix(zone).removesuffix(".") or "@"
            break
    else:
        # nas.example.org is a slip for a name elsewhere, not meant as nas.example.org.home.lan.
        if "." in name and not name.startswith("_"):
            expected = f"is outside the zone{'s' if len(zones) > 1 else ''} {', '.join(zones)}"
            raise Wrong("name", expected, f"write one label, or a name that ends with .{zones[0]}")
        owner, zone = name, zones[0]
    labels = owner.removeprefix("*.").split(".") if owner not in ("@", "*") else []
    pattern = _LABEL if of_host else _WIDE_LABEL
    if not all(pattern.fullmatch(label) for label in labels) or len(f"{owner}.{zone}") > _LONGEST_NAME:
        raise Wrong(
            "name", "is no name in DNS: labels of a-z, 0-9 and -, joined by dots", "write it like nas"
        )
    return owner, zone


def _target(text: str, zone: str, key: str = "value") -> str:
    """A host's name: one label lies in the zone, everything else is written in full."""
    name = text.lower().removesuffix(".")
    full = zone if name == "@" else name if "." in name else f"{name}.{zone}"
    if not all(_WIDE_LABEL.fullmatch(label) for label in full.split(".")) or len(full) > _LONGEST_NAME:
        raise Wrong(key, "is not a host's name", f"write it like mail, mail.{zone} or mail.example.org")
    return f"{full}."


def _address(version: int) -> Callable[[str, str], str]:
    def read(text: str, _zone: str) -> str:
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            found = None
        if found is None or found.version != version:
            example = "10.2.0.9" if version == 4 else "fd00::9"
            raise Wrong("value", f"is not an IPv{version} address", f"write it like {example}")
        return str(found)

    return read


def _numbers_and_target(count: int, example: str) -> Callable[[str, str], str]:
    def read(text: str, zone: str) -> str:
        *numbers, target = text.split() or [""]
        if len(numbers) != count or not all(item.isdigit() and int(item) <= _LARGEST for item in numbers):
            raise Wrong("value", f"is not {count} numbers to {_LARGEST} and a host's name", example)
        return " ".join([*numbers, _target(target, zone)])

    return read


def text_value(text: str, _zone: str = "") -> str:
    """Text as quoted strings of at most 255 bytes each."""
    raw = text.encode()
    if any(byte < 32 or byte == 127 for byte in raw):
        raise Wrong("value", "has a line break or another control character", "write it on one line")
    pieces = [raw[at : at + _LONGEST_STRING] for at in range(0, len(raw), _LONGEST_STRING)] or [b""]
    return " ".join(f'"{"".join(map(_escaped, piece))}"' for piece in pieces)


def _escaped(byte: int) -> str:
    if byte > 126:
        return f"\\{byte:03d}"
    return f"\\{chr(byte)}" if chr(byte) in '"\\' else chr(byte)


def _caa(text: str, _zone: str) -> str:
    found = _CAA.fullmatch(text)
    if not found or int(found["flag"]) > 255:
        raise Wrong("value", "is not a flag, a tag and a value", "write it like 0 issue letsencrypt.org")
    return f"{found['flag']} {found['tag']} {text_value(found['value'])}"


VALUES: dict[str, Callable[[str, str], str]] = {
    "A": _address(4),
    "AAAA": _address(6),
    "CNAME": _target,
    "MX": _numbers_and_target(1, "write it like 10 mail.example.org"),
    "NS": _target,
    "SRV": _numbers_and_target(3, "write it like 0 5 5060 sip"),
    "TXT": text_value,
    "CAA": _caa,
}
