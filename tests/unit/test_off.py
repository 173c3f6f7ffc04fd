"""Stacks that left the inventory, what knew them, what of them may be deleted; and where hosts differ."""

import json

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import drift, off
from ansible_collections.hearth.llm.plugins.module_utils._docker import Answer
from ansible_collections.hearth.llm.plugins.module_utils.service_file import read
from ansible_collections.hearth.llm.plugins.modules import service_data
from fleet import MODEL, resolved, specs, two_hosts

FLEET = resolved(two_hosts(packet_filter=False))
COMMITTED = {"state": {"format": 1}, "containers": {"c": {"state": "running"}}, "transaction": None}
NEVER = {"state": None, "containers": {"c": {"state": "running"}}, "transaction": None}


def with_data(**paths):
    """The services of the tests, and `old`, whose data lies at these paths below data_dir."""
    text = {**MODEL, "title": "Old", "variables": {"old_version": "1"}, "images": {}, "api": {}, "serves": {}}
    data = {"data": {name: {"path": path} for name, path in paths.items()}}
    return {**specs(), "old": read("old", "test.old", {**text, **data}, {})}


def test_only_what_was_committed_here_and_is_listed_no_more_is_off():
    look = {"stacks": {"gate": COMMITTED, "old": COMMITTED, "stranger": NEVER}}
    assert off.off(FLEET, "edge", look) == ["old"]


def test_the_place_of_kept_data_goes_by_where_the_host_keeps_it():
    spec = specs()["model"]
    assert off.places(spec, {"data_dir": "/srv", "data_in": "directories"}) == ["/srv/model/store"]
    assert off.places(spec, {"data_dir": "/srv", "data_in": "volumes"}) == ["the volume model_store"]


def test_a_stack_that_is_gone_was_known_to_its_users_keepers_and_doors_elsewhere():
    names = specs()
    assert off.knew(FLEET, "gpu-1", "model", names["model"]) == [{"host": "edge", "name": "gate"}]
    assert off.knew(FLEET, "edge", "page", names["page"]) == [{"host": "edge", "name": "gate"}]
    known = off.knew(FLEET, "gpu-1", "page", names["page"])
    assert {row["name"] for row in known} == {"door", "gate"}
    assert off.knew(FLEET, "edge", "page", None) == []


def problems(name="old", confirmed="old", hosts=("edge", "gpu-1"), known=None):
    return off.deletion_problems(known or with_data(data=None), FLEET, hosts, name, confirmed)


def test_the_data_of_what_no_host_lists_may_be_deleted_by_its_name():
    assert problems() == []


@pytest.mark.parametrize("confirmed", ["", "odl", "OLD"])
def test_without_its_name_repeated_nothing_is_deleted_but_may_be_listed(confirmed):
    [problem] = problems(confirmed=confirmed)
    assert "-e confirm=old" in problem.remedy
    assert problems(confirmed=None) == []


def test_data_in_use_is_refused_on_each_host_that_lists_the_service():
    [problem] = problems("gate", "gate")
    assert (problem.host, problem.variable) == ("edge", "stacks")
    assert problems("gate", "gate", hosts=["gpu-1"]) == []


def test_a_name_without_a_service_is_refused_with_the_nearest_one():
    [problem] = problems("gatte", "gatte")
    assert "did you mean gate?" in problem.remedy
    [problem] = problems("", "")
    assert problem.expected == "is not given"


@pytest.mark.parametrize(
    "path", ["../etc", "/etc", ".", "", "a/../b", "a/", "model/store", "model", "model/store/x"]
)
def test_a_path_that_is_not_the_services_alone_is_refused(path):
    [problem] = problems(known=with_data(data=path))
    assert problem.variable == "old: data"


@pytest.mark.parametrize("path", ["own", "models", "model2/store"])
def test_a_plain_path_of_its_own_is_not_refused(path):
    assert problems(known=with_data(data=path)) == []


class Engine:
    """Answers as `docker` does, for containers with these mounts and for these volumes."""

    def __init__(self, *mounts, volumes=()):
        self.mounts, self.volumes = mounts, list(volumes)

    def call(self, *words):
        if words[0] == "ps":
            return Answer(0, "c1\n" if self.mounts else "", "")
        if words[0] == "container":
            return Answer(0, json.dumps([{"Name": "/user", "Mounts": list(self.mounts)}]), "")
        if words[1] == "rm":
            self.volumes.remove(words[2])
        return Answer(0 if words[-1] in self.volumes or words[1] == "rm" else 1, "", "")


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data/old/store/sub").mkdir(parents=True)
    (tmp_path / "data/old/store/sub/file").write_bytes(b"x" * 5000)
    (tmp_path / "data/other").mkdir()
    return tmp_path / "data"


def delete(data, engine, *directories, volumes=(), copies="", check=False):
    paths = [str(data / name) for name in directories]
    return service_data.delete(
        engine, "old", paths, volumes, copies, str(data), str(data.parent / "state"), check
    )


