"""A host that was lost: its data are in place on the successor before anything starts there, or nothing was touched."""

from __future__ import annotations

import os
import signal

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _backup_putting, _backup_refill
from backup_host import BackupHost

pytestmark = pytest.mark.restic


@pytest.fixture
def host(tmp_path, template):
    """A host with one backup, lost with all its disks since."""
    host = BackupHost(tmp_path)
    host.begin(host.repository, template)
    (host.data / "store" / "pads").chmod(0o750)
    os.chown(host.data / "store" / "files", 1234, 1234)
    assert host.run() == []
    host.lose()
    return host


def waiting(host):
    return host.data / ".waiting" / "store"


def is_whole(host):
    assert host.texts() == ["one"]
    assert host.letter() == "dear reader"
    assert (host.data / "store/frozen/segment").stat().st_size == 200_000
    assert (waiting(host) / "rows.dump").read_text() == "all my rows\n"
    assert not (host.data / ".restore").exists()
    return True


def is_bare(host):
    return not (host.data / "store").exists() and not (host.data / ".waiting").exists()


def test_every_kind_of_data_is_in_place_with_its_owner_and_mode_and_nothing_was_started(host):
    assert host.refill() == []
    assert is_whole(host)
    assert (host.data / "store/pads").stat().st_mode & 0o777 == 0o750
    assert (host.data / "store/files").stat().st_uid == 1234
    assert not (host.data / "store/rows").exists(), (
        "a dumped database begins with nothing, and the dump waits"
    )
    assert not any(word in call for call in host.calls() for word in (" up ", "start", "exec"))


def test_again_it_puts_nothing_over_what_is_there(host):
    assert host.refill() == []
    host.change_letter("written since")
    assert host.refill() == []
    assert host.letter() == "written since"


def test_a_snapshot_of_a_time_is_taken(host):
    assert "has none of store that is 2001-01-01" in host.refill("2001-01-01")[0]
    assert is_bare(host)


@pytest.mark.parametrize(
    ("module", "step"),
    [(_backup_putting, "unpacked"), (_backup_refill, "waiting_folder"), (_backup_refill, "shutil")],
)
def test_killed_halfway_the_same_command_goes_on(host, module, step):
    child = os.fork()
    if not child:
        setattr(module, step, Killing())
        host.refill()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert host.refill() == []
    assert is_whole(host)


class Killing:
    def __call__(self, *arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    __getattr__ = __call__


def test_a_host_where_it_runs_was_not_lost(host):
    stack = host.root / "stacks" / "store"
    stack.mkdir(parents=True)
    (stack / "compose.yaml").write_text("services: {}\n")
    assert "is deployed here, so this host was not lost" in host.refill()[0]
    assert is_bare(host)


def test_nothing_is_put_over_data(host):
    (host.data / "store" / "pads").mkdir(parents=True)
    (host.data / "store" / "pads" / "pads.db").write_text("somebody's")
    assert "is not empty, and nothing is put over data" in host.refill()[0]
    assert (host.data / "store" / "pads" / "pads.db").read_text() == "somebody's"
    assert not (host.data / "store" / "files").exists()


def test_another_version_is_refused_where_a_version_changes_data_for_good(host):
    host.plan["services"][0].update(versions={"store": "5"}, reversible=False)
    assert "written by store 6; here runs 5" in host.refill()[0]
    assert is_bare(host)


def test_one_service_without_a_backup_keeps_all_from_being_touched_unless_it_is_to_begin_with_nothing(host):
    host.plan["services"].append({**host.service(), "name": "young"})
    (problem,) = host.refill()
    assert "has none of young" in problem
    assert is_bare(host)
    assert host.refill(without=["young"]) == []
    assert is_whole(host)


def test_a_damaged_repository_puts_nothing_in_place(host):
    host.flip()
    assert host.refill()
    assert is_bare(host)


def test_the_second_repository_is_taken_where_the_first_is_gone_with_the_host(host):
    host.plan["repositories"].insert(0, host.repository_row("gone", host.root / "gone"))
    assert host.refill() == []
    assert is_whole(host)
    assert any("the repository gone is not there" in line for line in host.said)
