# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stack's files: staged, compared, put in place and back."""

from __future__ import annotations

import base64
import os

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _durable, _stack_files

OWNER = f"{os.geteuid()}:{os.getegid()}"


def planned(path, content="x", mode="0644"):
    return {
        "path": path,
        "content": base64.b64encode(content.encode()).decode(),
        "mode": mode,
        "owner": OWNER,
    }


def placed(tmp_path, *files, turn="new"):
    """Place these files in the stack's directory; returns the directory."""
    source, stack = str(tmp_path / turn), str(tmp_path / "stack")
    _stack_files.stage(files, source)
    _stack_files.place(files, source, stack)
    return tmp_path / "stack"


def mode(path):
    return os.stat(path).st_mode & 0o7777


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "config/../../x",
        "config",
        "data/x",
        ".env",
        ".env.",
        "compose.yml",
        "config/./x",
        "config//x",
        ".env.a/b",
    ],
)
def test_a_plan_may_write_only_a_stacks_files(tmp_path, path):
    with pytest.raises(ValueError, match="a stack's files are"):
        _stack_files.stage([planned(path)], str(tmp_path / "new"))


def test_files_get_their_modes_and_secrets_a_closed_directory(tmp_path):
    stack = placed(
        tmp_path,
        planned("compose.yaml"),
        planned(".env.svc", mode="0600"),
        planned("config/deep/a.conf"),
        planned("secrets/key", mode="0400"),
    )
    assert mode(stack / ".env.svc") == 0o600
    assert mode(stack / "config/deep/a.conf") == 0o644
    assert mode(stack / "config/deep") == 0o755
    assert mode(stack / "secrets/key") == 0o400
    assert mode(stack / "secrets") == 0o700


def test_only_what_differs_is_written_and_directories_stay(tmp_path):
    stack = placed(tmp_path, planned("compose.yaml"), planned("config/a"), planned("config/b"))
    before = {
        name: os.stat(stack / name).st_ino for name in ("config", "config/a", "config/b", "compose.yaml")
    }
    placed(tmp_path, planned("compose.yaml"), planned("config/a", "changed"), turn="second")
    after = {name: os.stat(stack / name).st_ino for name in ("config", "config/a", "compose.yaml")}
    assert after["config"] == before["config"]
    assert after["compose.yaml"] == before["compose.yaml"]
    assert after["config/a"] != before["config/a"]
    assert not (stack / "config/b").exists()


def test_what_is_not_ours_is_left_alone(tmp_path):
    stack = placed(tmp_path, planned("compose.yaml"))
    (stack / "notes.txt").write_text("mine")
    (stack / ".env").write_text("mine")
    placed(tmp_path, planned("compose.yaml", "other"), turn="second")
    _stack_files.remove(str(stack))
    assert sorted(os.listdir(stack)) == [".env", "notes.txt"]


def test_removing_leaves_nothing_of_ours(tmp_path):
    stack = placed(
        tmp_path, planned("compose.yaml"), planned("config/deep/a"), planned("secrets/k", mode="0400")
    )
    _stack_files.remove(str(stack))
    assert not stack.exists()


def test_a_changed_mode_is_a_change(tmp_path):
    stack = placed(tmp_path, planned(".env.svc", mode="0600"))
    os.chmod(stack / ".env.svc", 0o644)
    files = [planned(".env.svc", mode="0600"), planned("config/new")]
    _stack_files.stage(files, str(tmp_path / "again"))
    wanted = _stack_files.wanted_facts(files, str(tmp_path / "again"))
    assert _stack_files.changes(wanted, _durable.look_at_files(str(stack))) == [".env.svc", "config/new"]


def test_what_was_kept_comes_back_byte_for_byte(tmp_path):
    stack = placed(
        tmp_path, planned("compose.yaml", "one"), planned("secrets/k", "s", "0400"), planned("config/gone")
    )
    first = _durable.look_at_files(str(stack))
    listing = _stack_files.keep(str(stack), str(tmp_path / "previous"))
    assert mode(tmp_path / "previous/secrets/k") == 0o600
    placed(tmp_path, planned("compose.yaml", "two"), planned("config/added"), turn="second")
    _stack_files.place(listing, str(tmp_path / "previous"), str(stack))
    assert _durable.look_at_files(str(stack)) == first


def test_halves_that_a_crash_left_are_no_files_and_are_cleared_away(tmp_path):
    stack = placed(tmp_path, planned("compose.yaml"), planned("config/a"))
    (stack / "config/.b.conf.hearth~").write_text("half")
    (stack / ".compose.yaml.hearth~").write_text("half")
    assert sorted(_durable.look_at_files(str(stack))) == ["compose.yaml", "config/a"]
    placed(tmp_path, planned("compose.yaml"), planned("config/a"), turn="second")
    assert list(_durable.leftovers(str(stack))) == []


def test_data_directories_are_touched_only_where_they_differ(tmp_path):
    wanted = [{"path": str(tmp_path / "data/models"), "mode": "0750", "owner": OWNER}]
    assert _stack_files.make_directories(wanted) == [str(tmp_path / "data/models")]
    assert mode(tmp_path / "data/models") == 0o750
    assert _stack_files.make_directories(wanted) == []
    os.chmod(tmp_path / "data/models", 0o777)
    assert _stack_files.make_directories(wanted) == [str(tmp_path / "data/models")]
