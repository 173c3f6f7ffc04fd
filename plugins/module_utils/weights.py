# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shares of the load between servers of one model, as HAProxy takes them."""

from __future__ import annotations

from typing import Any

WEIGHTS = "a whole number from 1 to 256"


def is_weight(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 256
