# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Updates that change data for good: tried on the data with nobody to see it, and put back whenever that fails.

The service keeps the number of its version in its data, and refuses those of a newer one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import (
    _copies,
    _journal,
    _one_way,
    _state,
    transaction,
)
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker
from ansible_collections.hearth.llm.plugins.module_utils._unrouted import unrouted
from engine_host import SECRET, die_at, docker, failed
from one_way_service import in_a_directory

pytestmark = pytest.mark.docker


def test_a_new_version_is_proven_before_anybody_reaches_it_and_the_old_data_are_kept(one):
    seen = {}
    folder = one.host.submitted(one.plan(2))
    mark = folder.mark

    def look(step, phase):
        mark(step, phase)
        items = one.host.containers()
        seen[step, phase] = [(item["state"], item["networks"], item["ports"]) for item in items]
        if (step, phase) == ("healthy", "done"):
            seen["labels"] = docker("inspect", "-f", "{{json .Config.Labels}}", items[0]["id"])

    folder.mark = look
    result = transaction.run(one.host.state_dir, one.host.name, folder.id, folder)
    assert result["outcome"] == "committed", result
    assert one.version() == ("2", "2")
    [(state, networks, ports)] = seen["healthy", "done"]
    assert (state, ports) == ("running", [])
    assert one.network not in networks
    assert '"route":' not in seen["labels"]
    [(state, *_rest)] = seen["stopped", "done"]
    assert state == "exited"
    assert docker("network", "ls", "-q", "--filter", f"name={one.host.name}_unrouted") == ""
    # What to go back to.
    assert one.copied() == [folder.id]
    assert (one.copies / folder.id / "db" / "version").read_text() == "1"
    assert result["data"] == {"copy": str(one.copies / folder.id), "restored": False}
    fallback = one.host.state()["fallback"]
    assert fallback["copy"] == result["data"]["copy"]
    assert fallback["images"]["svc"]["image"].endswith(":1")
    assert SECRET.encode() not in one.host.everything_kept()


def test_a_new_version_that_does_not_get_healthy_leaves_the_old_one_on_its_own_data(one):
    result = one.host.deploy(one.plan(2, sign="/never", deadline=3))
    failed(result, "undone", "healthy")
    assert result["data"] == {"copy": None, "restored": True}
    assert one.version() == ("1", "1")
    assert one.copied() == []
    # Nothing of it is left that keeps the good one from coming.
    assert one.host.deploy(one.plan(2))["outcome"] == "committed"
    assert one.version() == ("2", "2")


@in_a_directory
def test_a_change_that_brings_no_new_image_stops_nothing(one):
    before = one.host.only()["id"]
    plan = one.plan(1)
    plan["files"] = [*plan["files"], {**plan["files"][0], "path": "config/other"}]
    folder = one.host.submitted(plan)
    assert transaction.run(one.host.state_dir, one.host.name, folder.id, folder)["outcome"] == "committed"
    assert not _journal.marked(folder.journal(), "stopped", "begin")
    assert one.copied() == []
    assert one.host.only()["id"] != before  # by the forgotten label, as ever


@in_a_directory
def test_only_the_last_copy_is_kept(one):
    for version in (2, 1):  # image 1 again, and a service that takes the data of version 2
        assert one.host.deploy(one.plan(version, run=2))["outcome"] == "committed"
    assert len(one.copied()) == 1
    assert (one.copies / one.copied()[0] / "db" / "version").read_text() == "2"


@in_a_directory
def test_without_room_for_a_copy_nothing_is_touched(one, monkeypatch):
    monkeypatch.setattr(_copies, "SPARE", 2**60)
    before = one.host.only()["id"]
    result = one.host.deploy(one.plan(2))
    error = failed(result, "failed", "kept")
    assert "a copy of the data before the update needs" in error["message"]
    assert one.host.only()["id"] == before


@in_a_directory
def test_data_of_an_unknown_version_are_copied_too(one):
    """Taken off the host and put back with a newer version: nothing ran, the data are there."""
    transaction.remove(
        one.host.state_dir, one.host.name, one.host.name, str(one.host.root / "stacks" / one.host.name)
    )
    result = one.host.deploy(one.plan(2, sign="/never", deadline=3))
    failed(result, "failed", "healthy")
    assert (result["stands"], one.host.containers(), one.data()) == ("nothing", [], "1")
    assert one.host.deploy(one.plan(2))["outcome"] == "committed"
    assert one.version() == ("2", "2")


