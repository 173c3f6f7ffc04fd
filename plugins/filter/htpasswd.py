# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter that makes htpasswd files: documented in htpasswd.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.hearth.llm.plugins.module_utils import htpasswd


class FilterModule:
    """htpasswd."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"htpasswd": _htpasswd}


def _htpasswd(passwords: Any, site: str) -> str:
    if not isinstance(passwords, dict):
        raise AnsibleFilterError("hearth.llm.htpasswd: expected a dictionary of user → password")
    try:
        return htpasswd.htpasswd({str(name): str(value) for name, value in passwords.items()}, site)
    except (ImportError, ValueError) as error:
        raise AnsibleFilterError(f"hearth.llm.htpasswd: {error}") from error
