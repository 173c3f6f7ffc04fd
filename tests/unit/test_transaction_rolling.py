# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replicas are replaced one after the other: at every moment as many as before serve, whatever is killed."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _rolling, transaction
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker
from engine_host import die_at, docker, failed

pytestmark = pytest.mark.docker

DRAIN = ["/tiny", "touch", "/drained"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """No router has to notice anything here."""
    monkeypatch.setattr(_rolling, "_ROUTER_SECONDS", 0.0)


def plan(host, config="one", *, count=2, **changes):
    """A replica is healthy while it was not drained."""
    replicas = f"    deploy: {{replicas: {count}}}"
    found = host.plan(**{"config": config, "check": "lacks", "sign": "/drained", "more": replicas, **changes})
    return {**found, "replicas": {"container": "svc", "drain": DRAIN}}


@pytest.fixture
def two(host):
    """Version one in two replicas that are healthy while they are not drained."""
    assert host.deploy(plan(host))["outcome"] == "committed"
    return host


def serving(host):
    return [item for item in host.containers() if item["state"] == "running" and item["health"] == "healthy"]


def configs(host):
    return sorted(item["config"] for item in serving(host))


def watched(monkeypatch, host):
    """What serves whenever a replica is stopped or removed: [(how many serve, whether it was drained)]."""
    seen = []
    call = Docker.call

    def told(self, *arguments, **options):
        if arguments[0] == "stop":
            item = next(item for item in host.containers() if item["id"] == arguments[1])
            seen.append((len(serving(host)), item["health"]))
        return call(self, *arguments, **options)

    monkeypatch.setattr(Docker, "call", told)
    return seen


def test_replicas_are_replaced_one_after_the_other(two, monkeypatch):
    seen = watched(monkeypatch, two)
    before = {item["id"] for item in two.containers()}
    result = two.deploy(plan(two, "two"))
    assert result["outcome"] == "committed", result
    assert configs(two) == ["two", "two"]
    assert not before & {item["id"] for item in two.containers()}
    # Two serve whenever one goes, and the one that goes was taken out of the rotation first.
    assert seen == [(2, "unhealthy"), (2, "unhealthy")]
    again = two.deploy(plan(two, "two"))
    assert (again["changed_files"], again["recreated"]) == ([], [])


def beside(image, word):
    """More of the compose.yaml: the replicas depend on a container, which has a word in its labels."""
    return f"""
    depends_on: {{before: {{condition: service_healthy}}}}
    deploy: {{replicas: 2}}
  before:
    image: {image}
    command: [serve]
    labels: {{word: {word}}}
    healthcheck: {{test: [CMD, /tiny, lacks, /drained], interval: 200ms}}
    stop_grace_period: 1s
"""


def ups(monkeypatch):
    """What each `docker compose up` names, in order.

    Compose 2.26, which Debian has, takes what was started with --no-deps for something that differs, and would make all
    replicas anew at once at the end; later ones do not, so here the argument itself is looked for.
    """
    started = []
    start = Docker.start

    def told(self, arguments, **options):
        arguments = list(arguments)
        if "up" in arguments:
            assert "--no-deps" not in arguments
            if "--dry-run" not in arguments:
                started.append([name for name in arguments if name in ("svc", "before")])
        return start(self, arguments, **options)

    monkeypatch.setattr(Docker, "start", told)
    return started


@pytest.mark.parametrize("word", ["as before", "changed"])
def test_replicas_that_depend_on_a_container_are_replaced_one_after_the_other(host, monkeypatch, word):
    image = f"{host.image}:1"
    assert host.deploy(plan(host, more=beside(image, "as before")))["outcome"] == "committed"
    seen, started = watched(monkeypatch, host), ups(monkeypatch)
    result = host.deploy(plan(host, "two", more=beside(image, word)))
    assert result["outcome"] == "committed", result
    # The one that they depend on serves as well.
    assert seen == [(3, "unhealthy"), (3, "unhealthy")]
    assert started.index(["before"]) < started.index(["svc"])
    assert [item["config"] for item in serving(host) if item["service"] == "svc"] == ["two", "two"]
    again = host.deploy(plan(host, "two", more=beside(image, word)))
    assert (again["changed_files"], again["recreated"]) == ([], [])


def test_replicas_that_do_not_get_healthy_leave_the_old_ones_untouched(two):
    before = {item["id"] for item in two.containers()}
    failed(two.deploy(plan(two, "two", check="exists", deadline=3)), "undone", "up")
    assert {item["id"] for item in serving(two)} == before
    assert configs(two) == ["one", "one"]


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_killed_between_two_replicas_the_old_ones_are_all_there_again(two, after):
    """Killed at the start or the end of a replica: some are new, one may be drained."""

    def arm(_folder):
        done = []
        for name in ("_retire", "_remove"):
            real = getattr(_rolling.Rolling, name)

            def dying(self, item, real=real):
                done.append(item)
                if len(done) == after:
                    transaction.os._exit(137)
                real(self, item)

            setattr(_rolling.Rolling, name, dying)

    two.deploy_and_die(plan(two, "two"), arm)
    assert len(serving(two)) >= 2
    (result,) = two.recover()
    assert (result["outcome"], result["stands"]) == ("undone", "previous")
    assert configs(two) == ["one", "one"]


def test_more_and_fewer(two):
    assert two.deploy(plan(two, count=3))["outcome"] == "committed"
    assert len(serving(two)) == 3
    assert two.deploy(plan(two, count=1))["outcome"] == "committed"
    assert len(serving(two)) == 1


def test_a_replica_that_was_stopped_by_hand_is_replaced(two):
    docker("stop", "-t", "0", two.containers()[0]["id"])
    assert two.deploy(plan(two))["outcome"] == "committed"
    assert configs(two) == ["one", "one"]


def test_killed_when_all_are_new_and_healthy_they_stay(two):
    two.deploy_and_die(plan(two, "two"), die_at("healthy", "done"))
    (result,) = two.recover()
    assert result["outcome"] == "committed"
    assert configs(two) == ["two", "two"]
