"""Services that belong together are saved at one moment, on two hosts, while somebody writes to both all the time."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _backup_stage, backup_program
from backup_host import BackupHost

pytestmark = pytest.mark.restic

# ssh as far as backups ask it: the account is the one to take, and the command is the one that sshd forces.
SSH = """#!/bin/sh
[ -e {edge}/down ] && exit 255
while [ "$1" != -l ]; do shift; done
[ "$2 $3" = "lead-edge 10.0.0.2" ] || exit 1
PATH={gpu}/engine:$PATH exec {python} {gpu}/hearth-backup --config {gpu}/etc/config.json follow
"""


class Pair:
    """`chat` on edge keeps in its rows and files what it has put into `store` on gpu-1."""

    def __init__(self, root, template):
        self.edge = BackupHost(root / "edge")
        self.gpu = BackupHost(root / "gpu")
        together = {
            "lead": "edge",
            "account": "lead-edge",
            "addresses": {"gpu-1": "10.0.0.2"},
            "members": {"edge": ["store"], "gpu-1": ["store"]},
            "holds": {"edge": ["store"], "gpu-1": []},
        }
        for host, name in ((self.edge, "edge"), (self.gpu, "gpu-1")):
            host.plan.update(host=name, together=[together])
            rows = [host.row(kind) for kind in (("pads", "files") if host is self.edge else ("frozen",))]
            host.plan["services"][0]["data"] = rows
            host.begin(host.repository, template)
        (self.gpu.root / "hearth-backup").write_bytes(backup_program.program())
        ssh = self.edge.engine / "ssh"
        ssh.write_text(SSH.format(edge=self.edge.engine, gpu=self.gpu.root, python=sys.executable))
        ssh.chmod(0o755)

    def run(self):
        return self.edge.run()

    def newest(self, host):
        return host.snapshots()[-1]


@pytest.fixture
def pair(tmp_path, template, monkeypatch):
    pair = Pair(tmp_path, template)
    monkeypatch.setenv("PATH", f"{pair.edge.engine}:{os.environ['PATH']}")
    return pair


class Writer(threading.Thread):
    """Puts a file into `store`, then a file and a row that name it into `chat`; takes old ones away again, rows first.

    It stands still while its container is frozen, as a program in there would.
    """

    def __init__(self, pair):
        super().__init__()
        self.pair = pair
        self.end = threading.Event()
        self.count = 0

    def __enter__(self):
        self.start()
        while self.count < 20:
            time.sleep(0.01)

    def __exit__(self, *_problem):
        self.end.set()
        self.join()

    def frozen(self):
        while (self.pair.edge.engine / "frozen").exists():
            time.sleep(0.001)

    def run(self):
        vectors = self.pair.gpu.data / "store" / "frozen"
        files = self.pair.edge.data / "store" / "files"
        with closing(self.pair.edge.pads()) as rows:
            while not self.end.is_set():
                self.count += 1
                one = str(self.count)
                steps = [
                    lambda one=one: (vectors / one).write_text(one),
                    lambda one=one: (files / one).write_text(one),
                    lambda one=one: rows.execute("INSERT INTO pad VALUES (?)", (one,)),
                ]
                if self.count > 10:
                    old = str(self.count - 10)
                    steps += [
                        lambda old=old: rows.execute("DELETE FROM pad WHERE text = ?", (old,)),
                        lambda old=old: (files / old).unlink(),
                        lambda old=old: (vectors / old).unlink(),
                    ]
                for step in steps:
                    self.frozen()
                    step()
                    time.sleep(0.002)


def test_every_reference_resolves_in_what_was_saved_while_somebody_wrote(pair):
    with Writer(pair):
        assert pair.run() == []
    with closing(sqlite3.connect(pair.edge.staged("pads", "pads.db"))) as saved:
        named = {text for (text,) in saved.execute("SELECT text FROM pad") if text != "one"}
    files = set(os.listdir(pair.edge.staged("files")))
    vectors = set(os.listdir(pair.gpu.staged("frozen")))
    assert len(named) >= 5
    assert named <= files
    assert named <= vectors


def test_both_snapshots_carry_the_moment_and_it_is_said_how_long_nobody_wrote(pair):
    assert pair.run() == []
    one, other = pair.newest(pair.edge), pair.newest(pair.gpu)
    assert one["time"] == other["time"]
    assert any(
        "store on gpu-1: copied as of one moment; nobody wrote to them for" in line for line in pair.edge.said
    )
    run = pair.edge.backup().status.services["store"]["run"]
    assert 0 < run["held_seconds"] < 30
    text = Path(pair.edge.plan["metrics"]).read_text()
    assert 'hearth_backup_held_seconds{service="store"}' in text
    assert pair.gpu.backup().status.services["store"]["run"]["good"]


def test_what_was_saved_so_is_restored(pair):
    assert pair.run() == []
    pair.edge.change_letter("written since")
    pair.edge.restore()
    assert pair.edge.letter() == "dear reader"
    assert pair.edge.texts() == ["one"]


def test_files_that_did_not_change_are_not_read_again(pair):
    (pair.edge.data / "store" / "files" / "big").write_bytes(os.urandom(3_000_000))
    assert pair.run() == []
    assert pair.run() == []
    saved = pair.edge.backup().status.services["store"]["saved"]["disk"]
    assert saved["bytes"] > 3_000_000
    assert saved["added"] < 100_000


@pytest.mark.parametrize("trouble", ["down", "broken", "dies"])
def test_where_the_other_host_fails_this_one_is_saved_and_the_failure_is_named(pair, trouble):
    if trouble == "down":
        (pair.edge.engine / "down").touch()
    elif trouble == "broken":
        (pair.gpu.data / "store" / "frozen" / "segment").unlink()
        (pair.gpu.data / "store" / "frozen").rmdir()
    else:
        (pair.gpu.root / "hearth-backup").write_text(
            "import sys; sys.stdin.readline(); print('{\"ready\": true}')"
        )
    pair.gpu.backup()
    (problem,) = pair.run()
    assert problem.startswith("store on gpu-1, saved together with store: ")
    assert len(pair.edge.snapshots()) == 1
    assert pair.gpu.snapshots() == []
    assert not (pair.edge.engine / "frozen").exists()


def test_a_leader_that_dies_leaves_nothing_frozen_and_no_half_snapshot(pair):
    pair.gpu.backup()
    child = os.fork()
    if not child:
        _backup_stage.Stage.make = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
        pair.run()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    until = time.monotonic() + 20
    while (pair.edge.engine / "frozen").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert pair.run() == []
    assert pair.newest(pair.edge)["time"] == pair.newest(pair.gpu)["time"]


def test_the_host_that_follows_saves_by_itself_only_where_its_leader_is_silent(pair):
    assert pair.run() == []
    assert pair.gpu.run() == []
    assert len(pair.gpu.snapshots()) == 1, "the leader saves it"
    path = pair.gpu.root / "state" / "backups" / "status.json"
    status = json.loads(path.read_text())
    status["services"]["store"]["saved"]["disk"]["time"] -= 2 * 86400
    path.write_text(json.dumps(status))
    (problem,) = pair.gpu.run()
    assert "edge, which uses it, asked for its backup last 2 days ago; it was saved alone" in problem
    assert len(pair.gpu.snapshots()) == 2


def test_nobody_leads_what_the_configuration_does_not_say(pair):
    pair.gpu.plan["together"] = []
    pair.gpu.backup()
    (problem,) = pair.run()
    assert "no other host leads their backup" in problem


def test_a_backup_that_is_under_way_there_is_waited_for(pair):
    pair.gpu.backup()
    lock = pair.gpu.root / "state" / "backups" / "lock"
    holder = subprocess.Popen(["flock", str(lock), "sleep", "2"])
    time.sleep(0.3)
    assert pair.run() == []
    holder.wait()
    assert len(pair.gpu.snapshots()) == 1
