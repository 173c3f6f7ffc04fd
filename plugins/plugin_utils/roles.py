# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a role consists of, read from its folder without Ansible entering it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader

# Where any of these is, a role may do or know more than its one task and its defaults tell.
_MORE = ("vars", "meta/main.yml", "meta/main.yaml", "defaults/main", "defaults/main.yaml")


def only_deploys(folder: Path, name: str) -> bool:
    """Whether the role is one unconditional task that deploys the stack `name`, and nothing else."""
    if any((folder / more).exists() for more in _MORE):
        return False
    tasks = folder / "tasks" / "main.yml"
    found = yaml.safe_load(tasks.read_text(encoding="utf-8")) if tasks.is_file() else None
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], Mapping):
        return False
    return {key: item for key, item in found[0].items() if key != "name"} == {
        "hearth.llm.stack": {"name": name}
    }


def defaults(loader: DataLoader, folder: Path) -> dict[str, Any]:
    """The role's defaults, to be templated as Ansible would."""
    file = folder / "defaults" / "main.yml"
    if not file.is_file():
        return {}
    return loader.load_from_file(str(file), trusted_as_template=True) or {}
