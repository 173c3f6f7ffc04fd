"""Data of which most can be had again: the rest is saved, and a restore joins it with what is there, over nothing."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils._restic import Trouble
from backup_host import BackupHost

pytestmark = pytest.mark.restic

# What ends in .big can be had again: it is what the file of the same name without that says.
PROGRAM = """
import pathlib, sys
command, first = sys.argv[1], pathlib.Path(sys.argv[2])
if command == "left-out":
    print(*(path.name for path in first.glob("*.big")), sep="\\n")
else:
    place = pathlib.Path(sys.argv[3])
    assert sys.argv[4] == "c1"
    for path in first.iterdir():
        if not (place / path.name).exists():
            (place / path.name).write_text(path.read_text())
            (place / f"{path.name}.big").write_text("had again")
            print(f"{path.name} is back", file=sys.stderr)
"""


@pytest.fixture
def host(tmp_path, template):
    """A host with one backup of a service that has two models beside all else."""
    host = BackupHost(tmp_path)
    models = host.data / "store" / "models"
    models.mkdir()
    for name in ("one", "two"):
        (models / name).write_text(name)
        (models / f"{name}.big").write_text("large")
    row = {**host.row("files"), "name": "models", "place": str(models)}
    host.plan["services"][0]["data"].append({**row, "container": "store", "regain": PROGRAM})
    host.begin(host.repository, template)
    (host.engine / "model.json").write_text('{"services": {"store": {}}}')
    assert host.run() == []
    return host


def models(host):
    return {path.name: path.read_text() for path in (host.data / "store" / "models").iterdir()}


def test_what_can_be_had_again_is_not_saved(host):
    saved = host.restored() / str(host.data / "store" / "models").lstrip("/")
    assert {path.name: path.read_text() for path in saved.iterdir()} == {"one": "one", "two": "two"}


def test_what_is_not_known_is_no_snapshot(host):
    host.row("models")["regain"] = "import sys; sys.exit('the list is torn')"
    before = host.snapshots()
    (problem,) = host.run()
    assert "models can be had again is not known: the list is torn" in problem
    assert host.snapshots() == before


def test_a_restore_gives_back_what_is_missing_and_leaves_what_is_there(host):
    folder = host.data / "store" / "models"
    (folder / "one").unlink()
    (folder / "one.big").unlink()
    (folder / "two").write_text("changed since")
    host.change_letter("dear writer")
    host.restore()
    assert host.letter() == "dear reader"
    assert models(host) == {
        "one": "one",
        "one.big": "had again",
        "two": "changed since",
        "two.big": "large",
    }
    assert "store: one is back" in host.said
    assert not list((host.data / "store").glob("*.before-restore"))


def test_a_restore_that_cannot_join_puts_back_all_else(host):
    host.row("models")["regain"] = "import sys; sys.exit('no room left')"
    host.change_letter("dear writer")
    with pytest.raises(Trouble, match="joined with what is there: no room left"):
        host.restore()
    assert host.letter() == "dear writer"
    assert models(host)["one"] == "one"


def test_on_a_new_host_it_waits_for_the_first_start_beside_what_may_be_there(host):
    host.lose()
    folder = host.data / "store" / "models"
    folder.mkdir(parents=True)
    (folder / "mine").write_text("pulled before")
    assert host.refill() == []
    waiting = host.data / ".waiting" / "store" / "models"
    assert sorted(path.name for path in waiting.iterdir()) == ["one", "two"]
    assert models(host) == {"mine": "pulled before"}


def test_a_drill_starts_on_what_was_saved(host):
    assert host.backup().drill([], "latest") == []
