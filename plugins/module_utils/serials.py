# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Numbers in files that grow only when the file changes: a zone's serial.

A template writes MARK where the number belongs. The numbers that stand on a host are in the stack's committed state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

MARK = "@SERIAL@"


def settle(
    content: bytes, found: str | None, before: int | None, floor: int, now: datetime
) -> tuple[bytes, int]:
    """A file with its number, and the number.

    content: the file with MARK; found: the SHA-256 (hex) of the file that is there; before: the number that was
    committed with it; floor: the number is above it; now: UTC, for a new number.
    """
    if before is not None and before > floor:
        same = _numbered(content, before)
        if hashlib.sha256(same).hexdigest() == found:
            return same, before
    number = following(before or 0, floor, now)
    return _numbered(content, number), number


def following(before: int, floor: int, now: datetime) -> int:
    """A number above both, by the date: YYYYMMDDnn, where nn is the hundredth part of the day.

    Not a count: a zone that was away for a while, and whose number is forgotten, goes on above it all the same.
    """
    part = (now.hour * 3600 + now.minute * 60 + now.second) * 100 // 86400
    return max(before + 1, floor + 1, int(now.strftime("%Y%m%d")) * 100 + part)


def _numbered(content: bytes, number: int) -> bytes:
    return content.replace(MARK.encode(), str(number).encode())


def of_state(state: Mapping[str, object] | None) -> dict[str, int]:
    """Path → number, as the stack's committed state has them."""
    found = (state or {}).get("serials")
    return {str(path): int(number) for path, number in found.items()} if isinstance(found, Mapping) else {}
