"""The macros that every stack's compose.yaml is made of."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.hearth.llm.plugins.module_utils.packet_filter import BRIDGES

ROOT = Path(__file__).resolve().parents[2]
SERVICE = {
    "name": "wiki",
    "title": "Wiki",
    "description": "Pages for everybody",
    "host": "edge",
    "network": "frontend",
    "volumes": [],
    "dns": [],
    "extra_hosts": {},
    "bridge": "hearth-3fa9c1e",
    "replicas": 1,
    "replicated": None,
    "resources": {"wiki": {"cpus": 2, "memory": "1g", "reserve_cpus": 0.1, "reserve_memory": "64m"}},
}
DOCUMENT = """{% import 'stack.j2' as stack %}
{{ stack.header(service) }}
services:
  wiki:
    image: wiki:1
{{ stack.name(service, 'wiki') }}
{{ stack.defaults(service, 'wiki', **defaults) }}
{{ stack.hardening(**hardening) }}
{{ stack.footer(service, **footer) }}
"""


def render(service: dict[str, Any] | None = None, **arguments: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["to_json"] = lambda value: yaml.safe_dump(value, default_flow_style=True).strip()
    values = {"defaults": {}, "hardening": {}, "footer": {}, **arguments}
    return environment.from_string(DOCUMENT).render(service={**SERVICE, **(service or {})}, **values)


def container(**arguments: dict[str, Any]) -> dict[str, Any]:
    return yaml.safe_load(render(**arguments))["services"]["wiki"]


def test_the_file_says_what_it_is_and_where_it_came_from() -> None:
    first, second, *_rest = render().splitlines()
    assert first == "# Wiki on edge: Pages for everybody"
    assert "role wiki" in second
    assert yaml.safe_load(render())["name"] == "wiki"


def test_there_is_no_blank_noise() -> None:
    everything = render(
        {"volumes": ["wiki_pages"]},
        defaults={"devices": [{"driver": "nvidia", "count": "all"}]},
        hardening={"user": "1:1", "tmpfs": ["/tmp"], "cap_add": ["CHOWN"]},
        footer={"private": {"db": True}},
    )
    for text in (render(), everything):
        assert "\n\n" not in text
        assert not [line for line in text.splitlines() if line != line.rstrip()]
        assert text.endswith("\n")


def test_every_container_comes_back_and_cannot_fill_the_disk_or_starve_its_neighbours() -> None:
    found = container()
    assert found["restart"] == "unless-stopped"
    assert found["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert found["deploy"]["resources"] == {
        "limits": {"cpus": "2", "memory": "1g"},
        "reservations": {"cpus": "0.1", "memory": "64m"},
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [("dns", ["10.0.0.1"]), ("extra_hosts", {"auth.lan": "10.0.0.1", "wiki.lan": "fd00::1"})],
)
def test_every_container_resolves_the_platforms_names(key: str, value: Any) -> None:
    assert yaml.safe_load(render({key: value}))["services"]["wiki"][key] == value


def test_a_container_with_replicas_has_no_name_of_its_own():
    assert container()["container_name"] == "wiki"
    found = yaml.safe_load(render({"replicas": 2, "replicated": "wiki"}))["services"]["wiki"]
    assert found["deploy"]["replicas"] == 2
    assert "container_name" not in found


@pytest.mark.parametrize("which", [{"device_ids": ["GPU-1", "GPU-2"]}, {"count": "all"}])
def test_cards_are_reserved_beside_memory(which: dict[str, Any]) -> None:
    reserved = container(defaults={"devices": [{"driver": "nvidia", **which}]})["deploy"]["resources"][
        "reservations"
    ]
    assert reserved == {
        "cpus": "0.1",
        "memory": "64m",
        "devices": [{"driver": "nvidia", **which, "capabilities": ["gpu"]}],
    }


def test_a_container_has_nothing_that_it_did_not_ask_for() -> None:
    found = container()
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert not {"user", "tmpfs", "cap_add"} & set(found)


def test_what_it_asks_for_it_gets() -> None:
    asked = {"user": "1:1", "tmpfs": ["/tmp", "/run"], "cap_add": ["CHOWN"], "read_only": False}
    found = container(hardening=asked)
    assert {key: found[key] for key in ("user", "tmpfs", "cap_add")} == {
        "user": "1:1",
        "tmpfs": ["/tmp", "/run"],
        "cap_add": ["CHOWN"],
    }
    assert "read_only" not in found


def test_private_networks_have_no_way_out_unless_asked() -> None:
    found = yaml.safe_load(render(footer={"private": {"db": True, "web": False}}))
    assert found["networks"]["frontend"] == {"external": True}
    assert {
        name: row.get("internal", False) for name, row in found["networks"].items() if name != "frontend"
    } == {
        "db": True,
        "web": False,
    }
    assert "volumes" not in found


def test_a_service_that_believes_headers_meets_the_front_door_alone() -> None:
    found = yaml.safe_load(render({"network": "wiki_door"}))
    assert found["networks"] == {"wiki_door": {"external": True}}


def test_what_happens_once_is_not_started_again() -> None:
    assert container(defaults={"restart": "no"})["restart"] == "no"


def test_the_packet_filter_knows_each_private_network_by_its_bridges_name() -> None:
    found = yaml.safe_load(render(footer={"private": {"db": True, "web": False}}))["networks"]
    names = [found[name]["driver_opts"]["com.docker.network.bridge.name"] for name in ("db", "web")]
    assert len(set(names)) == 2
    assert all(fnmatchcase(name, BRIDGES) and len(name) <= 15 for name in names)


def test_named_volumes_keep_their_full_names() -> None:
    found = yaml.safe_load(render({"volumes": ["wiki_pages"]}))
    assert found["volumes"] == {"wiki_pages": {"name": "wiki_pages"}}
