"""Backups with restic itself on directories: what is saved can be read, and what is not whole is no snapshot."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _durable, backup, backup_program
from ansible_collections.hearth.llm.plugins.module_utils._backup_snapshot import moment
from ansible_collections.hearth.llm.plugins.module_utils._restic import Trouble
from backup_host import BackupHost, need

pytestmark = pytest.mark.restic


@pytest.fixture
def host(tmp_path, template):
    host = BackupHost(tmp_path)
    host.begin(host.repository, template)
    return host


def only(problems):
    (found,) = problems
    return found


def rows(path):
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as database:
        return [text for (text,) in database.execute("SELECT text FROM pad")]


def test_every_kind_of_data_comes_back_from_the_one_snapshot(host):
    assert host.run() == []
    assert only(host.snapshots())["service"] == "store"
    assert rows(host.staged("pads", "pads.db")) == ["one"]
    assert host.staged("rows.dump").read_text() == "all my rows\n"
    segment = (host.data / "store" / "frozen" / "segment").read_bytes()
    assert host.staged("frozen", "segment").read_bytes() == segment
    restored = host.restored()
    assert (restored / str(host.data / "store/files/letter").lstrip("/")).read_text() == "dear reader"
    assert (restored / str(host.root / "stacks/store/compose.yaml").lstrip("/")).exists()
    assert not (restored / str(host.data / "store/pads/pads.db").lstrip("/")).exists()
    manifest = json.loads(host.staged("manifest.json").read_text())
    assert manifest["versions"] == {"store": "6"}
    assert {"pads.db": {"pad": 1}} in [item.get("rows") for item in manifest["data"]]
    assert not (host.data / ".backup").exists(), "what was made ready is cleared up"


def test_a_database_that_is_written_all_the_time_is_saved_as_it_was_at_one_moment(host):
    with closing(host.pads()) as pads:
        pads.execute("CREATE TABLE mirror (text)")
    end = threading.Event()

    def write():
        with closing(host.pads()) as pads:
            number = 0
            while not end.is_set():
                number += 1
                pads.executescript(
                    f"BEGIN; INSERT INTO pad VALUES ('{number}'); INSERT INTO mirror VALUES ('{number}'); COMMIT"
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert host.run() == []
    finally:
        end.set()
        writer.join()
    with closing(sqlite3.connect(host.staged("pads", "pads.db"))) as saved:
        (many,) = saved.execute("SELECT count(*) FROM mirror").fetchone()
        assert many == saved.execute("SELECT count(*) FROM pad WHERE text != 'one'").fetchone()[0] > 0


def test_a_dump_that_fails_halfway_is_no_snapshot(host):
    host.row("rows")["dump"] = ["sh", "-c", "echo half; echo 'connection lost' >&2; exit 1"]
    assert "connection lost" in only(host.run())
    assert host.snapshots() == []
    assert host.backup().status.services["store"]["run"]["good"] is False
    assert host.backup().status.services["store"]["saved"] == {}


def test_a_dump_of_nothing_is_no_snapshot(host):
    host.row("rows")["dump"] = ["true"]
    assert "it wrote nothing" in only(host.run())
    assert host.snapshots() == []


def test_a_broken_database_is_no_snapshot(host):
    path = host.data / "store" / "pads" / "pads.db"
    with closing(host.pads()) as pads:
        pads.executescript("PRAGMA journal_mode=delete; BEGIN")
        pads.executemany("INSERT INTO pad VALUES (?)", [(f"{number}" * 20,) for number in range(2000)])
        pads.execute("COMMIT")
    whole = bytearray(path.read_bytes())
    whole[4096:12288] = os.urandom(8192)
    path.write_bytes(whole)
    assert "could not be copied" in only(host.run())
    assert host.snapshots() == []


def test_a_container_that_does_not_run_cannot_be_dumped(host):
    container = json.loads((host.engine / "container.json").read_text())
    container[0]["State"]["Status"] = "exited"
    (host.engine / "container.json").write_text(json.dumps(container))
    assert "does not run" in only(host.run())


def test_data_that_are_not_there_are_reported(host):
    shutil.rmtree(host.data / "store" / "files")
    assert "is not there" in only(host.run())
    assert host.snapshots() == []


def test_what_is_frozen_is_thawed(host):
    assert host.run() == []
    calls = [call for call in host.calls() if "pause" in call.split()[0]]
    assert calls == ["pause c1", "unpause c1"]
    assert any("was frozen for" in line for line in host.said)


def test_a_wrong_key_is_named_with_the_remedy(host):
    (host.root / "etc" / "key").write_text("another key altogether\n")
    problems = host.run()
    assert "does not open with this host's key" in problems[0]
    assert "vault_backups_key_edge" in problems[0]
    assert "no repository that could take it" in problems[1]


@pytest.mark.parametrize(
    "place", ["sftp://backup-edge@127.0.0.2//repository", "rest:http://127.0.0.1:9/edge"]
)
def test_a_repository_that_cannot_be_reached_is_named_and_the_others_get_theirs(host, place):
    (host.root / "etc" / "id_ed25519").write_text("")
    row = {**host.repository_row("away", place), "host": "gpu-1" if place.startswith("sftp") else None}
    row.update(account="backup-edge", address="127.0.0.2")
    host.plan["repositories"].insert(0, row)
    assert "the repository away cannot be reached" in only(host.run())
    assert list(host.backup().status.services["store"]["saved"]) == ["disk"]


@pytest.mark.parametrize("jump", ["-30d", "+40d"])
def test_a_clock_that_jumped_costs_no_snapshot(host, jump):
    need("faketime")
    host.plan["keep"] = {"daily": 1, "weekly": 0, "monthly": 0}
    assert host.run() == []
    command, environment = as_a_program(host)
    jumped = subprocess.run(
        ["faketime", "-f", jump, *command], env=environment, capture_output=True, text=True, check=False
    )
    between = host.snapshots()
    assert len(between) == 2, "nothing was forgotten"
    # Whichever of both runs finds a snapshot that is younger than its clock says that the clock is wrong.
    problems = [jumped.stderr, *host.run()]
    assert any("has a snapshot from the future, so nothing is forgotten there" in text for text in problems)
    right = [item for item in between if abs(moment(item["time"]) - time.time()) < 86400]
    assert [item for item in host.snapshots() if item in right] == right
    host.change()
    host.restore()
    assert host.texts() == ["one"]


def test_flipped_bytes_are_reported(host):
    assert host.run() == []
    host.flip()
    repository = host.backup().repositories[0]
    answer = repository.call("check", "--read-data")
    assert not answer.good
    assert "is damaged" in str(repository.trouble(answer))


def test_a_full_repository_is_reported_and_what_was_saved_before_is_still_there(host, template):
    small = host.root / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        host.plan["repositories"] = [host.repository_row("small", small / "edge")]
        host.begin(small / "edge", template)
        assert host.run() == []
        (host.data / "store" / "files" / "big").write_bytes(os.urandom(6 * 1024**2))
        assert "is full" in host.run()[0]
        assert len(host.snapshots()) == 1
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_one_destination_that_fails_does_not_keep_the_others_from_getting_theirs(host):
    host.plan["repositories"].insert(0, host.repository_row("gone", host.root / "gone"))
    problems = host.run()
    assert "the repository gone is not there" in only(problems)
    assert list(host.backup().status.services["store"]["saved"]) == ["disk"]


def test_a_repository_that_vanished_is_not_begun_again_unasked(host):
    shutil.rmtree(host.repository)
    assert "was there before" in only(host.backup().init([]))
    assert "is not there" in host.run()[0]
    assert not host.repository.exists()
    assert host.backup().init(["disk"]) == []
    assert host.run() == []


def as_a_program(host):
    """(the command of a run as the timer has it, its environment)."""
    host.backup()  # writes the configuration
    program = host.root / "hearth-backup"
    program.write_bytes(backup_program.program())
    command = [sys.executable, str(program), "--config", str(host.root / "etc" / "config.json"), "run"]
    return command, {**os.environ, "PATH": f"{host.engine}:{os.environ['PATH']}"}


def test_a_run_that_is_killed_leaves_no_lock_no_snapshot_and_nothing_frozen(host):
    host.row("rows")["dump"] = ["sh", "-c", "sleep 60"]
    arguments, environment = as_a_program(host)
    process = subprocess.Popen(arguments, env=environment, start_new_session=True)
    wait_for(lambda: any(call.startswith("exec") for call in host.calls()))
    second = subprocess.run(arguments, env=environment, capture_output=True, check=False)
    assert second.returncode == backup.BUSY
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    host.row("rows")["dump"] = ["echo", "rows"]
    assert host.run() == []
    assert len(host.snapshots()) == 1


def test_a_kill_while_a_container_is_frozen_thaws_it(host):
    child = os.fork()
    if not child:
        from ansible_collections.hearth.llm.plugins.module_utils import _backup_stage
        from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker

        with _backup_stage.paused(Docker(str(host.engine / "docker")), ["c1"]):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    wait_for(lambda: "unpause c1" in host.calls())


def test_restic_killed_halfway_leaves_no_snapshot_and_the_next_run_goes_on(host):
    (host.data / "store" / "files" / "big").write_bytes(os.urandom(40 * 1024**2))
    repository = host.backup().repositories[0]
    process = subprocess.Popen(
        ["restic", "backup", "--limit-upload", "2000", str(host.data)],  # KiB a second: it takes its time
        env={**repository.environment, "GOMAXPROCS": "1"},
        stdout=subprocess.DEVNULL,
    )
    # A lock is named by its hash once it is written; before that it is a file which nothing takes for a lock.
    wait_for(lambda: any(len(item.name) == 64 for item in (host.repository / "locks").iterdir()))
    process.kill()
    process.wait()
    assert host.snapshots() == []
    assert host.run() == []
    assert not any((host.repository / "locks").iterdir())


def test_a_file_that_cannot_be_read_makes_no_snapshot(host):
    letter = host.data / "store" / "files" / "letter"
    repository = host.backup().repositories[0]
    with pytest.raises(Trouble, match="could not be read"):
        repository.save("edge", ["hearth"], [str(letter.parent), "/proc/self/mem"], [], time.time())
    assert host.snapshots() == []


def test_a_deploy_meanwhile_makes_no_snapshot(host):
    real = host.backup()
    repository = real.repositories[0]
    save = repository.save

    def deployed_meanwhile(*arguments):
        made = save(*arguments)
        os.makedirs(host.root / "state" / "transactions" / "store" / "20260101T000000-abc123")
        return made

    repository.save = deployed_meanwhile
    assert "was deployed while it was being saved" in only(real.run([], []))
    assert host.snapshots() == []


def test_only_as_many_are_kept_as_the_policy_says_and_all_of_the_last_day(host):
    host.plan["keep"] = {"daily": 3, "weekly": 0, "monthly": 0}
    host.saved_days_ago(5, 4, 3, 2)
    assert host.run() == []
    assert host.run() == []
    assert len(host.snapshots()) == 4


def test_nothing_is_deleted_where_only_the_target_may(host):
    host.plan["keep"] = {"daily": 1, "weekly": 0, "monthly": 0}
    host.plan["repositories"][0]["append_only"] = True
    host.saved_days_ago(5, 4)
    assert host.run() == []
    assert len(host.snapshots()) == 3


def test_a_snapshot_that_cannot_be_dropped_is_named(host, monkeypatch):
    backup = host.backup()
    repository = backup.repositories[0]
    call = repository.call
    monkeypatch.setattr(
        repository,
        "call",
        lambda *words, **more: call(*(["nonsense"] if words[0] == "forget" else words), **more),
    )
    with pytest.raises(Trouble, match="is incomplete and could not be dropped"):
        repository.save("edge", ["hearth"], [str(host.data), "/proc/self/mem"], [], time.time())


def test_what_there_is_has_its_age_and_size_also_where_restic_keeps_none(host):
    host.saved_days_ago(3)
    assert host.run() == []
    old, new = host.snapshots()
    said = json.loads(host.backup().repositories[0].good("stats", new["id"], "--json"))
    assert abs(new["bytes"] - said["total_size"]) < 10_000
    lines = [backup._row(row) for row in (old, new)]
    assert "3 days ago" in lines[0]
    assert re.search(r"just now +205 KiB  disk$", lines[1])
    remembered = host.backup().status.repository("disk")["sizes"]
    assert list(remembered) == [new["id"]]
    host.backup().repositories[0].good("forget", new["id"])
    assert host.run() == []
    assert new["id"] not in host.backup().status.repository("disk")["sizes"]


def test_a_long_one_says_how_far_it_is(host):
    """restic tells it every ten seconds; here as often as it can."""
    (host.data / "store" / "files" / "big").write_bytes(os.urandom(100 * 1024**2))
    (host.root / "etc" / "environment.json").write_text('{"RESTIC_PROGRESS_FPS": "60"}')
    assert host.run() == []
    said = [
        line for line in host.said if re.fullmatch(r"store: saves to disk, [\d.]+ [KM]iB of 100\.2 MiB", line)
    ]
    assert len(said) > 1
    (saved,) = (line for line in host.said if "saved to disk" in line)
    assert host.said.index(said[-1]) < host.said.index(saved)


def test_copies_before_an_update_are_counted_apart(host):
    host.plan["keep"] = {"daily": 1, "weekly": 0, "monthly": 0}
    host.saved_days_ago(5, tags=["pre-update"])
    host.saved_days_ago(4)
    assert host.run() == []
    assert [item["tags"] for item in host.snapshots()] == [["pre-update"], []]


def test_a_snapshot_from_the_future_keeps_everything(host):
    host.plan["keep"] = {"daily": 1, "weekly": 0, "monthly": 0}
    host.saved_days_ago(5, 4, -300)
    assert "from the future" in only(host.run())
    assert len(host.snapshots()) == 4


def test_a_service_that_is_not_in_the_configuration_is_missed(host):
    stacks = host.root / "state" / "stacks"
    stacks.mkdir(parents=True)
    (stacks / "new.json").write_text("{}")
    assert "new is deployed on this host and not known here" in only(host.run())


def test_no_key_and_no_address_with_a_password_is_among_the_arguments(host):
    host.plan["repositories"] = [host.repository_row("r", "rest:https://b.example/edge")]
    _durable.write_json(
        str(host.root / "etc" / "environment.json"),
        {"RESTIC_REST_USERNAME": "edge", "RESTIC_REST_PASSWORD": "hush"},
    )
    repository = host.backup().repositories[0]
    assert repository.environment["RESTIC_REPOSITORY"] == "rest:https://edge:hush@b.example/edge"
    assert "hush" not in str(repository.options)


def test_the_operator_is_told_of_a_failure_and_metrics_say_it(host):
    told = host.root / "told"
    host.plan["on_failure"] = {"command": ["sh", "-c", f'cat >{told}; echo "$HEARTH_HOST" >>{told}']}
    host.row("rows")["dump"] = ["false"]
    problems = host.run()
    backup._end(host.backup(), problems)
    assert "could not be dumped" in told.read_text()
    assert told.read_text().endswith("edge\n")
    text = Path(host.plan["metrics"]).read_text()
    assert 'hearth_backup_run_good{service="store"} 0' in text
    host.row("rows")["dump"] = ["echo", "1"]
    assert host.run() == []
    text = Path(host.plan["metrics"]).read_text()
    assert 'hearth_backup_run_good{service="store"} 1' in text
    assert 'hearth_backup_last_good_timestamp_seconds{service="store",repository="disk"}' in text


@pytest.mark.parametrize(
    "text", ["2026-11-21T18:00:00.123456789+01:00", "2026-11-21T17:00:00Z", "2026-11-21T18:00:00+01:00"]
)
def test_restics_times_are_read(text):
    assert backup.moment(text) == pytest.approx(1795280400, abs=1)


def wait_for(what):
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_versions_of_a_snapshot_are_those_that_ran_and_not_those_of_the_configuration(host):
    committed = host.root / "state" / "stacks" / "store.json"
    committed.parent.mkdir(parents=True)
    containers = {"store": {"service": "store", "image": "registry.lan:5000/some/store:7@sha256:1"}}
    committed.write_text(json.dumps({"format": 2, "containers": containers}))
    assert host.run() == []
    assert json.loads(host.staged("manifest.json").read_text())["versions"] == {"store": "7"}
    host.plan["services"][0]["reversible"] = False
    host.restore()
    containers["store"]["image"] = "some/store:8"
    committed.write_text(json.dumps({"format": 2, "containers": containers}))
    with pytest.raises(Trouble, match="written by store 7; here runs 8"):
        host.restore()
