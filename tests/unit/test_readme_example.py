"""The README's service of one's own is complete: it resolves, renders, and is what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible_collections.hearth.llm.plugins.module_utils import catalogue, quoting, view_traefik
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import load_specs
from fleet import host, one

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```yaml\n# services/(\S+?)(?::[^\n]*)?\n(.*?)```", re.DOTALL)


@pytest.fixture
def services(tmp_path: Path) -> Path:
    for path, text in BLOCK.findall((ROOT / "README.md").read_text()):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_it_is_deployed_like_ours(services: Path) -> None:
    hosts = [
        host("edge", ["trusted"], "10.0.0.1", ["handbook", "traefik"], traefik_users=[{"name": "family"}])
    ]
    platform = catalogue.resolve(load_specs([services]), hosts)
    assert platform.problems == []
    service = one(platform.fleet, "handbook")
    assert service["url"] == f"https://handbook.{service['domain']}"

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["to_json"] = json.dumps
    environment.filters["hearth.llm.compose_string"] = quoting.compose_string
    environment.filters["hearth.llm.traefik_labels"] = view_traefik.labels
    template = (services / "handbook/templates/compose.yaml.j2").read_text()
    made = yaml.safe_load(environment.from_string(template).render(service=service))["services"]["handbook"]
    assert made["volumes"] == ["/srv/docker/handbook/pages:/pages:ro"]
    assert made["read_only"] is True
    assert "basic@file" in made["labels"]["traefik.http.routers.handbook.middlewares"]
