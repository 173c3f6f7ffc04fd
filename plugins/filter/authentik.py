# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the authentik view: documented in authentik_blueprint.yml and authentik_secret_variable.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from ansible_collections.hearth.llm.plugins.module_utils import view_authentik


class FilterModule:
    """authentik_blueprint and authentik_secret_variable."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "authentik_blueprint": blueprint,
            "authentik_secret_variable": view_authentik.secret_variable,
        }


def blueprint(fleet: Mapping[str, Any]) -> str:
    """The platform's blueprint as YAML with authentik's tags."""
    return yaml.dump(view_authentik.blueprint(fleet), Dumper=_Dumper, sort_keys=False, width=1000)


class _Dumper(yaml.SafeDumper):
    """Writes Tag, and never `&id001` for a value that comes twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _tag(dumper: _Dumper, tag: view_authentik.Tag) -> yaml.Node:
    if isinstance(tag.value, str):
        return dumper.represent_scalar(f"!{tag.name}", tag.value)
    items = [list(item) if isinstance(item, tuple) else item for item in tag.value]
    return dumper.represent_sequence(f"!{tag.name}", items, flow_style=True)


_Dumper.add_representer(view_authentik.Tag, _tag)
