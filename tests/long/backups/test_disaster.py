"""A host is lost with its disks. A bare one, the inventory, the vault and the repository become the platform again."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from .people import MODEL_MADE, MODEL_PULLED, MODELS, People

pytestmark = pytest.mark.lab

HERON = "The heron's colour is vermilion and it lives near the lake."
BILLS = "Invoices are paid within thirty days of their receipt."


@dataclass
class Traces:
    """What was written before the hosts were lost."""

    chat: str
    documents: list[str]


@pytest.fixture(scope="module")
def traces(people: People) -> Traces:
    me = people.signs_in()
    chat = people.writes_a_chat(me, "herons")
    documents = [people.uploads(me, "heron.txt", HERON), people.uploads(me, "invoices.txt", BILLS)]
    people.types("shared", "remember the milk")
    people.brings_models()
    shape = {"vectors": {"size": 2, "distance": "Cosine"}}
    people.vectors("/collections/kept", shape, "PUT")
    points = {"points": [{"id": 1, "vector": [1, 2], "payload": {"stored": "before"}}]}
    people.vectors("/collections/kept/points?wait=true", points, "PUT")
    found = Traces(chat, documents)
    everything_reads(people, found)
    people.play("backup").succeeded()
    return found


def everything_reads(people: People, traces: Traces) -> None:
    """Signing in works, at the chat and at authentik, and each trace is where it was."""
    me = people.signs_in()
    assert people.reads_a_chat(me, traces.chat) == ("herons", "what of herons?")
    assert people.finds(me, traces.documents, "What colour is the heron?") == HERON
    assert people.finds(me, traces.documents, "When are invoices paid?") == BILLS
    assert people.reads_a_pad("shared") == "remember the milk"
    assert people.resolves("nas") == "192.168.1.9"
    assert people.completes(people.vault("litellm_client_team")) == 200
    point = people.vectors("/collections/kept/points/1")
    assert point["payload"] == {"stored": "before"}
    assert people.models() == MODELS


def saves_again(people: People) -> None:
    """Both hosts save to each other as before, and a deploy has nothing left to do."""
    for host, other in (("edge", "gpu-1"), ("gpu-1", "edge")):
        services = people.status(host)["services"]
        assert all(service["run"]["good"] and other in service["saved"] for service in services.values())
    assert people.deploy().succeeded().changed == 0


def test_the_trusted_host_is_lost_and_one_command_brings_it_back(people: People, traces: Traces) -> None:
    people.lose("edge")
    assert people.containers("edge") == {}
    run = people.play("restore", "-e", "lost=edge").succeeded()
    assert "hearth: answered by tiny" in run.output
    # The authority that browsers were told to trust is the one of before: `ca` was not fetched again.
    everything_reads(people, traces)
    saves_again(people)


def test_the_compute_host_is_lost_and_one_command_brings_it_back(people: People, traces: Traces) -> None:
    people.lose("gpu-1")
    assert people.containers("gpu-1") == {}
    run = people.play("restore", "-e", "lost=gpu-1").succeeded()
    assert f"{MODEL_PULLED} is pulled" in run.output
    assert f"{MODEL_MADE} is back" in run.output
    everything_reads(people, traces)
    saves_again(people)


def test_a_host_that_is_not_lost_is_not_put_back(people: People, traces: Traces) -> None:
    before = people.containers("gpu-1")
    people.ssh(
        "gpu-1",
        "python3 - <<'E'\nimport json\np='/var/lib/hearth/backups/status.json'\ns=json.load(open(p))\n"
        "[v.pop('refilled', None) for v in s['services'].values()]\njson.dump(s, open(p, 'w'))\nE",
    )
    run = people.play("restore", "-e", "lost=gpu-1")
    assert run.code != 0
    assert "qdrant is deployed here, so this host was not lost" in run.output
    assert people.containers("gpu-1") == before
