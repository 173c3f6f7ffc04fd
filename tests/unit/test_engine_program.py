# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that hosts keep, and following a transaction; nothing here needs Docker."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import engine_program
from ansible_collections.hearth.llm.plugins.module_utils._journal import Folder
from ansible_collections.hearth.llm.plugins.modules import stack


def sources():
    with zipfile.ZipFile(io.BytesIO(engine_program.program())) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_the_program_is_the_same_bytes_every_time():
    assert engine_program.program() == engine_program.program()


def test_the_program_needs_nothing_but_python(tmp_path):
    path = tmp_path / "engine.py"
    path.write_bytes(engine_program.program())
    # -I -S: neither the environment nor installed packages are there.
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(path), "status", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, {"committed": {}, "transactions": []})


def ask(folder, question, digest=None):
    path = folder / "engine.py"
    path.write_bytes(engine_program.program())
    if "arguments" in question:
        places = {"stacks_dir": str(folder), "state_dir": str(folder / "state")}
        question = {**question, "arguments": {**places, **question["arguments"]}}
    return subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            str(path),
            "ask",
            digest or hashlib.sha256(engine_program.program()).hexdigest(),
        ],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
    )


def look_by_program(folder, digest=None):
    more = {"data_dir": str(folder), "stacks": ["chat"], "images": [], "paths": []}
    return ask(folder, {"do": "look", "arguments": more}, digest)


def test_the_program_looks_at_the_host(tmp_path):
    done = look_by_program(tmp_path)
    assert (done.returncode, json.loads(done.stdout)["stacks"]["chat"]["files"]) == (0, {})


def test_the_program_looks_at_the_stacks_alone(tmp_path):
    question = {"do": "look_at_stacks", "arguments": {"stacks": ["chat"]}}
    done = ask(tmp_path, question)
    found = json.loads(done.stdout)
    assert (done.returncode, list(found), list(found["stacks"])) == (0, ["stacks"], ["chat"])


def test_what_is_in_the_way_of_a_change_is_its_answer(tmp_path):
    (tmp_path / "state" / "stacks").mkdir(parents=True)
    (tmp_path / "state" / "stacks" / "chat.json").write_text('{"format": 99}')
    which = {"state_dir": str(tmp_path / "state"), "service": "chat", "identity": "1"}
    done = ask(tmp_path, {"do": "submit", **which, "plan": {}, "offset": 0, "wait": 0})
    found = json.loads(done.stdout)
    assert (done.returncode, found["failed"]) == (0, True)
    assert "newer" in found["msg"]


def test_a_program_of_another_release_does_not_look(tmp_path):
    done = look_by_program(tmp_path, "0" * 64)
    assert (done.returncode, done.stdout) == (3, "")


def test_the_program_holds_every_file_that_it_imports():
    texts = sources()
    for name, text in texts.items():
        for node in ast.walk(ast.parse(text, name)):
            if isinstance(node, ast.ImportFrom) and node.level:
                wanted = [node.module] if node.module else [alias.name for alias in node.names]
                assert all(f"hearth_engine/{item}.py" in texts for item in wanted), (name, wanted)


@pytest.mark.parametrize("name", sorted(sources()))
def test_the_program_is_readable_by_the_oldest_python_of_a_host(name):
    ast.parse(sources()[name], name, feature_version=(3, 9))


def test_an_installed_program_is_replaced_only_by_another(tmp_path):
    path = engine_program.install(str(tmp_path))
    first = os.stat(path).st_ino
    assert os.stat(engine_program.install(str(tmp_path))).st_ino == first
    with open(path, "ab") as file:
        file.write(b"older")
    engine_program.install(str(tmp_path))
    with open(path, "rb") as file:
        assert file.read() == engine_program.program()


@pytest.fixture
def folder(tmp_path):
    folder = Folder(str(tmp_path), "svc", "1")
    folder.create({"files": []})
    return folder


def aged(folder):
    long_ago = time.time() - 3600
    os.utime(folder.inside("plan.json"), (long_ago, long_ago))


def test_following_waits_for_news_only_as_long_as_it_may(folder):
    handle = folder.lock()
    folder.say("up", "starts")
    started = time.monotonic()
    found = engine_program.follow(folder.state_dir, "svc", "1", 0, 0.4)
    assert 0.4 <= time.monotonic() - started < 2
    assert not found["finished"]
    assert [event["text"] for event in found["events"]] == ["starts"]
    os.close(handle)


def test_following_ends_with_the_result(folder):
    folder.finish({"outcome": "committed"})
    started = time.monotonic()
    found = engine_program.follow(folder.state_dir, "svc", "1", 0, 30)
    assert time.monotonic() - started < 2
    assert (found["finished"], found["result"]) == (True, {"outcome": "committed"})


def test_one_whose_process_is_gone_has_failed_where_it_was(folder):
    folder.mark("placed", "begin")
    with open(folder.inside("runner.log"), "w") as file:
        file.write("Traceback\nMemoryError\n")
    result = engine_program.follow(folder.state_dir, "svc", "1", 0, 0)["result"]
    assert (result["outcome"], result["stands"], result["error"]["step"]) == ("failed", "unknown", "placed")
    assert "finishes or undoes it: MemoryError" in result["error"]["message"]


def test_one_that_never_started_touched_nothing(folder):
    aged(folder)
    result = engine_program.follow(folder.state_dir, "svc", "1", 0, 0)["result"]
    assert (result["outcome"], result["stands"]) == ("failed", "previous")


def test_one_that_was_submitted_just_now_is_waited_for(folder):
    assert not engine_program.follow(folder.state_dir, "svc", "1", 0, 0)["finished"]


def test_one_that_is_not_there_is_said_to_be_not_there(tmp_path):
    result = engine_program.follow(str(tmp_path), "svc", "1", 0, 0)["result"]
    assert "no such transaction" in result["error"]["message"]


def test_check_mode_names_the_files_that_would_change(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "compose.yaml").write_text("same")
    (tmp_path / "config/gone").write_text("x")
    os.chmod(tmp_path / "compose.yaml", 0o644)

    def planned(path, text):
        content = base64.b64encode(text.encode()).decode()
        return {"path": path, "content": content, "mode": "0644", "owner": "0:0"}

    plan = {
        "stack_dir": str(tmp_path),
        "files": [planned("compose.yaml", "same"), planned("config/new", "x")],
    }
    parameters = {"plan": plan}
    assert stack.present(parameters, True) == {
        "changed": True,
        "changed_files": ["config/gone", "config/new"],
    }


@pytest.mark.parametrize("text", ["not json", "[1]", "{'a': 's3cret'}"])
def test_a_plan_that_cannot_be_read_is_not_quoted(text):
    with pytest.raises(ValueError) as caught:
        stack.read_plan(text)
    assert str(caught.value) == "plan is not the JSON text of a dictionary"


def test_a_program_of_an_earlier_release_is_told_from_this_ones(tmp_path):
    assert not engine_program.is_installed(str(tmp_path))
    path = engine_program.install(str(tmp_path))
    assert engine_program.is_installed(str(tmp_path))
    with open(path, "ab") as file:
        file.write(b"older")
    assert not engine_program.is_installed(str(tmp_path))
