# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of an inventory that the catalogue is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Host:
    """A host of the inventory.

    groups: its groups' names; variables: the values of those variables that Hearth knows, templated; names: the names
    of all its variables, to find misspelt ones; broken: variables that could not be templated, name → why.
    """

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Any]
    names: tuple[str, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
