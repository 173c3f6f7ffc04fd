"""People go on asking while routes, the gateway's configuration and its replicas' image change: none is turned away."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

import pytest

from .gateway import HOST, STACKS, Load, Names, Solo

pytestmark = pytest.mark.lab

REPLICAS = {"litellm_replicas": 2, "litellm_resources": {"litellm": {"cpus": 2, "memory": "1500m"}}}


@pytest.fixture(scope="module")
def two(solo: Solo) -> Solo:
    """The platform with two replicas of the gateway."""
    solo.write(**REPLICAS)
    solo.deploy().succeeded()
    assert len(replicas(solo)) == 2
    return solo


def replicas(solo: Solo) -> dict[str, str]:
    """Container id → image of the gateway's replicas that are healthy."""
    listed = solo.host(
        "docker ps --no-trunc --filter label=com.docker.compose.service=litellm --filter health=healthy"
        " --format '{{.ID}} {{.Image}}'"
    )
    return dict(line.split() for line in listed.splitlines())


def test_a_second_replica_loses_no_request(solo: Solo) -> None:
    assert len(replicas(solo)) == 1
    with Load(solo) as load:
        load.more()
        solo.write(**REPLICAS)
        run = solo.deploy("--tags", "litellm").succeeded()
        load.more()
    print(dict(load.answers))
    assert not load.lost, load.lost
    assert "stops it all the same" not in run.output
    assert len(replicas(solo)) == 2


def test_both_replicas_answer(two: Solo) -> None:
    since = two.host("date +%s").strip()
    with Load(two) as load:
        load.more(40)
    asked = asked_replicas(two, since)
    assert not load.lost
    assert len([count for count in asked.values() if count >= 10]) == 2, asked


def asked_replicas(solo: Solo, since: str) -> Counter[str]:
    """Address of a replica → how many completions the front door has asked of it."""
    return Counter(row["ServiceAddr"] for row in completions(solo, since))


def completions(solo: Solo, since: str) -> list[dict[str, Any]]:
    """What the front door noted of completions that ended since then."""
    lines = solo.host(f"docker logs --since {since} traefik 2>&1").splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return [row for row in rows if row.get("RequestPath") == "/v1/chat/completions"]


def test_a_new_route_loses_no_request(two: Solo) -> None:
    """Another name behind Traefik, in its labels, its certificate and its dynamic configuration, and back."""
    before = started(two, "traefik")
    with Load(two) as load:
        load.more()
        two.deploy("-e", "openwebui_hostname=talk", "-e", "traefik_rate_limit=90").succeeded()
        load.more()
        assert page(two, "talk") == 200
        assert page(two, "chat") == 404
        assert "90" in two.host("grep -i average /opt/stacks/traefik/config/dynamic/middlewares.yaml")
        two.deploy().succeeded()
        load.more()
    print(dict(load.answers))
    assert not load.lost, load.lost
    assert page(two, "chat") == 200
    assert started(two, "traefik") == before


def started(solo: Solo, container: str) -> str:
    """Which container has this name, and since when it runs."""
    return solo.host(f"docker inspect {container} --format '{{{{.Id}}}} {{{{.State.StartedAt}}}}'")


def page(solo: Solo, name: str) -> int:
    """The status of a name's page, trusting the platform's certificates only."""
    context = ssl.create_default_context(cafile=str(solo.ca))
    try:
        with urllib.request.urlopen(f"https://{name}.hearth.lan/", context=context, timeout=60) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_new_client_is_taken_as_they_run(two: Solo) -> None:
    """The replicas read the file of keys anew by themselves."""
    before = replicas(two)
    with Load(two) as load:
        load.more()
        two.write(**REPLICAS, litellm_clients=[{"name": "editor"}])
        two.play("secrets").succeeded()
        assert two.deploy("--tags", "litellm").succeeded().changed == 1
        load.more()
    assert not load.lost, load.lost
    assert replicas(two) == before
    with Load(two, key="litellm_client_editor") as load:
        load.more()
    assert not load.lost, load.lost


def test_a_new_configuration_loses_no_request(two: Solo) -> None:
    before = replicas(two)
    with Load(two) as load:
        load.more()
        run = two.deploy(
            "--tags", "litellm", "-e", json.dumps({"litellm_aliases": {"chat": "tiny"}})
        ).succeeded()
        load.more()
    print(dict(load.answers))
    assert not load.lost, load.lost
    assert "drains" in run.output
    assert len(replicas(two)) == 2
    assert not set(before) & set(replicas(two))


