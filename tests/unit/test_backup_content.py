"""What a service notes when it is saved is looked for in a drill, and missed where it is lost."""

from __future__ import annotations

import json

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _backup_stage, _restic
from backup_host import BackupHost

pytestmark = pytest.mark.restic

PROGRAM = """
import json, sys
asked = json.load(sys.stdin)
with open(asked["data"]["files"] + "/letter") as file:
    letter = file.read()
if asked["do"] == "note":
    json.dump(letter, sys.stdout)
elif letter != asked["note"]:
    sys.exit(f"the letter says {letter!r}")
"""


@pytest.fixture
def host(tmp_path, template):
    host = BackupHost(tmp_path)
    host.begin(host.repository, template)
    host.plan["services"][0]["drill"] = {"container": "store", "port": 80, "program": PROGRAM}
    (host.engine / "model.json").write_text('{"services": {"store": {}}}')
    return host


def noted(host):
    return json.loads(host.staged("manifest.json").read_text())["note"]


def test_what_was_noted_is_found_in_the_restored_data_and_not_in_the_running_ones(host):
    assert host.run() == []
    assert noted(host) == "dear reader"
    host.change_letter("dear writer")
    assert host.backup().drill([], "latest") == []
    assert "store: found what was noted when it was saved" in host.said


def test_a_snapshot_that_lost_it_fails_the_drill_and_is_told(host, monkeypatch):
    save = _restic.Restic.save

    def lossy(self, *arguments):
        host.change_letter("")
        return save(self, *arguments)

    monkeypatch.setattr(_restic.Restic, "save", lossy)
    assert host.run() == []
    (problem,) = host.backup().drill([], "latest")
    assert "what was noted is lost: the letter says ''" in problem
    status = host.backup().status.services["store"]
    assert not status["drill"]["good"]
    assert status["drilled"] is None
    assert (
        'hearth_backup_drill_good{service="store"} 0' in (host.root / "metrics" / "backups.prom").read_text()
    )


def test_what_changes_while_it_is_saved_is_not_asked_for(host, monkeypatch):
    make = _backup_stage.Stage.make

    def slow(self, moment):
        host.change_letter("written meanwhile")
        return make(self, moment)

    monkeypatch.setattr(_backup_stage.Stage, "make", slow)
    assert host.run() == []
    assert noted(host) is None
    assert any("what was noted for the drill is not found any more" in line for line in host.said)
    assert host.backup().drill([], "latest") == []


def test_a_program_that_fails_costs_no_backup(host):
    host.plan["services"][0]["drill"]["program"] = "import sys; sys.exit('no table of that name')"
    assert host.run() == []
    assert noted(host) is None
    assert any(
        "notes nothing that a drill could look for: no table of that name" in line for line in host.said
    )
