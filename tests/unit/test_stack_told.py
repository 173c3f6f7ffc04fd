"""What an operator is told of a change: which versions, why it failed, and what stands now."""

import pytest
from ansible_collections.hearth.llm.plugins.action.stack import summary, update_plan
from ansible_collections.hearth.llm.plugins.plugin_utils.comparison import new_versions

COPIES = "/srv/docker/.before/chat"
PLAIN = {"container": None, "dump": [], "restore": [], "changed_by": []}
SERVICE = {
    "title": "Chat",
    "name": "chat",
    "host": "edge",
    "images": {"chat": "ghcr.io/some/chat:v2"},
    "update": {
        "reversible": False,
        "copies": COPIES,
        "variables": {"chat": "chat_version", "db": "chat_db_version"},
        "versions": {"chat_db_version": {"path": "dump_restore", "known": []}},
    },
    "data": {
        "db": {
            "place": "/d/db",
            "container": "db",
            "dump": ["dump"],
            "restore": ["load"],
            "changed_by": ["chat", "db"],
            "replaceable": False,
            "regain": None,
        },
        "files": {"place": "/d/files", **PLAIN, "replaceable": False},
        "cache": {"place": "/d/cache", **PLAIN, "replaceable": True},
    },
}
BEFORE = {"containers": {"chat": {"service": "chat", "image": "ghcr.io/some/chat:v1"}}}
ERROR = {
    "step": "healthy",
    "message": "chat exited with status 1",
    "container": "chat",
    "health_output": None,
    "log_lines": ["no such column: chat.folder_id"],
}


def test_an_update_names_both_versions_and_that_its_data_are_copied():
    assert new_versions(SERVICE, BEFORE) == ["v1 → v2", "its data are copied first"]
    assert new_versions(SERVICE, {}) == []
    assert new_versions({**SERVICE, "update": {"reversible": True}}, BEFORE) == ["v1 → v2"]


@pytest.mark.parametrize(
    ("outcome", "stands", "data", "told"),
    [
        ("undone", "previous", {"copy": None, "restored": True}, "its data restored from before the update."),
        ("undone", "previous", None, "ROLLED BACK: the previous version runs again and is healthy."),
        (
            "failed",
            "new",
            {"copy": f"{COPIES}/1", "restored": False},
            f"the data from before the update are in {COPIES}/1.",
        ),
    ],
)
def test_a_failure_says_what_stands_and_what_became_of_the_data(outcome, stands, data, told):
    ended = {"outcome": outcome, "stands": stands, "data": data, "error": ERROR}
    lines = summary(SERVICE, ended, ["v1 → v2"]).splitlines()
    assert lines[0] == "Chat on edge, v1 → v2: chat exited with status 1"
    assert "  no such column: chat.folder_id" in lines
    assert lines[-1].endswith(told)


def test_the_host_is_told_which_data_to_copy_and_which_to_dump():
    plan = update_plan(SERVICE)
    assert plan["copies"] == COPIES
    assert plan["data"][0]["changed_by"] == ["chat", "db"]
    assert [(item["name"], item["by_dump"]) for item in plan["data"]] == [("db", True), ("files", False)]
    assert update_plan({**SERVICE, "update": {"reversible": True}}) is None
