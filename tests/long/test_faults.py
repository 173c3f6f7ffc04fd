"""Every way in which a deploy goes wrong: nothing is lost, and the next good run needs no hand work."""

from __future__ import annotations

import pytest

from .conftest import HOST

pytestmark = pytest.mark.lab


REFUSED = {
    "a tag that does not exist": ({"version": "0.0.0-nowhere"}, "cannot be pulled"),
    "a compose file that compose refuses": ({"more": "    nonsense: 1"}, "docker compose refuses"),
    "a configuration that the product refuses": ({"word": "nonsense"}, "refuses its new configuration"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_good_is_refused_before_anything_is_touched(zero, fault):
    variables, reason = REFUSED[fault]
    before = zero.containers(HOST)
    run = zero.words(**{"word": "bad", **variables})
    assert run.code != 0
    assert reason in run.output, run.output
    assert zero.containers(HOST) == before
    assert zero.version() == "zero"
    zero.answers()
    zero.heals("good")


UNDONE = {
    "a container that crashes": ({"program": ["sh", "-c", "echo no such model; exit 3"]}, "no such model"),
    "a health check that fails": ({"sign": "false"}, "not healthy within"),
    "a memory limit that kills it": ({"memory": "16m"}, "restarted"),
    "a port that is taken": ({"port": 22}, "address already in use"),
    "more processors than there are": ({"more": "    cpus: 4096"}, "CPU"),
}


@pytest.mark.parametrize("fault", UNDONE)
def test_what_does_not_get_healthy_is_undone_with_its_cause(zero, fault):
    variables, reason = UNDONE[fault]
    run = zero.words(word="bad", **variables)
    assert run.code != 0
    assert reason.lower() in run.output.lower(), run.output
    assert "ROLLED BACK" in run.output
    assert zero.version() == "zero"
    zero.answers()
    zero.heals("good")
