"""The packet filter as text, what differs on a host, and what keeps it from working. What it does: molecule/host."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import packet_filter
from ansible_collections.hearth.llm.plugins.module_utils.catalogue import resolve
from fleet import host, resolved, specs, two_hosts

FLEET = resolved(two_hosts())
OLD = {"state": {"format": 1}, "containers": {}, "transaction": None}
IN_ORDER = {"installed": True, "error": None, "loaded": True, "as_file": True, "enabled": True}


def look(**more):
    system = {"uid": 0, "systemd": True}
    found = {"stacks": {}, "listening": [], "frontend_bridge": "hearth-frontend", "system": system}
    return {**found, "container": {"kind": None}, "filter": {**IN_ORDER, "file": None}, **more}


def rules(text):
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line.endswith("reject") and "hearth-*" not in line]


def test_a_published_port_is_refused_to_all_but_its_users():
    text = packet_filter.table(FLEET, "gpu-1")
    assert rules(text) == ["ip daddr 10.0.0.2 tcp dport 11434 ip saddr != { 10.0.0.1 } reject"]
    assert "# Model, for gate on edge" in text


def test_ranges_come_by_family_and_without_those_that_others_contain():
    text = packet_filter.table(
        resolved(two_hosts(private_ranges=["10.0.0.0/8", "10.1.0.0/16", "fc00::/7"])), "edge"
    )
    assert rules(text)[:2] == [
        "fib daddr type local tcp dport 80 ip saddr != { 10.0.0.0/8 } reject",
        "fib daddr type local tcp dport 80 ip6 saddr != { fc00::/7 } reject",
    ]


def test_what_is_for_nobody_is_refused_to_all():
    hosts = two_hosts()
    hosts[1].variables["address"] = "fd00::2"
    assert rules(packet_filter.table(resolved(hosts), "gpu-1")) == [
        "ip6 daddr fd00::2 tcp dport 11434 meta nfproto ipv6 reject"
    ]


def test_what_everyone_may_reach_has_no_rule():
    hosts = two_hosts()
    for each in hosts:
        each.variables.update(access="public", domain="example.org", acme_email="a@example.org")
    assert rules(packet_filter.table(resolved(hosts), "edge")) == []


def test_ssh_and_every_port_that_hearth_does_not_publish_are_not_named():
    for name in ("edge", "gpu-1"):
        text = packet_filter.table(FLEET, name)
        assert "policy accept" in text
        assert "policy drop" not in text
        assert " 22 " not in text


def test_a_stack_that_is_yet_to_be_stopped_stays_closed_to_strangers():
    held = {"port": 9000, "address": "0.0.0.0", "protocol": "tcp6", "project": "old"}
    stranger = {**held, "port": 9001, "project": "theirs"}
    seen = look(stacks={"old": OLD}, listening=[held, stranger])
    rule = (
        'fib daddr type local tcp dport 9000 iifname != "hearth-*" ip saddr != { 10.0.0.1, 10.0.0.2 } reject'
    )
    text = packet_filter.table(FLEET, "edge", seen)
    assert rule in text
    assert "9001" not in text
    assert "9000" not in packet_filter.table(FLEET, "edge", look())


def test_a_network_frontend_that_was_there_before_is_kept_apart_too():
    text = packet_filter.table(FLEET, "edge", look(frontend_bridge="br-0123456789ab"))
    assert (
        'iifname != "hearth-*" iifname != "br-0123456789ab" fib daddr oifname "br-0123456789ab" reject'
        in text
    )
    assert "br-" not in packet_filter.table(FLEET, "edge", look())


def test_a_host_that_publishes_nothing_or_has_it_switched_off_has_no_filter():
    hosts = [*two_hosts(packet_filter=False), host("idle", ["compute"], "10.0.0.9", [])]
    fleet = resolved(hosts)
    assert packet_filter.table(fleet, "idle") is None
    assert packet_filter.table(fleet, "edge") is None
    assert packet_filter.table(fleet, "gpu-1") is not None


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        ({"file": "rules"}, []),
        ({"file": None, "loaded": False, "enabled": False}, ["is not installed"]),
        ({"file": "others"}, ["/etc/hearth/filter.nft changed"]),
        ({"file": "rules", "loaded": False}, ["is not loaded"]),
        ({"file": "rules", "as_file": False}, ["what is loaded is not what its file says"]),
        (
            {"file": "rules", "enabled": False},
            ["hearth-filter.service is not enabled, so the next boot comes without it"],
        ),
    ],
)
def test_each_difference_is_named(found, reasons):
    assert packet_filter.differences("rules", {**IN_ORDER, **found}) == reasons


def test_a_filter_that_is_not_wanted_differs_until_it_is_gone():
    assert packet_filter.differences(None, {**IN_ORDER, "file": "rules"}) == ["is there and not wanted"]
    assert packet_filter.differences(None, {**IN_ORDER, "file": None}) == ["is there and not wanted"]
    assert packet_filter.differences(None, {**IN_ORDER, "file": None, "loaded": False}) == []


@pytest.mark.parametrize(
    ("seen", "expected", "remedy"),
    [
        (look(system={"uid": 1000, "systemd": True}), "needs root", "become"),
        (look(system={"uid": 0, "systemd": False}), "systemd", "packet_filter: false"),
        (
            look(filter={"error": "Operation not permitted"}),
            "Operation not permitted",
            "load the kernel modules",
        ),
        (
            look(filter={"error": "Operation not permitted"}, container={"kind": "lxc"}),
            "cannot be used here",
            "on the machine that this container runs on: modprobe nf_tables",
        ),
    ],
)
def test_a_host_where_it_cannot_work_is_named_before_anything_is_touched(seen, expected, remedy):
    [problem] = packet_filter.problems("edge", "rules", seen)
    assert expected in problem.expected
    assert remedy in problem.remedy
    assert packet_filter.problems("edge", None, seen) == []


@pytest.mark.parametrize("name", ["source_addresses", "private_ranges"])
def test_a_bad_range_is_reported_with_its_place(name):
    [problem] = resolve(specs(), two_hosts(**{name: ["10.0.0.0/8", "10.0.0.1/8"]})).problems
    assert (problem.host, problem.variable, problem.value) == ("edge", f"{name}[1]", "10.0.0.1/8")
    assert "host bits" in problem.expected
