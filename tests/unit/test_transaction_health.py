# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a container counts as up, and what Docker's own answers look like to us (recorded from Engine 20.10)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils._docker import (
    Answer,
    describe,
    epoch,
    missing_images,
)
from ansible_collections.hearth.llm.plugins.module_utils._health import BAD, GOOD, WAIT, culprit, judge
from ansible_collections.hearth.llm.plugins.module_utils._pull import Layers

RECORDED = Path(__file__).parent / "recorded" / "containers-engine-20.10.json"
NOW = 1000.0


@pytest.fixture(scope="module")
def recorded():
    return {item["service"]: item for item in map(describe, json.loads(RECORDED.read_text()))}


def container(**facts):
    usual = {
        "id": "1",
        "name": "svc",
        "state": "running",
        "health": None,
        "restarts": 0,
        "restart_policy": "unless-stopped",
        "exit_code": 0,
        "error": "",
        "started": NOW - 60,
    }
    return {**usual, **facts}


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"health": "healthy"}, GOOD),
        ({"health": "starting"}, WAIT),
        ({"health": "unhealthy"}, WAIT),
        ({}, GOOD),
        ({"started": NOW - 1}, WAIT),
        ({"restarts": 1, "started": NOW - 5}, WAIT),
        ({"restarts": 1, "started": NOW - 11}, GOOD),
        ({"restarts": 2, "state": "restarting"}, WAIT),
        ({"restarts": 3, "state": "restarting"}, BAD),
        ({"restarts": 3, "health": "starting"}, BAD),
        ({"state": "exited", "restart_policy": "no"}, GOOD),
        ({"state": "exited", "restart_policy": "no", "exit_code": 1}, BAD),
        ({"state": "exited"}, BAD),
        ({"state": "created"}, WAIT),
        ({"state": "paused"}, WAIT),
    ],
)
def test_a_container_is_judged_by_its_health_else_by_running_steadily(facts, kind):
    assert judge(container(**facts), 0, NOW, up_ended=True).kind == kind


def test_a_container_that_is_being_replaced_is_not_lost():
    assert judge(container(state="exited", exit_code=137), 0, NOW, up_ended=False).kind == WAIT


def test_restarts_from_before_the_change_do_not_count():
    assert judge(container(restarts=7), 7, NOW, up_ended=True).kind == GOOD
    assert judge(container(restarts=10), 7, NOW, up_ended=True).kind == BAD


def test_the_unhealthy_one_is_blamed_and_not_the_one_that_waits_for_it():
    sick = container(id="sick", health="unhealthy")
    waiting = container(id="waiting", state="created")
    verdicts = {item["id"]: judge(item, 0, NOW, up_ended=False) for item in (waiting, sick)}
    assert culprit([waiting, sick], verdicts) is sick


def test_recorded_containers_are_described(recorded):
    web = recorded["web"]
    assert (web["name"], web["project"], web["state"], web["health"], web["config"]) == (
        "hearthrec-web-1",
        "hearthrec",
        "running",
        "healthy",
        "1f2e3d4c",
    )
    assert web["image"] == "hearth-tiny:try"
    assert web["image_id"].startswith("sha256:")
    assert web["ports"] == [
        {"port": 18099, "address": "127.0.0.1", "protocol": "tcp"},
        {"port": 18099, "address": "127.0.0.1", "protocol": "udp"},
    ]
    assert web["started"] == pytest.approx(1795263743.105071, abs=1e-3)
    assert recorded["sick"]["health_output"] == "tiny exists"
    assert recorded["migrate"]["health"] is None


@pytest.mark.parametrize(
    ("service", "kind"), [("web", GOOD), ("sick", WAIT), ("migrate", GOOD), ("crash", BAD)]
)
def test_recorded_containers_are_judged(recorded, service, kind):
    assert judge(recorded[service], 0, NOW, up_ended=True).kind == kind


def test_docker_never_is_no_time():
    assert epoch("0001-01-01T00:00:00Z") is None
    assert epoch("") is None
    assert epoch("1970-01-01T00:00:01.5Z") == 1.5
    assert epoch("1970-01-01T02:00:00.123456789+02:00") == pytest.approx(0.123456)


@pytest.mark.parametrize(
    "errors",
    [
        "Error: No such image: {0}\nError: No such image: {1}\n",
        (
            "Error response from daemon: no such image: {0}: No such image: {0}\n"
            "Error response from daemon: no such image: {1}: No such image: {1}\n"
        ),
    ],
    ids=["client 20.10", "client 28"],
)
def test_missing_images_are_read_from_what_docker_says(errors):
    missing = ["nope:1", "reg.example:5000/x/y@sha256:ab"]
    assert missing_images(errors.format(*missing), ["here:1", *missing]) == set(missing)


def test_the_reason_is_the_last_line():
    assert (
        Answer(1, "", "time=… warning\nError response from daemon: no\n\n").reason
        == "Error response from daemon: no"
    )
    assert Answer(None, "", "").reason == "no answer in time"


def test_a_pulls_bytes_and_layers_are_added_up():
    layers = Layers()
    for line in (
        "v1: Pulling from library/x",
        "aaaaaaaaaaaa: Already exists ",
        "bbbbbbbbbbbb: Pulling fs layer",
        "cccccccccccc: Waiting",
        "bbbbbbbbbbbb: Downloading [=====>            ]  12.5MB/50MB",
        "cccccccccccc: Downloading  512kB/1GB",
    ):
        layers.feed(line)
    assert (layers.bytes_done, layers.bytes_total) == (13_012_000, 1_050_000_000)
    assert (layers.layers_done, len(layers.states)) == (1, 3)
    layers.feed("bbbbbbbbbbbb: Download complete")
    layers.feed("bbbbbbbbbbbb: Extracting [==>   ]  1MB/50MB")
    layers.feed("bbbbbbbbbbbb: Pull complete")
    assert layers.bytes_done == 50_512_000
    assert layers.layers_done == 2
