"""Who is told which name, and how the zones change: asked from a container, from the network, and from far away.

The network and the far away are two network namespaces of the host, with addresses of such clients.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest
import yaml
from scenario import ROOT, play
from testinfra.host import Host

ADDRESS = f"10.77.{os.environ.get('HEARTH_LAB') or 0}.30"
STACK = "/opt/stacks/bind9"
# Namespace → its own address and the host's side of the line to it.
CLIENTS = {"lan": ("10.250.0.2", "10.250.0.1"), "stranger": ("203.0.113.2", "203.0.113.1")}
ASK = "dig +time=2 +tries=1 @%s"


@pytest.fixture(scope="module", autouse=True)
def clients(host: Host) -> Iterator[None]:
    for name, (own, other) in CLIENTS.items():
        steps = [
            f"ip netns add {name}",
            f"ip link add to-{name} type veth peer name eth0 netns {name}",
            f"ip address add {other}/30 dev to-{name}",
            f"ip link set to-{name} up",
            f"ip -n {name} address add {own}/30 dev eth0",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} route add default via {other}",
        ]
        host.check_output(" && ".join(steps))
    yield
    for name in CLIENTS:
        host.check_output("ip link delete to-%s && ip netns delete %s", name, name)


def ask(host: Host, client: str, question: str) -> tuple[str, list[str]]:
    """The answer's status (TIMEOUT without one) and its records, as `name type value`."""
    run = f"docker exec {client} " if client in ("caller", "bind9") else f"ip netns exec {client} "
    said = host.run(f"{run}{ASK} +noall +comments +answer {question}", ADDRESS).stdout
    status = re.search(r"status: (\w+)", said)
    lines = [line.split(maxsplit=4) for line in said.splitlines() if line and not line.startswith(";")]
    return status[1] if status else "TIMEOUT", [f"{line[0]} {line[3]} {line[4]}" for line in lines]


def values(host: Host, client: str, question: str) -> list[str]:
    return [record.split(" ", 2)[2] for record in ask(host, client, question)[1]]


def serial(host: Host, client: str = "caller") -> int:
    return int(values(host, client, "hearth.lan SOA")[0].split()[2])


def records(*more: dict[str, object]) -> list[dict[str, object]]:
    """The inventory's own records and some more."""
    text = (ROOT / "molecule" / "bind9" / "inventory.yml").read_text()
    return [*yaml.safe_load(text)["trusted"]["hosts"]["solo"]["bind9_records"], *more]


def container(host: Host) -> tuple[str, str]:
    found = json.loads(host.check_output("docker inspect bind9"))[0]
    return found["Id"], found["State"]["StartedAt"]


def files(host: Host) -> str:
    """All files of the stack with their hashes, each zone without its serial."""
    hashed = "sed -E 's/^ +[0-9]+ ; the serial.*//' \"$file\" | sha256sum"
    return host.check_output(
        f'cd {STACK}; for file in $(find . -type f | sort); do echo "$file"; {hashed}; done'
    )


@pytest.mark.parametrize("client", ["caller", "lan"])
def test_a_service_with_a_route_is_found_at_its_front_door(host: Host, client: str) -> None:
    found = ask(host, client, "page.hearth.lan")
    assert found == (
        "NOERROR",
        ["page.hearth.lan. CNAME solo.hearth.lan.", f"solo.hearth.lan. A {ADDRESS}"],
    )


def test_the_operators_records_are_there(host: Host) -> None:
    assert values(host, "lan", "nas.hearth.lan") == ["10.77.250.9"]
    assert values(host, "lan", "hearth.lan MX") == ["10 mail.example.org."]
    assert values(host, "lan", "hearth.lan TXT") == ['"v=x \\"quoted\\""']


def test_internal_names_are_for_the_platform_itself(host: Host) -> None:
    assert values(host, "caller", "vault.hearth.lan") == ["10.77.250.8"]
    assert ask(host, "lan", "vault.hearth.lan") == ("NXDOMAIN", [])


def test_the_platform_itself_learns_the_names_of_addresses(host: Host) -> None:
    assert values(host, "caller", f"-x {ADDRESS}") == ["solo.hearth.lan."]
    assert ask(host, "lan", f"-x {ADDRESS}")[0] == "REFUSED"


def test_from_far_away_nothing_is_answered(host: Host) -> None:
    for question in (
        "page.hearth.lan",
        "vault.hearth.lan",
        "hearth.lan SOA",
        "_acme-challenge.page.hearth.lan TXT",
    ):
        status, found = ask(host, "stranger", question)
        assert (status in ("REFUSED", "TIMEOUT"), found) == (True, [])


def test_names_of_others_are_looked_up_for_nobody_but_the_platform(host: Host) -> None:
    assert ask(host, "lan", "example.org")[0] == "REFUSED"
    assert ask(host, "caller", "example.org")[0] != "REFUSED"


@pytest.mark.parametrize("question", ["version.bind CH TXT", "hostname.bind CH TXT", "id.server CH TXT"])
def test_it_does_not_say_what_it_is(host: Host, question: str) -> None:
    assert values(host, "lan", question) == []