def test_exactly_the_named_data_is_deleted(data):
    [row] = delete(data, Engine(), "old/store", "old/never")
    assert row["name"] == str(data / "old/store")
    assert row["bytes"] >= 5000
    assert [path.name for path in data.iterdir()] == ["other"]


def test_copies_from_before_an_update_go_with_the_data(data):
    (data / ".before/old/20260101T000000-abc/store").mkdir(parents=True)
    (data / ".before/other").mkdir()
    rows = delete(data, Engine(), "old/store", copies=str(data / ".before/old"), check=True)
    assert rows[-1]["name"] == str(data / ".before/old")
    delete(data, Engine(), "old/store", copies=str(data / ".before/old"))
    assert [path.name for path in (data / ".before").iterdir()] == ["other"]


def test_what_else_lies_beside_the_data_stays(data):
    (data / "old/mine").write_text("")
    delete(data, Engine(), "old/store")
    assert [path.name for path in (data / "old").iterdir()] == ["mine"]


def test_check_mode_lists_and_deletes_nothing_not_even_a_lock(data):
    engine = Engine(volumes=["old_store", "mine"])
    found = delete(data, engine, "old/store", volumes=["old_store", "gone"], check=True)
    assert [row["name"] for row in found] == [str(data / "old/store"), "old_store"]
    assert (data / "old/store/sub/file").exists()
    assert engine.volumes == ["old_store", "mine"]
    assert not (data.parent / "state").exists()


def test_a_volume_is_deleted_by_its_name(data):
    engine = Engine(volumes=["old_store", "mine"])
    delete(data, engine, volumes=["old_store"])
    assert engine.volumes == ["mine"]


def test_data_that_a_container_has_mounted_is_refused(data):
    inside = {"Source": str(data / "old/store/sub")}
    with pytest.raises(service_data.Refused, match="container user uses"):
        delete(data, Engine(inside), "old/store")
    with pytest.raises(service_data.Refused, match="uses old_store"):
        delete(data, Engine({"Name": "old_store"}, volumes=["old_store"]), volumes=["old_store"])
    assert (data / "old/store/sub/file").exists()
    delete(
        data, Engine({"Source": str(data)}), "old/store"
    )  # a monitor that sees the whole disk is no user of it


def test_data_of_a_stack_that_is_deployed_is_refused(data):
    (data.parent / "state/stacks").mkdir(parents=True)
    (data.parent / "state/stacks/old.json").write_text("{}")
    with pytest.raises(service_data.Refused, match="still deployed"):
        delete(data, Engine(), "old/store")


@pytest.mark.parametrize(
    ("place", "why"),
    [("link", "by a link"), ("link/sub", "by a link"), ("file", "not a directory"), ("../x", "not below")],
)
def test_what_is_no_plain_directory_below_data_dir_is_refused(data, place, why):
    (data / "link").symlink_to(data / "old/store")
    (data / "file").write_text("")
    (data.parent / "x").mkdir()
    with pytest.raises(service_data.Refused, match=why):
        delete(data, Engine(), place)
    assert (data / "old/store/sub/file").exists()


def compared(name, on, *reasons):
    return {"host": on, "name": name, "changed": bool(reasons), "reasons": list(reasons)}


def differences(rows, looks=None, selected=lambda row: True):
    return [
        (row["host"], row["name"], row["reasons"]) for row in drift.drift(FLEET, rows, looks or {}, selected)
    ]


def test_what_differs_is_told_by_host_with_every_reason_once():
    rows = [
        compared("model", "gpu-1", "model tiny missing"),
        compared("page", "edge", "new"),
        compared("gate", "edge"),
        compared("model", "gpu-1", "compose.yaml changed"),
    ]
    assert differences(rows) == [
        ("edge", "page", ["is not deployed"]),
        ("gpu-1", "model", ["model tiny missing", "compose.yaml changed"]),
    ]


def test_orphans_and_their_unfinished_changes_differ_and_strangers_do_not():
    stopped = {**COMMITTED, "containers": {}}
    half = {"state": None, "containers": {}, "transaction": {"id": "1", "step": "up", "running": False}}
    looks = {
        "edge": {
            "filter": {"file": None, "loaded": False},
            "stacks": {"old": COMMITTED, "off": stopped, "half": half, "stranger": NEVER, "gate": COMMITTED},
        }
    }
    told = {name: reasons for _host, name, reasons in differences([], looks)}
    assert told == {
        "old": ["is no longer in its stacks and runs"],
        "off": ["is no longer in its stacks and is still deployed"],
        "half": ["an unfinished change of a stack that it no longer lists"],
    }
    assert differences([], looks, lambda row: row["name"] == "gate") == []


def test_the_table_ends_with_the_command_that_mends():
    rows = drift.drift(FLEET, [compared("gate", "edge", "config/a changed")], {}, lambda row: True)
    text = drift.text(rows, 4)
    assert " edge   gate   differs   config/a changed" in text
    assert "playbooks/deploy-stacks.yml --limit edge" in text
    assert drift.text([], 4).strip() == "4 stacks compared, none differs"
