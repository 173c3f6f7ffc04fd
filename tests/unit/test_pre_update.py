"""A service is saved before an update that changes its data for good, where backups of it are made."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.plugin_utils import pre_update

SERVICE = {"name": "chat", "host": "edge", "update": {"reversible": False}}
SAVED = {"backups": {"services": {"chat": {"saved": {"nas": {"time": 1.0}}}}}}


class Action:
    """As much of an action plugin as is asked: a command on the host, which ends so."""

    def __init__(self, code: int = 0, said: str = "") -> None:
        self.commands: list[str] = []
        self.answer = {"rc": code, "stdout": "", "stderr": said}

    def _low_level_execute_command(self, command):
        self.commands.append(command)
        return self.answer


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


def test_it_is_saved_with_a_tag_of_its_own(warnings):
    action = Action()
    pre_update.save(action, SERVICE)
    (command,) = action.commands
    assert command.endswith("/usr/local/sbin/hearth-backup --wait run chat --tag pre-update")
    assert warnings == []


def test_a_backup_that_fails_is_said_and_the_update_goes_on(warnings):
    pre_update.save(Action(1, "hearth-backup: chat: the repository nas is full"), SERVICE)
    (warning,) = warnings
    assert "edge: chat was not saved before its update" in warning
    assert "the repository nas is full" in warning