@pytest.mark.parametrize("client", ["caller", "lan"])
def test_nobody_may_have_the_whole_zone(host: Host, client: str) -> None:
    assert values(host, client, "hearth.lan AXFR") == []


def test_a_container_resolves_the_platforms_names(host: Host) -> None:
    assert host.check_output("docker exec caller getent hosts page.hearth.lan").split()[0] == ADDRESS


def test_the_serial_is_above_the_old_zones(host: Host) -> None:
    assert serial(host) > 2025101311


def update(host: Host, client: str, name: str, kind: str, key: str) -> str:
    """The server's answer to an update of one record, sent from a client's address."""
    lines = f"server {ADDRESS}\nupdate add {name} 60 {kind}\nsend\n"
    return host.run(f"printf %s | ip netns exec {client} nsupdate -k {key} 2>&1", lines).stdout


def test_proofs_of_names_can_be_written_with_the_key_and_nothing_else(host: Host) -> None:
    key, proof = f"{STACK}/secrets/acme.key", "_acme-challenge.page.hearth.lan"
    assert update(host, "lan", proof, "TXT first", key) == ""
    assert values(host, "lan", f"{proof} TXT") == values(host, "caller", f"{proof} TXT") == ['"first"']
    for name, kind in (
        (proof, "CNAME evil.example.org."),
        (f"x.{proof}", "TXT x"),
        ("page.hearth.lan", "TXT x"),
        ("new.hearth.lan", "A 6.6.6.6"),
    ):
        assert "REFUSED" in update(host, "lan", name, kind, key)
    assert "REFUSED" in update(host, "lan", proof, "TXT second", f"{STACK}/secrets/rndc.key")
    assert values(host, "lan", f"{proof} TXT") == ['"first"']


def test_an_authority_that_asks_for_a_record_finds_it_and_it_is_taken_away_again(host: Host) -> None:
    served = host.check_output(
        f"openssl s_client -connect {ADDRESS}:443 -servername page.hearth.lan </dev/null 2>/dev/null"
        " | openssl x509 -noout -issuer -ext subjectAltName"
    )
    assert "Pebble" in served
    assert "DNS:*.hearth.lan" in served
    assert values(host, "lan", "_acme-challenge.hearth.lan TXT") == []


def test_a_new_record_is_answered_without_a_restart_and_going_back_restores_all_but_the_serial(
    host: Host,
) -> None:
    before, was, first = container(host), files(host), serial(host)
    new = {"name": "new", "type": "A", "value": "10.77.250.7"}
    predicted = play("deploy-bind9", "--check", bind9_records=records(new))
    assert "config/zones/inside/hearth.lan.zone changed" in predicted
    assert serial(host) == first

    play("deploy-bind9", bind9_records=records(new))
    assert values(host, "lan", "new.hearth.lan") == ["10.77.250.7"]
    assert serial(host) > first
    assert container(host) == before
    # A record that is named's own is not lost by that.
    assert values(host, "lan", "_acme-challenge.page.hearth.lan TXT") == ['"first"']

    second = serial(host)
    play("deploy-bind9")
    assert ask(host, "lan", "new.hearth.lan") == ("NXDOMAIN", [])
    assert serial(host) > second
    assert container(host) == before
    assert files(host) == was


def test_a_zone_that_does_not_pass_its_checker_never_replaces_a_good_one(host: Host) -> None:
    """Mail may not go to an alias: nothing that an inventory is checked for, and named-checkzone knows it."""
    before, was, first = container(host), files(host), serial(host)
    wrong = {"name": "@", "type": "MX", "value": "5 page"}
    said = play("deploy-bind9", good=False, bind9_records=records(wrong))
    assert "bind9 refuses its new configuration" in said
    assert "hearth.lan/MX 'page.hearth.lan' is a CNAME (illegal)" in said
    assert (container(host), files(host), serial(host)) == (before, was, first)


def test_the_container_has_no_more_than_it_needs(host: Host) -> None:
    found = json.loads(host.check_output("docker inspect bind9"))[0]
    settings = found["HostConfig"]
    assert found["Config"]["User"] == "53:53"
    assert settings["ReadonlyRootfs"] is True
    assert (settings["CapDrop"], settings["CapAdd"]) == (["ALL"], None)
    assert settings["Memory"] > 0
    assert [mount["Type"] for mount in found["Mounts"]] == ["bind", "bind"]
    assert {item["HostIp"] for items in settings["PortBindings"].values() for item in items} == {ADDRESS}
    assert host.file(f"{STACK}/secrets/acme.key").mode == 0o400


def test_without_it_a_container_is_given_the_names_that_it_needs(host: Host) -> None:
    """Comes last: it takes BIND out of the stacks."""
    left = ["page", "caller", "bystander", "traefik"]
    play("deploy-stacks", stacks=left, page_access="lan", acme_challenge="http-01")
    assert host.run("docker inspect bind9").failed
    assert host.check_output("docker exec caller getent hosts page.hearth.lan").split()[0] == ADDRESS
    assert host.run("docker exec bystander getent hosts page.hearth.lan").failed
