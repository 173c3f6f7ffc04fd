"""Who reaches Qdrant, with which key, and what Open WebUI is told of it."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml
from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import load_specs
from fleet import host, one

ROLES = Path(__file__).parents[2] / "roles"


def fleet(*compute: str, **variables):
    hosts = [
        host("edge", ["trusted"], "10.0.0.1", ["litellm", "openwebui", "traefik"], **variables),
        host("gpu-1", ["compute"], "10.0.0.2", ["ollama", *compute], **variables),
    ]
    platform = catalogue.resolve(load_specs([]), hosts)
    assert platform.problems == []
    return platform.fleet


def environment(role: str, service, **variables) -> dict[str, str]:
    """The env file of a service, as Docker reads it."""
    made = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    made.filters["hearth.llm.env_value"] = str
    made.filters["bool"] = bool
    text = (ROLES / role / "templates" / f"env.{role}.j2").read_text()
    defaults = ROLES / role / "defaults" / "main.yml"
    given = {**yaml.safe_load(defaults.read_text()), **service["variables"], **variables}
    secrets = {name: f"<{name}>" for name in service["secrets"]}
    given = {"secrets": secrets, "secrets_previous": {}, **given}
    lines = made.from_string(text).render(service=service, **given).splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_open_webui_keeps_vectors_where_qdrant_runs_and_has_its_key() -> None:
    settings = environment("openwebui", one(fleet("qdrant"), "openwebui"))
    assert settings["VECTOR_DB"] == "qdrant"
    assert settings["QDRANT_URI"] == "http://10.0.0.2:6333"
    assert settings["QDRANT_API_KEY"] == "<qdrant_api_key>"


def test_without_qdrant_there_is_neither_an_address_nor_a_key() -> None:
    service = one(fleet(), "openwebui")
    assert "qdrant_api_key" not in service["secrets"]
    assert not [name for name in environment("openwebui", service) if "QDRANT" in name or name == "VECTOR_DB"]


def test_no_other_service_reads_the_key() -> None:
    readers = {
        service["name"] for service in fleet("qdrant")["services"] if "qdrant_api_key" in service["secrets"]
    }
    assert readers == {"qdrant", "openwebui"}


def test_nobody_outside_reaches_it_and_it_asks_nobody() -> None:
    service = one(fleet("qdrant"), "qdrant")
    assert service["url"] is None
    settings = environment("qdrant", service)
    assert settings["QDRANT__SERVICE__API_KEY"] == "<qdrant_api_key>"
    assert settings["QDRANT__TELEMETRY_DISABLED"] == "true"
    assert settings["QDRANT__SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY"] == "false"
    assert settings["QDRANT__SERVICE__ENABLE_CORS"] == "false"


@pytest.mark.parametrize(("guard", "page"), [("internal", "false"), ("key", "false"), ("admin", "true")])
def test_the_page_is_there_where_people_may_come_in(guard: str, page: str) -> None:
    service = one(fleet("qdrant", qdrant_guard=guard), "qdrant")
    assert environment("qdrant", service)["QDRANT__SERVICE__ENABLE_STATIC_CONTENT"] == page
    assert bool(service["url"]) == (guard != "internal")


def test_while_its_key_is_rotated_the_old_one_is_the_alternate_key() -> None:
    qdrant = one(fleet("qdrant"), "qdrant")
    assert "QDRANT__SERVICE__ALT_API_KEY" not in environment("qdrant", qdrant)
    both = environment("qdrant", qdrant, secrets_previous={"qdrant_api_key": "<old>"})
    assert both["QDRANT__SERVICE__ALT_API_KEY"] == "<old>"
    assert both["QDRANT__SERVICE__API_KEY"] == "<qdrant_api_key>"
