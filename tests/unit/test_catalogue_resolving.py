"""How containers resolve the platform's names, and the ports that a service publishes beside its API."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.module_utils.preflight import problems as in_the_way
from ansible_collections.hearth.llm.plugins.module_utils.service_file import SpecError, read
from fleet import NAMES, PAGE, host, one, resolved, specs, two_hosts


def with_names(hosts, on=0, **variables):
    changed = dict(hosts[on].variables, **variables)
    changed["stacks"] = [*changed["stacks"], "names"]
    return [replace(item, variables=changed) if n == on else item for n, item in enumerate(hosts)]


def test_containers_of_all_hosts_ask_the_platforms_resolver():
    fleet = resolved(with_names(two_hosts()))
    assert one(fleet, "page")["dns"] == one(fleet, "model")["dns"] == ["10.0.0.1"]
    assert not any(service["extra_hosts"] for service in fleet["services"])


def test_the_resolver_does_not_ask_itself():
    assert one(resolved(with_names(two_hosts())), "names")["dns"] == []


@pytest.mark.parametrize("variables", [{"names_port": 5353}, {"address": "127.0.0.1"}])
def test_what_containers_cannot_ask_is_no_resolver(variables):
    fleet = resolved(with_names(two_hosts(), **variables))
    assert one(fleet, "model")["dns"] == []


def test_without_a_resolver_a_service_knows_the_names_that_it_uses_and_no_other():
    fleet = resolved(two_hosts())
    assert one(fleet, "page")["extra_hosts"] == {"gate.lan": "10.0.0.1"}
    assert one(fleet, "gate")["extra_hosts"] == {}
    assert one(fleet, "page")["dns"] == []


def signing_in(signs_in_at="gpu-1"):
    """Page, which signs people in itself, with the sign-on service's front door on `edge`."""
    page = {**PAGE, "tier": "every", "http": {"port": 8080, "routes": [{"guard": "oidc"}]}}
    auth = {
        "title": "Auth",
        "tier": "trusted",
        "sign_on": {
            "container": "outpost",
            "port": 9000,
            "path": "/outpost",
            "check": "/outpost/auth",
            "issuer": "/{name}/",
        },
        "variables": {"auth_hostname": "auth"},
        "http": {"port": 9000, "routes": [{"guard": "open"}]},
    }
    all_specs = {
        **specs(),
        "page": read("page", "t.page", page, {}),
        "auth": read("auth", "t.auth", auth, {}),
    }
    hosts = two_hosts()
    hosts[0].variables["stacks"] = ["door", "gate", "auth"]
    hosts[0 if signs_in_at == "edge" else 1].variables["stacks"].append("page")
    return one(catalogue.resolve(all_specs, hosts).fleet, "page")


def test_who_signs_people_in_itself_knows_the_sign_on_service_by_its_public_name():
    assert signing_in("gpu-1")["extra_hosts"] == {"auth.lan": "10.0.0.1", "gate.lan": "10.0.0.1"}


def test_on_the_front_doors_host_the_door_itself_has_that_name():
    assert signing_in("edge")["extra_hosts"] == {"gate.lan": "10.0.0.1"}


def test_a_name_on_the_loopback_would_lead_a_container_to_itself():
    fleet = resolved([host("box", ["trusted", "compute"], "127.0.0.1", ["door", "gate", "page", "model"])])
    assert one(fleet, "page")["extra_hosts"] == {}


def test_another_service_elsewhere_changes_no_container_of_the_others():
    before = resolved(with_names(two_hosts()))
    more = host("gpu-2", ["compute"], "10.0.0.3", ["model"])
    after = resolved([*with_names(two_hosts()), more])
    for service in before["services"]:
        now = one(after, service["name"], service["host"])
        assert (now["dns"], now["extra_hosts"]) == (service["dns"], service["extra_hosts"])


def test_what_a_service_listens_on_stands_in_the_catalogue():
    row = {"name": "dns", "address": "10.0.0.1", "port": 5353, "container_port": 53}
    row |= {"open_to": "anyone", "variable": "names_port"}
    fleet = resolved(with_names(two_hosts(), names_port=5353, names_open_to="anyone"))
    assert one(fleet, "names")["listens"] == [{**row, "protocol": "udp"}, {**row, "protocol": "tcp"}]


def test_a_port_of_both_protocols_is_taken_once_each():
    found = catalogue.resolve(specs(), with_names(two_hosts(), names_port=443)).problems
    assert [(item.variable, item.expected) for item in found] == [
        ("door_https_port", "also names_port of names on edge")
    ]


def look(*listening):
    return {
        "engine": {"running": True, "version": "26.1.5", "compose": "2.26.1"},
        "system": {"arch": "x86_64"},
        "disks": {},
        "listening": listening,
        "stacks": {},
    }


def socket(address, protocol, holder):
    return {"address": address, "port": 53, "protocol": protocol, "holder": holder, "pid": 1}


def test_a_busy_udp_port_is_found_and_the_hosts_own_resolver_is_no_hindrance():
    services = [one(resolved(with_names(two_hosts())), "names")]
    own = [socket("127.0.0.53", protocol, "systemd-resolve") for protocol in ("udp", "tcp")]
    assert in_the_way("edge", services, look(*own), True) == []
    [found] = in_the_way("edge", services, look(*own, socket("0.0.0.0", "udp", "dnsmasq")), True)
    assert (found.variable, found.value) == ("names_port", "53")
    assert "dnsmasq (process 1)" in found.expected


def test_names_and_their_users_go_stale_together():
    fleet = resolved(with_names(two_hosts()))
    assert "names" in [item["name"] for item in catalogue.dependents(fleet, "gpu-1", "model")]
    everybody = {item["name"] for item in fleet["services"]} - {"names"}
    assert {item["name"] for item in catalogue.dependents(fleet, "edge", "names")} == everybody


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resolver": {**NAMES["resolver"], "port": "names_prt"}}, "names_prt, not in variables"),
        ({"listens": {"dns": {**NAMES["listens"]["dns"], "port": "53"}}}, "listens.dns.port names 53"),
        ({"listens": {"dns": {**NAMES["listens"]["dns"], "protocols": ["dccp"]}}}, "udp and tcp"),
        (
            {"listens": {"dns": {**NAMES["listens"]["dns"], "open_to": "friends"}}},
            "platform, private, anyone",
        ),
    ],
)
def test_a_description_that_cannot_be_is_refused(change, words):
    with pytest.raises(SpecError, match=words):
        read("names", "t.names", {**NAMES, **change}, {})
