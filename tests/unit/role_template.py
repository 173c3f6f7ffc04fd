"""The compose.yaml of a role as Compose reads it, for the tests of roles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import yaml


def compose(role: Path, **variables: Any) -> dict[str, Any]:
    """What the role's template makes of these variables; the filters that quote are YAML's own quoting."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([role / "templates", role.parents[1] / "templates"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["hearth.llm.compose_string"] = json.dumps
    environment.filters["to_json"] = json.dumps
    found: dict[str, Any] = yaml.safe_load(environment.get_template("compose.yaml.j2").render(variables))
    return found
