"""Restores with restic itself: what was saved is back, or what was there before is, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import (
    _backup_drill,
    _backup_restore,
    _backup_snapshot,
)
from ansible_collections.hearth.llm.plugins.module_utils._restic import Trouble
from backup_host import BackupHost

pytestmark = pytest.mark.restic


@pytest.fixture
def host(tmp_path, template):
    """A host with one backup, and data that were changed since."""
    host = BackupHost(tmp_path)
    host.begin(host.repository, template)
    assert host.run() == []
    host.change()
    return host


def is_changed(host):
    assert host.texts() == ["one", "two"]
    assert host.letter() == "dear writer"
    assert (host.data / "store/rows/live").read_text() == "live"
    assert leftovers(host) == []
    return True


def leftovers(host):
    aside = [path.name for path in (host.data / "store").iterdir() if path.name.endswith(".before-restore")]
    marker = host.root / "state" / "backups" / "restoring.json"
    return aside + [path.name for path in (host.data / ".restore", marker) if path.exists()]


def test_every_kind_of_data_is_put_back_with_its_owner_and_mode(host):
    (host.data / "store" / "pads").chmod(0o750)
    host.restore()
    assert host.texts() == ["one"]
    assert host.letter() == "dear reader"
    assert (host.data / "store/frozen/segment").stat().st_size == 200_000
    assert (host.data / "store/rows/loaded").read_text() == "all my rows\n"
    assert not (host.data / "store/rows/live").exists(), "the database began with nothing"
    assert (host.data / "store/pads").stat().st_mode & 0o777 == 0o750
    assert leftovers(host) == []
    order = [call.split()[3] for call in host.calls() if call.startswith("compose --project-name")]
    assert order[0] == "stop"


def test_it_asks_for_the_name_and_says_what_is_newer(host):
    with pytest.raises(Trouble, match="newer than the snapshot") as refused:
        host.restore(confirmed=None)
    assert "--confirm store" in str(refused.value)
    assert is_changed(host)


def test_a_service_that_does_not_get_healthy_has_what_it_had(host):
    broken = host.engine / "broken"
    (host.engine / "up.sh").write_text(
        f"[ -e {host.data}/store/pads.before-restore ] && touch {broken} && exit 1\nexit 0\n"
    )
    with pytest.raises(Trouble, match="what was there before runs again"):
        host.restore()
    assert broken.exists()
    assert is_changed(host)


def test_a_dump_that_is_refused_leaves_what_was_there(host):
    host.row("rows")["restore"] = ["sh", "-c", "echo 'relation exists' >&2; exit 1"]
    with pytest.raises(Trouble, match="relation exists"):
        host.restore()
    assert is_changed(host)


def test_a_damaged_repository_is_found_before_anything_is_touched(host):
    host.flip()
    with pytest.raises(Trouble):
        host.restore()
    assert is_changed(host)
    assert not any("stop" in call for call in host.calls())


@pytest.mark.parametrize(
    ("owner", "step"),
    [(_backup_restore, "stop_all"), (_backup_restore, "aside"), (_backup_restore.BringUp, "load")],
)
def test_killed_halfway_the_next_command_brings_back_what_was_there(host, owner, step):
    child = os.fork()
    if not child:
        setattr(owner, step, lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
        host.restore()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert leftovers(host)
    assert host.backup().recover() == []
    shutil.rmtree(host.data / ".restore", ignore_errors=True)
    assert is_changed(host)


def test_killed_after_the_proof_it_is_not_undone(host):
    child = os.fork()
    if not child:
        _backup_restore.recover = lambda *arguments: (
            os.kill(os.getpid(), signal.SIGKILL) if arguments[1] else None
        )
        host.backup().__class__.recover = lambda self: []
        host.restore()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert host.backup().recover() == []
    shutil.rmtree(host.data / ".restore", ignore_errors=True)
    assert host.texts() == ["one"]
    assert leftovers(host) == []


def test_another_version_is_refused_where_a_version_changes_data_for_good(host):
    service = host.plan["services"][0]
    service.update(versions={"store": "7"}, reversible=False)
    with pytest.raises(Trouble, match="written by store 6; here runs 7"):
        host.restore()
    assert is_changed(host)
    service["reversible"] = True
    host.restore()
    assert host.texts() == ["one"]


def test_a_service_that_is_not_deployed_is_not_restored(host):
    shutil.rmtree(host.root / "stacks" / "store")
    with pytest.raises(Trouble, match="not deployed here"):
        host.restore()


def test_what_lies_in_the_way_is_named(host):
    (host.data / "store" / "pads.before-restore").mkdir()
    with pytest.raises(Trouble, match="is in the way"):
        host.restore()


def test_an_id_or_a_time_chooses_the_snapshot(host):
    (first,) = host.snapshots()
    assert host.run() == []
    host.restore(first["id"])
    assert host.texts() == ["one"]
    with pytest.raises(Trouble, match="has none of store that is 2001-01-01"):
        host.restore("2001-01-01")


def test_the_newest_that_is_not_younger_than_a_time():
    rows = [{"id": f"{day}" * 8, "time": f"2026-11-0{day}T12:00:00.5Z"} for day in (1, 2, 3)]
    assert _backup_snapshot.choose(rows, "2026-11-02T18:00:00+00:00") == rows[1]
    assert _backup_snapshot.choose(rows, "latest") == rows[2]
    assert _backup_snapshot.choose(rows, "11111111") == rows[0]
    assert _backup_snapshot.choose(rows, "yesterday") is None
    assert _backup_snapshot.choose([], "latest") is None


MODEL = {
    "name": "store",
    "services": {
        "store": {
            "container_name": "store",
            "image": "store:1",
            "restart": "unless-stopped",
            "ports": [{"target": 80, "published": "80"}],
            "labels": {"traefik.enable": "true", "hearth.probe": "80/"},
            "networks": {"frontend": {"ipv4_address": "10.0.0.9"}, "private": {"aliases": ["rows"]}},
            "volumes": [
                {"type": "bind", "source": "/srv/docker/store/pads", "target": "/pads"},
                {"type": "volume", "source": "rows", "target": "/rows"},
                {"type": "volume", "source": "other", "target": "/other"},
                {"type": "bind", "source": "/etc", "target": "/config"},
            ],
        }
    },
    "networks": {
        "frontend": {"name": "frontend", "external": True},
        "private": {"name": "store_private", "driver_opts": {"com.docker.network.bridge.name": "hearth-1"}},
    },
    "volumes": {"rows": {"name": "store_rows"}, "other": {"name": "store_other"}},
}


def test_a_drill_is_a_project_of_its_own_on_the_restored_data_with_no_way_in_or_out():
    places = {"/srv/docker/store/pads": "/d/pads", "store_rows": "/d/rows"}
    found = _backup_drill.isolated(MODEL, "hearth-drill-store", places)
    store = found["services"]["store"]
    assert "container_name" not in store
    assert "ports" not in store
    assert store["labels"] == {"hearth.probe": "80/"}
    assert [(item["source"], item.get("read_only", False)) for item in store["volumes"]] == [
        ("/d/pads", False),
        ("/d/rows", False),
        ("/etc", True),
    ]
    assert found["networks"] == {
        name: {"name": f"hearth-drill-store_{name}", "internal": True} for name in ("frontend", "private")
    }
    assert store["networks"] == {"frontend": None, "private": {"aliases": ["rows"]}}
    assert MODEL["services"]["store"]["container_name"] == "store"


@pytest.fixture
def model(host):
    (host.engine / "model.json").write_text('{"services": {"store": {}}}')
    return host


def test_a_drill_restores_checks_and_leaves_the_data_alone(model):
    assert model.backup().drill([], "latest") == []
    assert is_changed(model)
    assert not (model.data / ".drill").exists()
    status = model.backup().status
    assert status.services["store"]["drill"]["good"]
    assert status.repositories["disk"]["checked"]["good"]
    ups = [call for call in model.calls() if " up " in call]
    assert ups
    assert all("--project-name hearth-drill-store" in call for call in ups)


def test_a_large_repository_is_read_in_parts_week_by_week(monkeypatch):
    asked = []

    class Large:
        def good(self, *words):
            asked.append(words[-1])
            return '{"total_size": 99999999999}'

    for week in range(40):
        monkeypatch.setattr(_backup_drill.time, "time", lambda week=week: 1.8e9 + week * 7 * 86400)
        _backup_drill.check(Large(), 5)
    parts = [word.partition("=")[2] for word in asked if "subset" in word]
    assert sorted(parts, key=lambda part: int(part.split("/")[0])) == [
        f"{part}/20" for part in range(1, 21) for _twice in range(2)
    ]


def test_a_drill_reports_flipped_bytes(model):
    assert model.backup().drill([], "latest") == []
    model.flip()
    assert "the repository disk is damaged" in model.backup().drill([], "latest")[0]
    status = model.backup().status
    assert not status.repositories["disk"]["checked"]["good"]


def test_a_drill_reports_a_service_that_does_not_get_healthy_and_clears_up(model):
    (model.engine / "up.sh").write_text("echo 'no such table' >&2; exit 1\n")
    (found,) = model.backup().drill([], "latest")
    assert "store is not whole on" in found
    assert "no such table" in found
    last = [call for call in model.calls() if call.startswith("compose")][-1]
    assert last == "compose --project-name hearth-drill-store down --remove-orphans"
    assert model.backup().status.services["store"]["drilled"] is None


def test_a_drill_without_a_backup_fails(model):
    shutil.rmtree(model.repository / "snapshots")
    (model.repository / "snapshots").mkdir()
    assert "has none of store" in model.backup().drill([], "latest")[0]
