# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands in for a Python package that is not there, so that the need for it is said where it arises."""

from __future__ import annotations

from typing import Any


class Missing:
    """Fails at the first use, with the remedy."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __getattr__(self, attribute: str) -> Any:
        raise ImportError(
            f"Hearth needs the Python package {self._package} where Ansible runs: pip install {self._package}"
        )
