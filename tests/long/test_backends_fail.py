"""Model servers fail in every way that is routine, and people go on asking: real Ollama, HAProxy, LiteLLM and Traefik.

What answers by Ollama asks for behaviour; where answers are counted, a stand-in that thinks for a fixed time is asked
(tests/lab/README.md), so that two processors do not decide how many there are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from .backends import OLLAMA, STAND_IN, Backends, Server, backends
from .load import Load

pytestmark = pytest.mark.lab

GONE, OTHER = "gpu-1", "gpu-2"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    with backends(tmp_path_factory.mktemp("backends")) as found:
        yield found


@pytest.fixture(scope="module")
def key(two: Backends) -> str:
    return two.secret("litellm_probe_key")


def both_answer(load: Load, patience: float = 60.0) -> None:
    """Return when both servers answer what is asked from now on."""
    since = load.now
    load.until(2, lambda _answers: len([n for n in load.by_backend(since).values() if n >= 3]), patience)


class Fault:
    """A way to fail, and the way back."""

    def __init__(
        self, begin: Callable[[Backends, Server], None], end: Callable[[Backends, Server], None]
    ) -> None:
        self.begin = begin
        self.end = end


def nothing(_two: Backends, _server: Server) -> None:
    pass


FAULTS = {
    # It is started again by itself: by Docker, or by systemd.
    "killed": Fault(lambda two, server: two.signal(GONE, server, "KILL"), nothing),
    "frozen": Fault(
        lambda two, server: two.signal(GONE, server, "STOP"),
        lambda two, server: two.signal(GONE, server, "CONT"),
    ),
    "cut off": Fault(lambda two, server: two.cut_off(GONE, server.port), lambda two, _server: two.join(GONE)),
}


@pytest.mark.parametrize("server", [OLLAMA, STAND_IN], ids=["ollama", "stand-in"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_request_is_lost_and_the_server_comes_back(
    two: Backends, key: str, server: Server, fault: str
) -> None:
    with Load(two.ca, key, server.model, clients=4) as load:
        both_answer(load)
        FAULTS[fault].begin(two, server)
        struck = load.now
        try:
            # Ten seconds on it is out, whatever it does: all that begins then is answered by the other one.
            load.until(20, lambda answers: len([a for a in answers if a.began > struck + 10]))
        finally:
            FAULTS[fault].end(two, server)
        healed = load.now
        # Half a minute until it carries load again.
        load.until(3, lambda _answers: load.by_backend(healed)[GONE], patience=30)
    assert not load.lost, load.lost
    if fault != "killed":
        during = [a for a in load.answers if struck + 10 < a.began and a.ended < healed]
        assert {answer.backend for answer in during} == {OTHER}


def test_a_server_without_the_model_is_out_until_it_has_it_again(two: Backends, key: str) -> None:
    with Load(two.ca, key, clients=2) as load:
        both_answer(load)
        two.ssh(GONE, "docker exec ollama ollama cp tiny spare && docker exec ollama ollama rm tiny")
        removed = load.now
        load.until(20, lambda answers: len([a for a in answers if a.began > removed + 5]))
        during = [answer for answer in load.answers if answer.began > removed + 5]
        assert {answer.backend for answer in during} == {OTHER}
        two.ssh(GONE, "docker exec ollama ollama cp spare tiny && docker exec ollama ollama rm spare")
        both_answer(load, patience=30)
    assert not load.lost, load.lost


def test_what_a_server_without_memory_refuses_another_one_answers(two: Backends, key: str) -> None:
    """It refuses at once, so that it always has the fewest requests; and its checks are good, so it stays."""
    with Load(two.ca, key, "thinker", clients=4) as load:
        both_answer(load)
        two.ssh(GONE, "touch /run/thinker.full")
        full = load.now
        try:
            load.until(20, lambda answers: len([a for a in answers if a.began > full + 1]))
        finally:
            two.ssh(GONE, "rm -f /run/thinker.full")
        both_answer(load, patience=30)
    assert not load.lost, load.lost


def test_a_slow_server_is_not_taken_for_a_dead_one(two: Backends, key: str) -> None:
    """Answers that take longer than all the patience that checks have."""
    two.think(25)
    try:
        with Load(two.ca, key, "thinker", clients=2) as load:
            load.more(2)
            assert load.now >= 25
    finally:
        two.think()
    assert not load.lost, load.lost


def test_the_last_server_is_asked_even_when_all_are_out(two: Backends, key: str) -> None:
    """The checks of both fail, and both answer: no outage of our own making."""
    for host in (GONE, OTHER):
        two.ssh(host, "docker exec ollama ollama cp tiny tiny:other && docker exec ollama ollama rm tiny")
    try:
        # Ollama finds `tiny` no more, so the honest answer is its own, that there is no such model, and not silence.
        with Load(two.ca, key, clients=1) as load:
            time.sleep(10)
            load.more(2)
        last = load.answers[-1]
        assert last.status == 404, last
        assert "not found" in last.text
    finally:
        for host in (GONE, OTHER):
            two.ssh(
                host,
                "docker exec ollama ollama cp tiny:other tiny && docker exec ollama ollama rm tiny:other",
            )
    with Load(two.ca, key, clients=2) as load:
        both_answer(load)


def test_a_stream_that_has_not_begun_is_begun_by_another(two: Backends, key: str) -> None:
    two.think(15)
    try:
        with Load(two.ca, key, "thinker", clients=2, stream=True) as load:
            time.sleep(1)  # both wait for their first word, one at each server
            two.signal(GONE, STAND_IN, "STOP")
            struck = load.now
            load.more(2)
    finally:
        two.think()
    assert struck < 15, "the machine is too slow for this test"
    assert not load.lost, load.lost
    assert all(answer.text.rstrip().endswith("data: [DONE]") for answer in load.answers)
    assert {answer.backend for answer in load.answers[:2]} == {OTHER}


def test_a_stream_that_broke_ends_in_an_error_that_says_so(two: Backends, key: str) -> None:
    two.think(15)
    try:
        with Load(two.ca, key, "thinker", clients=1, stream=True) as load:
            time.sleep(17)  # it has begun to speak, and goes on as long as it thought
            for host in (GONE, OTHER):
                two.signal(host, STAND_IN, "STOP")
            load.more(1, patience=60)
    finally:
        two.think()
    first = load.answers[0]
    pieces = [line.removeprefix("data: ") for line in first.text.splitlines() if line.startswith("data: ")]
    assert len(pieces) > 1
    assert "error" in json.loads(pieces[-1]), first.text[-500:]


def test_a_host_more_reaches_the_gateway_without_a_restart(two: Backends, key: str) -> None:
    two.write(hosts=(GONE,))
    two.deploy("--tags", "litellm").succeeded()
    before = two.containers("edge")
    try:
        with Load(two.ca, key, clients=2) as load:
            load.more(5)
            assert set(load.by_backend()) == {GONE}
            two.write()
            two.deploy("--tags", "litellm").succeeded()
            both_answer(load)
        assert not load.lost, load.lost
        assert two.containers("edge") == before
    finally:
        two.write()


def test_a_lone_server_that_is_started_again_is_not_kept_out(two: Backends, key: str) -> None:
    """One server only: while it is away there are errors, and it is asked again as soon as it is back."""
    two.write(hosts=("gpu-2",))
    two.deploy("--tags", "litellm").succeeded()
    try:
        with Load(two.ca, key, clients=2) as load:
            load.more(5)
            two.signal(OTHER, OLLAMA, "KILL")
            struck = load.now
            load.until(
                5, lambda answers: len([a for a in answers if a.began > struck and a.status == 200]), 30
            )
            again = load.now
            load.more(10)
        assert not [answer for answer in load.lost if answer.began > again], load.lost
    finally:
        two.write()
        two.deploy("--tags", "litellm").succeeded()


def test_the_answer_names_its_server_and_its_replica(two: Backends, key: str) -> None:
    with Load(two.ca, key, clients=1) as load:
        load.more(2)
    replica = two.ssh("edge", "docker inspect litellm --format '{{.Config.Hostname}}'").strip()
    assert {answer.replica for answer in load.answers} == {replica}
    assert set(load.by_backend()) <= {GONE, OTHER}


REPLICAS = {"litellm_replicas": 2, "litellm_resources": {"litellm": {"cpus": 2, "memory": "1500m"}}}


@pytest.fixture(scope="module")
def replicas(two: Backends) -> dict[str, str]:
    """Two replicas of the gateway, from here on: what answers call each of them → its container."""
    two.write(**REPLICAS)
    two.deploy("--tags", "litellm").succeeded()
    listed = two.ssh(
        "edge",
        "docker ps -q --filter label=com.docker.compose.service=litellm |"
        " xargs docker inspect --format '{{.Config.Hostname}} {{.Name}}'",
    )
    return dict(line.split() for line in listed.splitlines())


def test_what_a_replica_that_is_killed_held_another_one_answers(
    two: Backends, key: str, replicas: dict[str, str]
) -> None:
    assert len(replicas) == 2
    victim = next(iter(replicas))
    with Load(two.ca, key, "thinker", clients=6) as load:
        load.until(2, lambda answers: len({a.replica for a in answers}))
        two.ssh("edge", f"kill -KILL $(docker inspect {replicas[victim]} --format '{{{{.State.Pid}}}}')")
        struck = load.now
        load.until(20, lambda answers: len([a for a in answers if a.began > struck + 10]))
        # Docker starts it again, and Traefik takes it back.
        load.until(
            3, lambda answers: len([a for a in answers if a.ended > struck + 15 and a.replica == victim])
        )
    assert not load.lost, load.lost