def test_every_detail_of_the_data_comes_back(service, tmp_path):
    """Owners, modes, links, sparse files, names with line breaks."""
    if not service.place.startswith("/"):
        pytest.skip("the same code")
    root = Path(service.place)
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "a\nb").write_bytes(os.urandom(5000))
    os.chmod(root / "deep" / "a\nb", 0o4640)
    os.link(root / "deep" / "a\nb", root / "twin")
    os.symlink("/nowhere", root / "link")
    with open(root / "sparse", "wb") as file:
        file.truncate(2**30)
    os.chmod(root, 0o2750)
    before = tree(root)
    data = [{"name": "db", "place": str(root), "image": f"{service.host.image}:1"}]
    copies = _copies.Copies(Docker(), str(service.copies), "x", data)
    assert copies.make(lambda *_a, **_k: None) < 2**24
    (root / "twin").unlink()
    (root / "added").write_text("new")
    os.chmod(root, 0o755)
    copies.put_back(lambda *_a, **_k: None)
    assert tree(root) == before
    assert not service.copies.exists()


def tree(root):
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        info = path.lstat()
        content = (
            path.read_bytes() if path.is_file() and not path.is_symlink() and info.st_size < 2**20 else None
        )
        found[str(path)] = (
            info.st_mode,
            info.st_uid,
            info.st_nlink,
            info.st_size,
            int(info.st_mtime),
            content,
        )
    return {key: value if not Path(key).is_dir() else value[:2] for key, value in found.items()}


# By dump -----------------------------------------------------------------------------------------------------------


@in_a_directory
def test_a_new_major_version_begins_with_nothing_and_gets_the_dump(one):
    dumped = {
        "by_dump": True,
        "dump": ["/tiny", "cat", "/data/version"],
        "restore": ["/tiny", "write", "/data/told"],
    }
    result = one.host.deploy(one.plan(2, **dumped))
    assert result["outcome"] == "committed", result
    assert one.version() == ("2", "2")
    assert (Path(one.place) / "told").read_text() == "1"


@in_a_directory
@pytest.mark.parametrize(
    "broken", [{"dump": ["/tiny", "exists", "/never"]}, {"restore": ["/tiny", "exists", "/never"]}]
)
def test_a_dump_that_fails_leaves_the_old_version_on_its_own_data(one, broken):
    good = {
        "by_dump": True,
        "dump": ["/tiny", "cat", "/data/version"],
        "restore": ["/tiny", "write", "/data/told"],
    }
    result = one.host.deploy(one.plan(2, **{**good, **broken}))
    assert result["outcome"] == "undone", result
    assert one.version() == ("1", "1")
    assert not (Path(one.place) / "told").exists()


def test_the_major_version_is_the_tags_first_number():
    tags = ("postgres:17.6", "postgres:18", "r.lan:5000/x/postgres:17@sha256:99", "a/b:v2026.8.3", "c:stable")
    assert [_one_way.major(tag) for tag in tags] == ["17", "18", "17", "2026", "stable"]


# Killed ------------------------------------------------------------------------------------------------------------

OLD = [(step, phase) for step in ("stopped", "copied", "placed", "up") for phase in ("begin", "done")]
NEW = [(step, phase) for step in ("routed", "committed") for phase in ("begin", "done")]


@in_a_directory
@pytest.mark.parametrize(("step", "phase"), [*OLD, ("healthy", "begin")])
def test_killed_before_the_proof_the_old_version_comes_back_with_its_data(one, step, phase):
    one.host.deploy_and_die(one.plan(2), die_at(step, phase))
    (result,) = one.host.recover()
    assert (result["outcome"], result["stands"]) == ("undone", "previous")
    assert one.version() == ("1", "1")
    assert one.copied() == []
    assert one.host.recover() == []


@in_a_directory
@pytest.mark.parametrize(("step", "phase"), [("healthy", "done"), *NEW])
def test_killed_after_the_proof_the_new_version_is_routed(one, step, phase):
    folder = one.host.deploy_and_die(one.plan(2), die_at(step, phase))
    (result,) = one.host.recover()
    assert (result["outcome"], result["stands"]) == ("committed", "new")
    assert one.version() == ("2", "2")
    assert one.copied() == [folder.id]
    assert docker("network", "ls", "-q", "--filter", f"name={one.host.name}_unrouted") == ""


def die_in(module, name):
    """Die when a function is called."""

    def arm(_folder):
        def die(*_arguments, **_options):
            os._exit(137)

        setattr(module, name, die)

    return arm


