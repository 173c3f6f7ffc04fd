"""Every way in which a deploy goes wrong: nothing is lost, and the next good run needs no hand work."""

from __future__ import annotations

import json

import pytest

from .conftest import HOST, STATE

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


def test_a_registry_that_is_gone_costs_nothing(zero):
    before = zero.containers(HOST)
    run = zero.words("-e", "image_mirror=registry.invalid", word="bad")
    assert run.code != 0
    assert "registry.invalid/ollama/ollama" in run.output
    assert "cannot be pulled" in run.output
    assert zero.containers(HOST) == before
    zero.answers()
    zero.heals("good")


UNDONE = {
    "a container that crashes": ({"program": ["sh", "-c", "echo no such model; exit 3"]}, "no such model"),
    "a health check that fails": ({"sign": "false"}, "not healthy within"),
    "a memory limit that kills it": ({"program": ["tail", "/dev/zero"], "memory": "32m"}, "exit status 137"),
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


def test_a_first_install_that_fails_leaves_its_logs_and_nothing_else(zero):
    zero.play("stop-stacks", "--limit", HOST, "--tags", "words").succeeded()
    before = zero.containers(HOST)
    # Published at once, and up long enough to be reached, but never healthy.
    run = zero.words(word="first", sign="false")
    assert run.code != 0
    assert "Nothing of it is left running; its logs are kept" in run.output, run.output
    assert zero.containers(HOST) == before
    assert zero.host("ls -A /opt/stacks/words 2>/dev/null || true") == ""
    assert zero.host("ss -Htln sport = :11436") == ""
    assert "Listening on" in zero.host(f"cat {STATE}/transactions/words/*/logs/words.log")
    zero.answers("ollama")
    zero.heals("good")


OLLAMA = {
    "a tag that does not exist": ({"ollama_version": "0.0.0-nowhere"}, "cannot be pulled"),
    "a memory limit that kills it": ({"ollama_resources": {"ollama": {"memory": "16m"}}}, "ollama"),
    "more processors than there are": ({"ollama_resources": {"ollama": {"cpus": 4096}}}, "CPU"),
}


@pytest.mark.parametrize("fault", OLLAMA)
def test_the_real_ollama_answers_after_a_bad_change(zero, fault):
    variables, reason = OLLAMA[fault]
    run = zero.deploy("--tags", "ollama", "-e", json.dumps(variables))
    assert run.code != 0
    assert reason in run.output
    zero.answers("ollama")
    zero.answers()
    again = zero.deploy(*zero.chosen(word="zero")).succeeded()
    assert again.recap[HOST]["failed"] == 0
    assert zero.deploy(*zero.chosen(word="zero")).succeeded().changed == 0
    zero.answers("ollama")