def test_labels_that_change_lose_no_request(two: Solo) -> None:
    """Old and new replicas stand side by side, and tell Traefik different things."""
    with Load(two) as load:
        load.more()
        two.deploy("--tags", "litellm", "-e", "litellm_access=lan").succeeded()
        load.more()
        assert "private-only" in two.host(
            "docker ps -q --filter label=com.docker.compose.service=litellm"
            " | xargs docker inspect --format '{{json .Config.Labels}}'"
        )
    print(dict(load.answers))
    assert not load.lost, load.lost


def test_a_new_image_loses_no_request(two: Solo) -> None:
    image = next(iter(replicas(two).values()))
    name, _colon, tag = image.rpartition(":")
    two.host(
        f"docker rm -f other 2>/dev/null; docker create --name other {image} &&"
        f" docker commit --change 'LABEL which=other' other {name}:{tag}-other && docker rm other"
    )
    with Load(two) as load:
        load.more()
        two.deploy("--tags", "litellm", "-e", json.dumps({"litellm_version": f"{tag}-other"})).succeeded()
        load.more()
    print(dict(load.answers))
    assert not load.lost, load.lost
    assert set(replicas(two).values()) == {f"{name}:{tag}-other"}
    two.deploy("--tags", "litellm").succeeded()


def back(solo: Solo) -> None:
    """Return when both replicas are healthy."""
    both = "[ $(docker ps -q --filter health=healthy --filter name=litellm-litellm | wc -l) = 2 ]"
    solo.host(f"until {both}; do sleep 1; done")


def test_a_killed_replica_loses_no_request(two: Solo) -> None:
    """What it held is asked of the other one: nothing of an answer had come."""
    victim, _other = sorted(replicas(two))
    with Load(two, clients=6) as load:
        load.more()
        two.host(f"kill -9 $(docker inspect {victim} --format '{{{{.State.Pid}}}}')")
        load.more(60)
        back(two)
        load.more(60)
    print(dict(load.answers))
    assert not load.lost, load.lost


def test_a_frozen_replica_loses_no_request_and_comes_back(two: Solo) -> None:
    """It takes requests and answers none. Those that come new are not kept waiting; the others until it is ended."""
    victim, _other = sorted(replicas(two))
    state = f"docker inspect {victim} --format '{{{{.State.StartedAt}}}}'"
    before = two.host(state).strip()
    with Load(two, clients=6) as load:
        load.more()
        since = two.host("date +%s").strip()
        # Both of LiteLLM's: the one that serves, and the one that waits for it. Not Docker's init, nor a health check.
        two.host(f"docker top {victim} -eo pid,args | awk '/bin.litellm/ {{print $1}}' | xargs kill -STOP")
        two.host("sleep 8")
        later = two.host("date +%s").strip()
        with Load(two) as new:
            new.more(60)
        assert two.host(state).strip() == before, "the machine is too slow for this test"
        assert len(asked_replicas(two, later)) == 1
        two.host(f"until [ $({state}) != {before} ]; do sleep 1; done")
        back(two)
        load.more(60)
    print(dict(load.answers), dict(new.answers))
    assert not new.lost, new.lost
    assert not load.lost, load.lost
    # What the frozen one held, which the other one answered then.
    waited = [row["Duration"] / 1e9 for row in completions(two, since) if row["Duration"] > 30e9]
    print(waited)
    assert waited
    assert victim in replicas(two)


def test_a_replica_that_does_not_get_healthy_loses_no_request(two: Solo) -> None:
    before = replicas(two)
    with Load(two) as load:
        load.more()
        run = two.deploy(
            "--tags", "litellm", "-e", json.dumps({"litellm_resources": {"litellm": {"memory": "64m"}}})
        )
        load.more()
    print(dict(load.answers))
    assert run.code != 0
    assert "ROLLED BACK" in run.output
    assert not load.lost, load.lost
    assert replicas(two) == before
    assert two.deploy().succeeded().recap[HOST]["changed"] == 0


def test_a_new_record_drops_no_connection(two: Solo) -> None:
    """Comes last: it adds a name server to the host."""
    record = {"bind9_records": [{"name": "printer", "type": "A", "value": "10.9.8.7"}]}
    two.write(**REPLICAS, stacks=["bind9", *STACKS])
    two.play("secrets").succeeded()
    two.deploy().succeeded()
    before = started(two, "bind9")
    with Names("chat.hearth.lan") as names:
        run = two.deploy("--tags", "bind9", "-e", json.dumps(record)).succeeded()
        assert run.changed == 1
    assert not names.lost, names.lost
    assert names.answers > 20
    assert started(two, "bind9") == before
    assert socket.inet_aton("10.9.8.7") in (Names("printer.hearth.lan").asked() or b"")
