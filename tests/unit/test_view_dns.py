"""The platform's names as zones, and what an operator can get wrong about them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.module_utils.dns_records import Wrong, parse, text_value
from ansible_collections.hearth.llm.plugins.module_utils.view_dns import networks, problems, zones
from fleet import host, resolved, specs, two_hosts


def platform(*more, on=0, **variables):
    """Two hosts of which `edge` runs the resolver, and perhaps more hosts."""
    hosts = two_hosts()
    changed = {"names_records": [], **hosts[on].variables, **variables}
    changed["stacks"] = [*changed["stacks"], "names"]
    hosts[on] = replace(hosts[on], variables=changed, names=tuple(changed))
    return [*hosts, *more]


def zone(fleet, view="inside", name="lan"):
    [found] = [item for item in zones(fleet, "edge")[view] if item["name"] == name]
    return {(row["owner"], row["type"], row["value"]) for row in found["records"]}


def wrong(*more, **variables):
    return {item.variable: item for item in catalogue.resolve(specs(), platform(*more, **variables)).problems}


def test_a_service_with_a_route_is_an_alias_of_its_front_doors_host():
    assert {("gate", "CNAME", "edge.lan."), ("page", "CNAME", "edge.lan.")} <= zone(resolved(platform()))


def test_outsiders_see_what_has_a_route_and_the_hosts_that_it_leads_to():
    assert zone(resolved(platform()), "outside") == {
        ("edge", "A", "10.0.0.1"),
        ("gate", "CNAME", "edge.lan."),
        ("page", "CNAME", "edge.lan."),
    }


def test_a_service_without_a_route_is_an_alias_of_its_host_for_the_platform_itself():
    inside = zone(resolved(platform()))
    assert {("model", "CNAME", "gpu-1.lan."), ("gpu-1", "A", "10.0.0.2")} <= inside


def test_a_service_of_several_hosts_has_their_addresses():
    inside = zone(resolved(platform(host("gpu-2", ["compute"], "fd00::3", ["model"]))))
    assert {("model", "A", "10.0.0.2"), ("model", "AAAA", "fd00::3"), ("gpu-2", "AAAA", "fd00::3")} <= inside


def test_addresses_have_names_in_the_zones_of_their_networks_for_the_platform_itself():
    fleet = resolved(platform(host("gpu-2", ["compute"], "fd00::3", ["model"])))
    assert zone(fleet, name="0.0.10.in-addr.arpa") == {
        ("1", "PTR", "edge.lan."),
        ("2", "PTR", "gpu-1.lan."),
    }
    network = ".".join(["0"] * 14 + ["d", "f", "ip6", "arpa"])
    assert zone(fleet, name=network) == {("3" + ".0" * 15, "PTR", "gpu-2.lan.")}
    assert [item["name"] for item in zones(fleet, "edge")["outside"]] == ["lan"]


def test_a_public_address_is_in_nobodys_reverse_zone():
    found = zones(resolved(platform(host("gpu-2", ["compute"], "8.8.4.4", ["model"]))), "edge")
    assert [item["name"] for item in found["inside"]] == ["lan", "0.0.10.in-addr.arpa"]


def test_an_own_record_in_a_hosts_network_has_its_name_there_too():
    records = [{"name": "nas", "type": "A", "value": "10.0.0.9"}]
    assert ("9", "PTR", "nas.lan.") in zone(
        resolved(platform(names_records=records)), name="0.0.10.in-addr.arpa"
    )


def test_an_internal_record_is_seen_inside_only():
    records = [{"name": "nas", "type": "A", "value": "10.0.0.9", "internal": True}]
    fleet = resolved(platform(names_records=records))
    assert ("nas", "A", "10.0.0.9") in zone(fleet)
    assert ("nas", "A", "10.0.0.9") not in zone(fleet, "outside")


def test_the_order_of_the_inventory_is_not_in_the_zones():
    records = [{"name": name, "type": "TXT", "value": "x"} for name in ("b", "a")]
    one_way = zones(resolved(platform(names_records=records)), "edge")
    assert one_way == zones(resolved(platform(names_records=records[::-1])), "edge")


def test_every_resolver_is_a_server_of_the_zones_and_the_first_of_its_own():
    second = host("edge-2", ["trusted"], "10.0.0.4", ["names"])
    [found] = zones(resolved(platform(second)), "edge-2")["outside"]
    assert found["primary"] == "edge-2.lan."
    assert found["servers"] == ["edge-2.lan.", "edge.lan."]


def proven_by_record(fleet):
    """The fleet with a certificate for Page by dns-01."""
    services = [{**item, "acme": "dns-01"} if item["name"] == "page" else item for item in fleet["services"]]
    return {**fleet, "services": services}


def test_names_that_are_proven_by_a_record_have_zones_for_it_and_other_names_none():
    fleet = resolved(platform())
    assert zones(fleet, "edge")["challenges"] == []
    fleet = proven_by_record(fleet)
    names = ["_acme-challenge.lan", "_acme-challenge.page.lan"]
    assert [item["name"] for item in zones(fleet, "edge")["challenges"]] == names
    delegations = {("_acme-challenge", "NS", "edge.lan."), ("_acme-challenge.page", "NS", "edge.lan.")}
    assert delegations <= zone(fleet, "outside")


def test_nothing_else_is_written_into_a_zone_of_proofs():
    records = [{"name": "_acme-challenge.page.lan", "type": "TXT", "value": "x"}]
    [found] = problems(proven_by_record(resolved(platform(names_records=records))))
    assert (found.variable, found.expected) == (
        "names_records[0].name",
        "is already the proofs of ACME, which are written by updates",
    )


def test_a_resolver_has_to_see_who_asks():
    assert "cannot tell who asks" in wrong(address="fd00::1")["address"].expected


def test_inside_is_where_the_hosts_of_the_platform_come_from():
    fleet = resolved(
        platform(host("gpu-2", ["compute"], "10.0.0.3", ["model"], source_addresses=["192.0.2.6/31"]))
    )
    found = networks(fleet)
    assert found["inside"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.6/31"]
    assert "10.0.0.0/8" in found["private"]


def test_a_host_whose_inventory_name_is_no_label_gets_one():
    fleet = resolved(platform(host("gpu_2.lan", ["compute"], "10.0.0.3", ["model"])))
    assert ("gpu-2", "A", "10.0.0.3") in zone(fleet)


@pytest.mark.parametrize(
    ("written", "owner", "value"),
    [
        ({"name": "NAS", "type": "A", "value": "10.0.0.9"}, "nas", "10.0.0.9"),
        ({"name": "nas.lan.", "type": "AAAA", "value": "FD00::0:9"}, "nas", "fd00::9"),
        ({"name": "@", "type": "MX", "value": "10 mail"}, "@", "10 mail.lan."),
        ({"name": "lan", "type": "MX", "value": "10 mx.example.org"}, "@", "10 mx.example.org."),
        ({"name": "*.apps.lan", "type": "CNAME", "value": "edge"}, "*.apps", "edge.lan."),
        ({"name": "_sip._tcp", "type": "SRV", "value": "0 5 5060 sip"}, "_sip._tcp", "0 5 5060 sip.lan."),
        ({"name": "@", "type": "TXT", "value": 'v=x "y\\z" ø'}, "@", '"v=x \\"y\\\\z\\" \\195\\184"'),
        ({"name": "@", "type": "CAA", "value": "0 issue example.org"}, "@", '0 issue "example.org"'),
    ],
)
def test_a_record_becomes_what_a_zone_file_holds(written, owner, value):
    found = parse(written, ["lan"])
    assert (found.owner, found.value) == (owner, value)


def test_long_text_is_cut_into_strings():
    assert text_value("a" * 256) == f'"{"a" * 255}" "a"'


@pytest.mark.parametrize(
    ("written", "key", "words"),
    [
        ({"name": "nas.example.org", "type": "A", "value": "10.0.0.9"}, "name", "outside the zone lan"),
        ({"name": "nas.example.org.", "type": "A", "value": "10.0.0.9"}, "name", "outside the zone lan"),
        ({"name": "my_nas", "type": "A", "value": "10.0.0.9"}, "name", "no name in DNS"),
        ({"name": "nas-", "type": "TXT", "value": "x"}, "name", "no name in DNS"),
        ({"name": "a" * 64, "type": "TXT", "value": "x"}, "name", "no name in DNS"),
        ({"name": "a b", "type": "TXT", "value": "x"}, "name", "no name in DNS"),
        ({"name": "a\nb", "type": "TXT", "value": "x"}, "name", "no name in DNS"),
        ({"name": "nas", "type": "A", "value": "10.0.0.256"}, "value", "not an IPv4 address"),
        ({"name": "nas", "type": "A", "value": "fd00::1"}, "value", "not an IPv4 address"),
        ({"name": "nas", "type": "AAAA", "value": "10.0.0.1"}, "value", "not an IPv6 address"),
        ({"name": "@", "type": "CNAME", "value": "edge"}, "name", "no other name's alias"),
        ({"name": "www", "type": "CNAME", "value": "a b"}, "value", "not a host's name"),
        ({"name": "@", "type": "MX", "value": "mail"}, "value", "1 numbers"),
        ({"name": "_s._tcp", "type": "SRV", "value": "0 5 70000 sip"}, "value", "3 numbers"),
        ({"name": "@", "type": "TXT", "value": "a\n@ A 6.6.6.6"}, "value", "line break"),
        ({"name": "@", "type": "CAA", "value": "issue example.org"}, "value", "a flag, a tag"),
        ({"name": "nas", "type": "A", "value": "10.0.0.9", "ttl": -1}, "ttl", "time in seconds"),
    ],
)
def test_a_record_that_cannot_be_is_told_with_its_part(written, key, words):
    with pytest.raises(Wrong, match=words) as told:
        parse(written, ["lan"])
    assert told.value.key == key
    assert told.value.remedy


@pytest.mark.parametrize(
    ("variables", "variable", "words"),
    [
        (
            {"names_records": [{"name": "page", "type": "A", "value": "10.0.0.9"}]},
            "names_records[0].name",
            "already the name of page on edge",
        ),
        (
            {"names_records": [{"name": "gpu-1", "type": "A", "value": "10.0.0.9"}]},
            "names_records[0].name",
            "already the name of the host gpu-1",
        ),
        (
            {"names_records": [{"name": "page", "type": "TXT", "value": "x"}]},
            "names_records[0].name",
            "already the name of page on edge",
        ),
        (
            {"names_records": [{"name": "w", "type": t, "value": "edge"} for t in ("CNAME", "CNAME")]},
            "names_records[1].name",
            "already the CNAME record names_records[0]",
        ),
        ({"page_hostname": "gpu-1"}, "page_hostname", "already the name of the host gpu-1"),
        ({"page_hostname": "model"}, "stacks", "already the name of page on edge"),
        ({"names_forwarders": ["dns.example.org"]}, "names_forwarders[0]", "not an IP address"),
        ({"names_resolves_for": ["192.168.1.5/24"]}, "names_resolves_for[0]", "not a network"),
    ],
)
def test_what_clashes_is_told_before_anything_is_touched(variables, variable, words):
    assert words in wrong(**variables)[variable].expected


def test_a_host_that_cannot_be_named_is_told():
    found = wrong(host("gpu 2", ["compute"], "10.0.0.3", ["model"]))
    assert "no name in DNS" in found["inventory_hostname"].expected


def test_records_beside_each_other_are_no_clash():
    rows = [("@", "TXT", "a"), ("@", "TXT", "b"), ("@", "MX", "10 mail"), ("edge", "TXT", "x")]
    records = [{"name": name, "type": kind, "value": value} for name, kind, value in rows]
    records += [{"name": "nas", "type": "A", "value": f"10.0.0.{n}"} for n in (8, 9)]
    assert wrong(names_records=records) == {}
