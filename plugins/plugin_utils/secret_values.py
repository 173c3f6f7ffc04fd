# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The values of secrets where they are used: as Ansible loaded them, or as this run has written them since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.fingerprint import stamps
from ..module_utils.secrets import FINGERPRINT_KEY, previous
from . import platform_run
from .vault_store import METADATA, Store

ROTATION = "rotation"


@dataclass(frozen=True)
class Values:
    """Values by name: the current ones, the old ones that are still accepted, and the stamps of the current ones."""

    current: dict[str, Any]
    previous: dict[str, str]
    stamps: dict[str, dict[str, Any]]


def open_store(action: ActionBase, task_vars: Mapping[str, Any]) -> Store:
    """The inventory's files of secrets, read now."""
    if not task_vars.get("inventory_dir"):
        raise AnsibleActionFail("The inventory is not a file or a folder, so there is no place for its vault")
    return Store(Path(task_vars["inventory_dir"]), action._loader._vault)


def values(action: ActionBase, task_vars: Mapping[str, Any], names: Iterable[str]) -> Values:
    """The values of these secrets. Ansible keeps what it loaded, so what a rotation rewrote is read from its file."""
    names = list(names)
    run = platform_run.kept(ROTATION) or {"names": [], "closing": False}
    current = {name: resolved(action, task_vars, f"vault_{name}") for name in names}
    old = {name: resolved(action, task_vars, previous(name)) for name in names}
    metadata = dict(task_vars.get(METADATA) or {})
    rewritten = [name for name in names if name in run["names"]]
    if rewritten:
        store = open_store(action, task_vars)
        current.update({name: store.value(f"vault_{name}") for name in rewritten})
        old.update({name: None if run["closing"] else store.value(previous(name)) for name in rewritten})
        metadata = store.metadata()
    key = resolved(action, task_vars, f"vault_{FINGERPRINT_KEY.name}")
    accepted = {name: value for name, value in old.items() if value}
    return Values(current, accepted, stamps(key, current, metadata))


def resolved(action: ActionBase, task_vars: Mapping[str, Any], variable: str) -> Any:
    """A variable templated and decrypted, as plain text where it is text."""
    found = action._templar.template(task_vars.get(variable))
    plain = found is None or isinstance(found, (bool, int, float, list, dict))
    return found if plain else str(found)
