"""Who may reach a published port, from the inventory alone."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils.platform import PRIVATE_RANGES
from ansible_collections.hearth.llm.plugins.module_utils.view_filter import admitted
from fleet import host, one, resolved, two_hosts

LISTEN = {"name": "dns", "address": "10.0.0.1", "port": 53, "protocol": "udp"}


def by_port(fleet, name):
    return {row["port"]: row for row in admitted(fleet, name)}


def test_a_model_server_is_for_the_hosts_of_those_who_use_it():
    [row] = admitted(resolved(two_hosts()), "gpu-1")
    assert (row["address"], row["port"], row["protocol"]) == ("10.0.0.2", 11434, "tcp")
    assert row["sources"] == ["10.0.0.1"]
    assert row["what"] == "Model, for gate on edge"


def test_a_second_trusted_host_without_a_consumer_is_not_let_in():
    hosts = [*two_hosts(), host("page-2", ["trusted"], "10.0.0.3", [])]
    assert by_port(resolved(hosts), "gpu-1")[11434]["sources"] == ["10.0.0.1"]


def test_a_host_behind_nat_is_known_by_where_its_connections_come_from():
    hosts = two_hosts(source_addresses=["192.0.2.7", "fd00:2::/64"])
    assert by_port(resolved(hosts), "gpu-1")[11434]["sources"] == ["192.0.2.7/32", "fd00:2::/64"]


def test_what_nobody_uses_is_for_nobody():
    hosts = two_hosts()
    hosts[0].variables["stacks"] = ["door"]
    assert by_port(resolved(hosts), "gpu-1")[11434]["sources"] == []


@pytest.mark.parametrize(
    ("access", "address", "sources"),
    [("local", "127.0.0.1", []), ("lan", None, list(PRIVATE_RANGES)), ("public", None, None)],
)
def test_the_front_door_is_as_wide_as_the_way_of_access(access, address, sources):
    hosts = two_hosts()
    for each in hosts:
        each.variables.update(access=access, domain="example.org", acme_email="a@example.org")
    rows = [row for row in admitted(resolved(hosts), "edge") if row["port"] == 443]
    assert (rows[0]["address"], rows[0]["sources"]) == (address, sources)
    assert {row["port"] for row in admitted(resolved(hosts), "edge")} == {80, 443}


def test_one_public_service_opens_the_door_to_everyone():
    fleet = resolved(two_hosts())
    one(fleet, "page")["access"] = "public"
    assert by_port(fleet, "edge")[443]["sources"] is None


def test_a_front_door_elsewhere_is_let_in_to_what_it_fronts():
    fleet = resolved(two_hosts())
    one(fleet, "model")["front"] = "edge"
    one(fleet, "gate")["uses"] = {}
    assert by_port(fleet, "gpu-1")[11434]["sources"] == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("open_to", "sources", "containers"),
    [
        ("private", [*PRIVATE_RANGES, "10.0.0.1", "10.0.0.2"], True),
        ("platform", ["10.0.0.1", "10.0.0.2"], True),
        ("anyone", None, False),
    ],
)
def test_what_a_service_listens_on_is_open_as_far_as_it_says(open_to, sources, containers):
    fleet = resolved(two_hosts())
    one(fleet, "gate")["listens"] = [{**LISTEN, "open_to": open_to}]
    row = by_port(fleet, "edge")[53]
    assert (row["protocol"], row["sources"], row["containers"]) == ("udp", sources, containers)
