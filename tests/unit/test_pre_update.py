"""A service is saved before an update that changes its data for good, where backups of it are made."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.hearth.llm.plugins.plugin_utils import pre_update

SERVICE = {"name": "chat", "host": "edge", "state_dir": "/var/lib/hearth", "update": {"reversible": False}}
SAVED = {"backups": {"services": {"chat": {"saved": {"nas": {"time": 1.0}}}}}}


@pytest.fixture
def warnings(monkeypatch):
    found: list[str] = []
    monkeypatch.setattr(pre_update.Display, "warning", lambda _self, text: found.append(text))
    return found


def test_only_an_update_that_cannot_be_taken_back_of_what_backups_are_made_of():
    assert pre_update.is_due(SERVICE, ["v1 → v2"], SAVED)
    assert not pre_update.is_due(SERVICE, [], SAVED)
    assert not pre_update.is_due({**SERVICE, "update": {"reversible": True}}, ["v1 → v2"], SAVED)
    for look in ({}, {"backups": None}, {"backups": {"services": {"chat": {"saved": {}}}}}):
        assert not pre_update.is_due(SERVICE, ["v1 → v2"], look)


def ending(monkeypatch, done):
    """Have hearth-backup end so; what it is asked."""
    asked = []

    def work(_action, options, _task_vars):
        asked.append(options)
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(pre_update, "work", work)
    return asked


def test_it_is_saved_with_a_tag_of_its_own(warnings, monkeypatch):
    asked = ending(monkeypatch, {"code": 0, "problems": ""})
    pre_update.save(None, SERVICE, {})
    assert asked == [
        {"arguments": ["run", "chat", "--tag", "pre-update"], "state_dir": "/var/lib/hearth"},
    ]
    assert warnings == []


@pytest.mark.parametrize(
    ("done", "word"),
    [
        ({"code": 1, "problems": "chat: the repository nas is full"}, "the repository nas is full"),
        ({"code": 137, "problems": ""}, "ended with 137"),
        (AnsibleActionFail("the host gave no reason"), "gave no reason"),
    ],
)
def test_a_backup_that_fails_is_said_and_the_update_goes_on(warnings, monkeypatch, done, word):
    ending(monkeypatch, done)
    pre_update.save(None, SERVICE, {})
    (warning,) = warnings
    assert "edge: chat was not saved before its update" in warning
    assert word in warning
