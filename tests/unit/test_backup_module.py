"""What hearth-backup says is shown while it works, and how it ended is known, whoever started it."""

from __future__ import annotations

import os
import time

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.hearth.llm.plugins.module_utils import backup_job, jobs
from ansible_collections.hearth.llm.plugins.plugin_utils import backups, on_host

PROGRAM = """#!/bin/sh
echo "$@"
echo "chat: saved"
[ "$3" = chat ] || { echo "hearth-backup: $3: nothing of that name is saved on this host" >&2; exit 1; }
while [ -e {wait} ]; do sleep 0.05; done
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """started(arguments) → how a job of the module ended; the program waits while the file `wait` is there."""
    program = tmp_path / "hearth-backup"
    program.write_text(PROGRAM.replace("{wait}", str(tmp_path / "wait")))
    program.chmod(0o755)
    monkeypatch.setattr(backup_job, "PATH", str(program))
    monkeypatch.setattr(on_host, "Display", lambda: Shown)
    Shown.lines = []

    def module(_action, _name, options, _task_vars):
        """The module, without a host between."""
        asked = {"job": None, "offset": 0, **options, "wait": 0.2}
        return backup_job.follow(tmp_path / "jobs", **asked)

    monkeypatch.setattr(backups, "run_module", module)
    monkeypatch.setattr(on_host, "run_module", module)
    return lambda *arguments: backups.work(
        None, {"arguments": list(arguments)}, {"inventory_hostname": "edge"}
    )


class Shown:
    lines: list[str] = []

    @classmethod
    def display(cls, text):
        cls.lines.append(text)


def test_its_lines_are_shown_and_it_waits_for_another_one_on_the_host(started):
    done = started("run", "chat")
    assert done == {"code": 0, "said": ["--wait run chat", "chat: saved"], "problems": ""}
    assert [line.split(maxsplit=2)[2] for line in Shown.lines] == ["--wait run chat", "chat: saved"]


def test_what_went_wrong_is_told(started):
    done = started("run", "chta")
    assert done["code"] == 1
    assert done["problems"] == "hearth-backup: chta: nothing of that name is saved on this host"


def test_another_runs_job_is_followed_first(started, tmp_path):
    (tmp_path / "wait").touch()
    child = os.fork()
    if not child:
        started("run", "chat")
        os._exit(0)
    until = time.monotonic() + 30
    while not jobs.running(tmp_path / "jobs"):
        assert time.monotonic() < until
    (tmp_path / "wait").unlink()
    assert started("drill", "chat")["said"][0] == "--wait drill chat"
    os.waitpid(child, 0)


def test_one_that_is_killed_is_an_error(started, monkeypatch):
    monkeypatch.setattr(backup_job, "work", lambda _arguments, _journal: os._exit(9))
    with pytest.raises(AnsibleActionFail, match="killed before it had finished"):
        started("run", "chat")
