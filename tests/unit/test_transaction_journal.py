# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a transaction leaves on the disk, and what is made of it after a crash."""

from __future__ import annotations

import os

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _durable, _journal
from ansible_collections.hearth.llm.plugins.module_utils._journal import COMMIT, DROP, UNDO, Folder


def journal(*marks):
    return [{"t": 1.0, "step": step, "phase": phase} for step, phase in marks]


@pytest.mark.parametrize(
    ("marks", "decision"),
    [
        ([], DROP),
        ([("staged", "begin")], DROP),
        ([("kept", "begin"), ("kept", "done")], DROP),
        ([("kept", "done"), ("placed", "begin")], UNDO),
        ([("placed", "begin"), ("placed", "done"), ("up", "begin")], UNDO),
        ([("placed", "begin"), ("healthy", "begin")], UNDO),
        ([("placed", "begin"), ("healthy", "begin"), ("healthy", "done")], COMMIT),
        ([("placed", "begin"), ("healthy", "done"), ("committed", "begin")], COMMIT),
        ([("placed", "begin"), ("up", "begin"), ("undone", "begin")], UNDO),
    ],
)
def test_a_crash_before_placing_is_dropped_after_it_undone_and_a_proven_version_kept(marks, decision):
    assert _journal.decide(journal(*marks)) == decision


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path):
    path = tmp_path / "journal.jsonl"
    _durable.append_line(str(path), {"step": "staged", "phase": "begin"})
    with open(path, "a") as file:
        file.write('{"step": "sta')
    assert _durable.read_lines(str(path)) == [{"step": "staged", "phase": "begin"}]


def test_the_directory_is_for_its_owner_alone(tmp_path):
    folder = Folder(str(tmp_path / "state"), "svc", "1")
    folder.create({"files": []})
    for path in (folder.path, os.path.dirname(folder.path), folder.state_dir):
        assert os.stat(path).st_mode & 0o777 == 0o700
    assert os.stat(folder.inside("plan.json")).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "-x", "x\n"])
def test_a_name_that_would_leave_the_directory_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="is no name"):
        Folder(str(tmp_path), name, "1")
    with pytest.raises(ValueError, match="is no name"):
        Folder(str(tmp_path), "svc", name)


def test_events_are_read_once_and_a_half_written_one_waits(tmp_path):
    folder = Folder(str(tmp_path), "svc", "1")
    folder.create({"files": []})
    folder.say("up", "first")
    events, offset = folder.events(0)
    assert [event["text"] for event in events] == ["first"]
    with open(folder.inside("progress.jsonl"), "ab") as file:
        file.write('{"text": "zweitens, schö'.encode())
    assert folder.events(offset) == ([], offset)
    with open(folder.inside("progress.jsonl"), "ab") as file:
        file.write(b'n"}\n')
    events, offset = folder.events(offset)
    assert events == [{"text": "zweitens, schön"}]
    assert folder.events(offset) == ([], offset)


def test_tidying_leaves_no_file_content_behind(tmp_path):
    folder = Folder(str(tmp_path), "svc", "1")
    folder.create({"files": [{"path": ".env.x", "content": "c2VjcmV0", "mode": "0600"}]})
    os.makedirs(folder.new)
    os.makedirs(folder.previous)
    folder.tidy()
    assert folder.plan() == {"files": [{"path": ".env.x", "mode": "0600"}]}
    assert not os.path.exists(folder.new)
    assert not os.path.exists(folder.previous)


def test_whoever_looks_sees_whether_a_runner_is_at_work(tmp_path):
    folder = Folder(str(tmp_path), "svc", "1")
    folder.create({"files": []})
    assert _journal.unfinished(str(tmp_path), "svc") == {
        "id": "1",
        "step": "submitted",
        "running": False,
        "decision": "drop",
    }
    handle = folder.lock()
    folder.mark("staged", "begin")
    assert _journal.unfinished(str(tmp_path), "svc") == {
        "id": "1",
        "step": "staged",
        "running": True,
        "decision": "drop",
    }
    assert folder.lock() is None
    os.close(handle)
    assert not folder.is_running()
    folder.finish({"outcome": "failed"})
    assert _journal.unfinished(str(tmp_path), "svc") is None


def test_transactions_are_listed_oldest_first(tmp_path):
    for number, moment in (("b", 1.0), ("a", 2.0)):
        folder = Folder(str(tmp_path), "svc", number)
        folder.create({"files": []})
        _durable.append_line(
            folder.inside("journal.jsonl"), {"t": moment, "step": "staged", "phase": "begin"}
        )
    assert [folder.id for folder in _journal.folders(str(tmp_path))] == ["b", "a"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    _durable.write_whole(str(path), b"old")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_durable.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        _durable.write_whole(str(path), b"new")
    assert path.read_bytes() == b"old"