@in_a_directory
@pytest.mark.parametrize("name", ["_watched", "empty_directory"])
def test_killed_while_copying_there_and_back(one, name):
    plan = one.plan(2, sign="/never", deadline=2)
    one.host.deploy_and_die(plan, die_in(_copies, name))
    (result,) = one.host.recover()
    assert result["outcome"] == "undone"
    assert one.version() == ("1", "1")
    assert one.copied() == []


@in_a_directory
def test_data_that_were_put_back_once_are_not_put_back_again(one):
    """The old version has come back and was written to; then the undoing was killed."""
    plan = one.plan(2, sign="/never", deadline=2)
    one.host.deploy_and_die(plan, die_in(transaction.Transaction, "_restate"))
    (Path(one.place) / "written").write_text("by a user")
    (result,) = one.host.recover()
    assert result["outcome"] == "undone"
    assert one.version() == ("1", "1")
    assert (Path(one.place) / "written").read_text() == "by a user"


@in_a_directory
def test_nothing_is_put_back_over_what_people_may_have_written(one, monkeypatch):
    """Killed when it was routed already; when the recovery cannot finish it, the data are left alone."""
    folder = one.host.deploy_and_die(one.plan(2), die_at("routed", "begin"))
    (Path(one.place) / "written").write_text("by a user")

    def route(*_arguments):
        raise transaction.Failure("the port is taken")

    monkeypatch.setattr(_one_way.OneWay, "route", route)
    (result,) = one.host.recover()
    assert (result["outcome"], result["stands"]) == ("failed", "new")
    assert (Path(one.place) / "written").read_text() == "by a user"
    assert result["data"]["copy"] == str(one.copies / folder.id)
    monkeypatch.undo()
    # The next run goes on from there.
    assert one.host.deploy(one.plan(2))["outcome"] == "committed"
    assert one.version() == ("2", "2")
    assert (Path(one.place) / "written").exists()


@in_a_directory
def test_a_proven_version_that_cannot_be_routed_is_undone_with_its_data(one):
    """A port that only the routed version asks for is taken: nobody was let in, so nothing is lost by going back."""
    blocker = f"{one.host.name}blocker"
    docker("run", "-d", "--name", blocker, "-p", "127.0.0.1::9", f"{one.host.image}:1")
    try:
        taken = docker("port", blocker).rpartition(":")[2]
        failed(one.host.deploy(one.plan(2, port=taken)), "undone", "routed")
        assert one.version() == ("1", "1")
    finally:
        docker("rm", "-f", blocker)


# Formats -----------------------------------------------------------------------------------------------------------


@in_a_directory
def test_a_state_of_an_older_hearth_is_read_and_one_of_a_newer_is_refused(one):
    path = Path(_state.state_path(one.host.state_dir, one.host.name))
    state = one.host.state()
    old = {key: value for key, value in state.items() if key != "fallback"}
    transaction._durable.write_json(str(path), {**old, "format": 1})
    assert _state.read_state(one.host.state_dir, one.host.name)["fallback"] is None
    assert one.host.deploy(one.plan(2))["outcome"] == "committed"
    assert one.host.state()["format"] == _state.FORMAT
    transaction._durable.write_json(str(path), {**state, "format": 99})
    with pytest.raises(_state.NewerState, match="format 99"):
        transaction.remove(one.host.state_dir, one.host.name, one.host.name, "/nowhere")
    assert one.host.containers()


@in_a_directory
def test_a_container_unplugged_by_hand_is_plugged_in_again(one):
    docker("network", "disconnect", one.network, one.host.only()["id"])
    assert one.host.deploy(one.plan(1))["outcome"] == "committed"
    assert one.version() == ("1", "1")


def test_a_stack_that_nobody_reaches():
    model = {
        "name": "x",
        "services": {
            "web": {
                "image": "web:1",
                "ports": [{"published": "80"}],
                "labels": {"traefik.enable": "true", "hearth.config": "1"},
                "networks": {"frontend": {"aliases": ["w"], "ipv4_address": "10.0.0.9"}, "db": None},
            },
            "job": {"image": "job:1", "network_mode": "none"},
        },
        "networks": {
            "frontend": {"name": "frontend", "external": True},
            "db": {"name": "x_db", "internal": True},
        },
    }
    found = unrouted(model, "x")
    assert found["services"]["web"] == {
        "image": "web:1",
        "labels": {"hearth.config": "1"},
        "networks": {"frontend": {"aliases": ["w"]}, "db": None},
    }
    assert found["networks"] == {
        "frontend": {"name": "x_unrouted_frontend"},
        "db": {"name": "x_db", "internal": True},
    }
    assert model["services"]["web"]["ports"]
