"""What differs between the wanted files and a look at the host, and what a stack's health is called."""

import copy

import pytest
from ansible_collections.hearth.llm.plugins.module_utils.compare import differences, tag, versions
from ansible_collections.hearth.llm.plugins.module_utils.proof import health

WANTED = {"compose.yaml": ("aa", "0644", "0:0"), ".env.gate": ("bb", "0600", "0:0")}
IMAGES = {"gate": "some/gate:2"}
LOOK = {
    "system": {"uid": 0},
    "images": {"some/gate:2": "sha256:1"},
    "stacks": {
        "gate": {
            "files": {
                "compose.yaml": {"sha256": "aa", "mode": "0644", "owner": "0:0"},
                ".env.gate": {"sha256": "bb", "mode": "0600", "owner": "0:0"},
            },
            "state": {
                "containers": {
                    "gate": {
                        "id": "c1",
                        "state": "running",
                        "service": "gate",
                        "image": "some/gate:2",
                        "networks": ["front"],
                    }
                }
            },
            "containers": {
                "gate": {
                    "id": "c1",
                    "image": "some/gate:2",
                    "image_id": "sha256:1",
                    "state": "running",
                    "health": "healthy",
                    "exit_code": 0,
                    "networks": ["front", "more"],
                }
            },
            "transaction": None,
        }
    },
}


def changed(*path, to):
    look = copy.deepcopy(LOOK)
    at = look
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return look


def test_a_host_that_is_as_wanted_has_no_differences():
    assert differences(WANTED, IMAGES, LOOK, "gate") == []


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        ({"system": {"uid": 0}, "images": {}, "stacks": {}}, "new"),
        (changed("stacks", "gate", "state", to=None), "new"),
        (changed("stacks", "gate", "files", "compose.yaml", "sha256", to="zz"), "compose.yaml changed"),
        (
            changed("stacks", "gate", "files", ".env.gate", "mode", to="0644"),
            ".env.gate has mode 0644 instead of 0600",
        ),
        (
            changed("stacks", "gate", "files", ".env.gate", "owner", to="7:7"),
            ".env.gate belongs to 7:7 instead of 0:0",
        ),
        (
            changed("stacks", "gate", "files", "config/old", to={"sha256": "1", "mode": "0644"}),
            "config/old removed",
        ),
        (changed("stacks", "gate", "containers", to={}), "container gate is gone"),
        (
            changed("stacks", "gate", "containers", "gate", "id", to="c2"),
            "container gate was replaced by hand",
        ),
        # Stopped by hand: it may well have exited with 0.
        (changed("stacks", "gate", "containers", "gate", "state", to="exited"), "container gate is exited"),
        (changed("stacks", "gate", "containers", "gate", "state", to="paused"), "container gate is paused"),
        (
            changed("stacks", "gate", "containers", "gate", "health", to="unhealthy"),
            "container gate is unhealthy",
        ),
        (
            changed("stacks", "gate", "containers", "gate", "networks", to=["more"]),
            "container gate is unplugged from front",
        ),
        (changed("images", "some/gate:2", to="sha256:2"), "image some/gate:2 is another one now"),
        (changed("stacks", "gate", "transaction", to={"id": "1"}), "an unfinished change"),
    ],
)
def test_each_difference_has_its_reason(look, reason):
    assert differences(WANTED, IMAGES, look, "gate") == [reason]


def test_without_root_the_files_are_the_operators():
    look = changed("system", "uid", to=1000)
    for file in look["stacks"]["gate"]["files"].values():
        file["owner"] = "1000:1000"
    assert differences(WANTED, IMAGES, look, "gate") == []
    look["stacks"]["gate"]["files"]["compose.yaml"]["owner"] = "1001:1001"
    assert differences(WANTED, IMAGES, look, "gate") != []


def test_a_one_shot_container_that_was_committed_as_done_is_no_difference():
    look = changed("stacks", "gate", "containers", "gate", "state", to="exited")
    look["stacks"]["gate"]["state"]["containers"]["gate"]["state"] = "exited"
    assert differences(WANTED, IMAGES, look, "gate") == []
    assert health(look, "gate") == "healthy"


@pytest.mark.parametrize(
    ("look", "word"),
    [
        (LOOK, "healthy"),
        (changed("stacks", "gate", "containers", "gate", "health", to=None), "healthy"),
        (changed("stacks", "gate", "containers", "gate", "health", to="starting"), "starting"),
        (changed("stacks", "gate", "containers", "gate", "state", to="restarting"), "stopped"),
        (changed("stacks", "gate", "containers", "gate", "state", to="exited"), "stopped"),
        ({"stacks": {}}, "missing"),
    ],
)
def test_health_in_one_word(look, word):
    assert health(look, "gate") == word


def test_versions_are_the_tags_that_change():
    state = LOOK["stacks"]["gate"]["state"]
    assert versions(state, IMAGES) == {}
    assert versions(state, {"gate": "mirror.lan:5000/some/gate:3@sha256:1"}) == {"gate": ("2", "3")}
    assert versions(None, IMAGES) == {}
    assert tag("localhost:5000/some/gate") == ""
