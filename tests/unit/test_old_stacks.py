"""Putting the old stacks aside, and bringing them back from wherever it was interrupted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import old_stacks
from ansible_collections.hearth.llm.plugins.module_utils._docker import Answer, EngineError

OWNER = f"{os.getuid()}:{os.getgid()}"


class Engine:
    """Two old containers; the call number `breaks_at` fails."""

    def __init__(self, breaks_at: int = -1) -> None:
        self.names = {"1": "open-webui", "2": "ollama"}
        self.running = {"1", "2"}
        self.left = breaks_at

    def call(self, *arguments: str, **_options: Any) -> Answer:
        if arguments[0] in ("stop", "rename"):
            self.left -= 1
            if self.left == -1:
                return Answer(1, "", "the engine is gone")
        match arguments:
            case ("stop", item):
                self.running.discard(item)
            case ("start", item):
                self.running.add(item)
            case ("rename", item, name):
                self.names[item] = name
            case ("container", "inspect", *_rest, item):
                return Answer(0, f"/{self.names[item]}\n", "")
        return Answer(0, "", "")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("webui", "models", "storage"):
        (tmp_path / "old" / name).mkdir(parents=True)
        (tmp_path / "old" / name / "file").write_text(name)
    return tmp_path


def steps(place: Path) -> list[dict[str, Any]]:
    old, new = place / "old", place / "new"
    kept = f"{old}/storage.before-hearth"
    return [
        {"do": "stop", "container": "1", "name": "open-webui", "ran": True},
        {"do": "rename", "container": "1", "from": "open-webui", "to": "open-webui-before-hearth"},
        {"do": "stop", "container": "2", "name": "ollama", "ran": True},
        {"do": "rename", "container": "2", "from": "ollama", "to": "ollama-before-hearth"},
        {"do": "copy", "from": f"{old}/webui", "to": f"{new}/webui", "owner": OWNER},
        {"do": "move", "from": f"{old}/models", "to": f"{new}/models"},
        {"do": "move", "from": f"{old}/storage", "to": kept},
        {"do": "copy", "from": kept, "to": f"{old}/storage", "owner": OWNER},
    ]


def files(place: Path) -> dict[str, str]:
    return {
        str(path.relative_to(place)): path.read_text()
        for path in sorted(place.rglob("file"))
        if ".failed-" not in str(path)
    }


def test_aside_means_stopped_under_another_name_with_the_data_where_the_new_ones_look(place: Path) -> None:
    engine = Engine()
    (place / "new" / "models").mkdir(parents=True)  # empty, so in nobody's way
    old_stacks.put_aside(engine, steps(place), str(place / "state"))
    assert engine.running == set()
    assert set(engine.names.values()) == {"open-webui-before-hearth", "ollama-before-hearth"}
    assert files(place) == {
        "new/models/file": "models",
        "new/webui/file": "webui",
        "old/storage.before-hearth/file": "storage",
        "old/storage/file": "storage",
        "old/webui/file": "webui",
    }


def test_back_is_as_it_was_whatever_the_new_versions_did_to_their_data(place: Path) -> None:
    engine, before = Engine(), files(place)
    old_stacks.put_aside(engine, steps(place), str(place / "state"))
    (place / "new" / "webui" / "file").write_text("migrated")
    (place / "old" / "storage" / "file").write_text("migrated")
    assert old_stacks.bring_back(engine, str(place / "state"))
    assert files(place) == before
    assert engine.names == {"1": "open-webui", "2": "ollama"}
    assert engine.running == {"1", "2"}
    assert not old_stacks.bring_back(engine, str(place / "state")), (
        "a second time there is nothing to bring back"
    )


@pytest.mark.parametrize("breaks_at", range(4))
def test_it_comes_back_from_every_step_at_which_the_engine_may_break(place: Path, breaks_at: int) -> None:
    engine, before = Engine(breaks_at), files(place)
    with pytest.raises(EngineError):
        old_stacks.put_aside(engine, steps(place), str(place / "state"))
    assert old_stacks.bring_back(engine, str(place / "state"))
    assert files(place) == before
    assert engine.names == {"1": "open-webui", "2": "ollama"}
    assert engine.running == {"1", "2"}


@pytest.mark.parametrize("done", range(9))
def test_it_comes_back_from_a_kill_after_any_step(
    place: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    class Killed(BaseException):
        pass

    engine, before, carried_out = Engine(), files(place), []
    real = old_stacks._do

    def until_killed(docker: Any, step: Any) -> None:
        if len(carried_out) == done:
            raise Killed
        real(docker, step)
        carried_out.append(step)

    monkeypatch.setattr(old_stacks, "_do", until_killed)
    with suppress(Killed):
        old_stacks.put_aside(engine, steps(place), str(place / "state"))
    assert old_stacks.bring_back(engine, str(place / "state"))
    assert files(place) == before
    assert engine.names == {"1": "open-webui", "2": "ollama"}
    assert engine.running == {"1", "2"}


def test_a_stopped_container_is_not_started_by_bringing_it_back(place: Path) -> None:
    engine = Engine()
    engine.running = {"1"}
    wanted = steps(place)
    wanted[2]["ran"] = False
    old_stacks.put_aside(engine, wanted, str(place / "state"))
    old_stacks.bring_back(engine, str(place / "state"))
    assert engine.running == {"1"}
