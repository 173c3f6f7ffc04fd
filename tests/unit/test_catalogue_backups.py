"""Where backups go by default, what of a destination is refused, and what a host's program is told."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.filter.backups import backup_plan
from ansible_collections.hearth.llm.plugins.module_utils import catalogue, view_backups
from ansible_collections.hearth.llm.plugins.module_utils.service_file import SpecError, read
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import load_specs
from fleet import MODEL, host, resolved, specs, two_hosts

STORE = {
    "title": "Store",
    "tier": "every",
    "variables": {"store_version": "6"},
    "images": {"store": {"name": "docker.io/some/store", "version": "store_version"}},
    "data": {
        "rows": {"container": "store", "dump": ["dump"], "restore": ["load"]},
        "files": {},
        "cache": {"replaceable": True},
    },
    "saved": ["keys"],
}


def solve(*hosts):
    return catalogue.resolve({**specs(), "store": read("store", "test.store", STORE, {})}, hosts)


def pair(**variables):
    return [
        host("edge", ["trusted"], "10.0.0.1", ["store"], **variables),
        host("gpu-1", ["compute"], "10.0.0.2", ["store"]),
    ]


def problem(*hosts):
    return solve(*hosts).problems[0]


def test_with_two_hosts_backups_leave_the_host_and_with_one_they_stay():
    fleet = solve(*pair()).fleet
    edge, gpu = (fleet["hosts"][name]["backups"]["repositories"][0] for name in ("edge", "gpu-1"))
    assert (edge["kind"], edge["name"], edge["place"]) == (
        "host",
        "gpu-1",
        "sftp://backup-edge@10.0.0.2//repository",
    )
    assert gpu["name"] == "edge"
    (only,) = solve(pair()[0]).fleet["hosts"]["edge"]["backups"]["repositories"]
    assert (only["kind"], only["place"]) == ("path", "/var/backups/hearth/edge")


def test_a_trusted_host_takes_backups_that_whoever_brings_them_cannot_delete():
    edge, gpu = pair()
    gpu = host(
        "gpu-1", ["compute"], "10.0.0.2", ["store"], backups_to=[{"host": "edge", "append_only": True}]
    )
    (found,) = solve(edge, gpu).fleet["hosts"]["gpu-1"]["backups"]["repositories"]
    assert found["append_only"]
    assert found["place"] == "rclone:hearth:"
    assert (found["account"], found["address"]) == ("backup-gpu-1", "10.0.0.1")


def test_a_host_knows_who_comes_in_and_whom_it_thins_out():
    edge, gpu = pair()
    bound = host(
        "gpu-1", ["compute"], "10.0.0.2", ["store"], backups_to=[{"host": "edge", "append_only": True}]
    )
    away = host("gpu-1", ["compute"], "10.0.0.2", ["store"], backups_to=[{"path": "/mnt"}])
    told = [view_backups.plan(solve(edge, other).fleet, "edge") for other in (gpu, bound, away)]
    assert [(plan["clients"], plan["thinned"]) for plan in told] == [
        (["backup-gpu-1"], []),
        (["backup-gpu-1"], ["backup-gpu-1"]),
        ([], []),
    ]
    led = view_backups.plan(
        with_a_chat(
            host("edge", ["trusted"], "10.0.0.1", ["chat"]), host("gpu-1", ["compute"], "10.0.0.2", ["store"])
        ),
        "gpu-1",
    )
    assert led["clients"] == ["backup-edge", "lead-edge"]


def test_a_trusted_host_is_preferred():
    three = [host("gpu-0", ["compute"], "10.0.0.3", ["store"]), *pair()]
    backups = {name: item["backups"] for name, item in solve(*three).fleet["hosts"].items()}
    assert backups["gpu-0"]["repositories"][0]["name"] == "edge"
    assert backups["edge"]["repositories"][0]["name"] == "gpu-0"


def test_each_host_with_data_has_a_key_of_its_own_and_one_without_has_none():
    platform = solve(*pair(), host("quiet", ["trusted"], "10.0.0.9", []))
    keys = [name for name in platform.secrets if name.startswith("backups_key")]
    assert keys == ["backups_key_edge", "backups_key_gpu_1"]
    assert platform.fleet["hosts"]["quiet"]["backups"] is None
    assert platform.fleet["secrets"]["backups_key_edge"]["rotate"] == "never"


def test_several_destinations_at_once_each_with_a_repository_of_the_hosts_own():
    to = [{"path": "/mnt/disk/"}, {"url": "rest:https://b.example:8000", "append_only": True}]
    found = solve(*pair(backups_to=to)).fleet["hosts"]["edge"]["backups"]["repositories"]
    assert [item["place"] for item in found] == ["/mnt/disk/edge", "rest:https://b.example:8000/edge"]
    assert [item["append_only"] for item in found] == [False, True]


@pytest.mark.parametrize(
    ("to", "word"),
    [
        ([{"path": "backups"}], "absolute path"),
        ([{"path": "/"}], "absolute path"),
        ([{"host": "edge"}], "lost with it"),
        ([{"host": "egde"}], "no host of the inventory"),
        ([{"host": "gpu-1", "path": "/mnt"}], "one of path, host and url"),
        ([{}], "one of path, host and url"),
        ([{"url": "https://b.example"}], "no place that restic knows"),
        ([{"url": "rest:https://me:pw@b.example"}], "password"),
        ([{"host": "gpu-1", "append_only": True}], "is no trusted host"),
        ([{"path": "/mnt", "append_only": True}], "append-only"),
        ([{"path": "/mnt"}, {"path": "/mnt"}], "twice"),
        ([{"pth": "/mnt"}], "pth"),
        ("nowhere", "dict"),
    ],
)
def test_a_bad_destination_is_a_problem(to, word):
    assert word in problem(*pair(backups_to=to)).expected


def test_the_program_is_told_what_to_save_and_not_what_can_be_had_again():
    plan = view_backups.plan(solve(*pair()).fleet, "edge")
    (service,) = plan["services"]
    assert [(item["name"], item["save"], item["place"]) for item in service["data"]] == [
        ("rows", "dump", "/srv/docker/store/rows"),
        ("files", "files", "/srv/docker/store/files"),
        ("keys", "files", "/srv/docker/store/keys"),
    ]
    assert service["versions"] == {"store": "6"}


def test_what_most_of_can_be_had_again_is_saved_with_the_program_that_knows_it():
    data = {"cache": {"replaceable": True, "container": "store", "regain": "cache.py"}}
    kinds = {**specs(), "store": read("store", "test.store", {**STORE, "data": data, "saved": []}, {})}
    fleet = catalogue.resolve(kinds, pair()).fleet
    (service,) = view_backups.plan(fleet, "gpu-1")["services"]
    assert [(item["name"], item["save"], item["regain"]) for item in service["data"]] == [
        ("cache", "files", "cache.py")
    ]
    assert fleet["hosts"]["gpu-1"]["backups"]["key"] == "backups_key_gpu_1"


def test_ollama_brings_programs_that_python_takes():
    """As the filter hands them to hosts: the text, not the file's name."""
    platform = catalogue.resolve(load_specs([]), [host("gpu-1", ["compute"], "10.0.0.2", ["ollama"])])
    (service,) = backup_plan(platform.fleet, "gpu-1")["services"]
    (models,) = service["data"]
    for program, word in ((models["regain"], "left-out"), (service["drill"]["program"], "api/tags")):
        compile(program, "program", "exec")
        assert word in program


def test_a_service_brings_a_program_for_the_drill_from_its_role():
    drill = {"container": "store", "port": 80, "program": "drill.py"}
    kinds = {**specs(), "store": read("store", "test.store", {**STORE, "drill": drill}, {})}
    (service,) = view_backups.plan(catalogue.resolve(kinds, pair()).fleet, "edge")["services"]
    assert (service["drill"], service["role"]) == (drill, "test.store")
    with pytest.raises(SpecError, match="drill.container names other"):
        read("store", "test.store", {**STORE, "drill": {**drill, "container": "other"}}, {})
    with pytest.raises(SpecError, match="drill has the keys"):
        read("store", "test.store", {**STORE, "drill": {"program": "drill.py"}}, {})


CHAT = {**STORE, "title": "Chat", "uses": {"store": "one"}, "tier": "trusted"}
CHAT["variables"], CHAT["images"] = (
    {"chat_version": "1"},
    {"chat": {"name": "docker.io/some/chat", "version": "chat_version"}},
)
CHAT["data"] = {"rows": {"container": "chat", "save": "sqlite", "databases": ["a.db"]}}


def with_a_chat(*hosts):
    kinds = {name: read(name, f"test.{name}", text, {}) for name, text in (("store", STORE), ("chat", CHAT))}
    return catalogue.resolve({**specs(), **kinds}, hosts).fleet


def test_services_of_which_one_uses_the_other_are_saved_together_and_the_one_that_uses_leads():
    hosts = [
        host("edge", ["trusted"], "10.0.0.1", ["chat"]),
        host("gpu-1", ["compute"], "10.0.0.2", ["store"]),
        host("gpu-2", ["compute"], "10.0.0.3", ["store"]),
    ]
    fleet = with_a_chat(*hosts)
    (group,) = view_backups.together(fleet)
    assert group == {
        "lead": "edge",
        "account": "lead-edge",
        "addresses": {"gpu-1": "10.0.0.2"},
        "members": {"edge": ["chat"], "gpu-1": ["store"]},
        "holds": {"edge": ["chat"], "gpu-1": []},
    }
    assert view_backups.plan(fleet, "edge")["follows"] == [{"host": "gpu-1", "account": "lead-edge"}]
    assert view_backups.plan(fleet, "gpu-1")["follows"] == []
    assert view_backups.plan(fleet, "gpu-1")["together"] == [group]
    assert view_backups.plan(fleet, "gpu-2")["together"] == [], "the chat uses the first one"


def test_on_one_host_they_are_together_without_anybody_to_call():
    (group,) = view_backups.together(
        with_a_chat(host("solo", ["trusted", "compute"], "10.0.0.1", ["chat", "store"]))
    )
    assert group["members"] == {"solo": ["chat", "store"]}
    assert group["addresses"] == {}


def test_services_that_do_not_use_each_other_are_saved_each_by_itself():
    assert view_backups.together(solve(*pair()).fleet) == []


def test_a_host_whose_data_are_all_replaceable_has_no_backup():
    fleet = resolved(two_hosts())
    assert fleet["hosts"]["edge"]["backups"] is None
    assert view_backups.plan(fleet, "edge")["services"] == []


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"save": "copy"}, "expected one of"),
        ({"save": "dump"}, "dump"),
        ({"save": "sqlite"}, "databases"),
        ({"databases": ["a.db"]}, "databases"),
        ({"save": "sqlite", "databases": ["../a.db"]}, "relative path"),
        ({"save": "paused"}, "container to pause"),
        ({"save": "files", "container": "model", "dump": ["a"], "restore": ["b"]}, "saved so"),
    ],
)
def test_service_yml_says_how_its_data_are_saved(data, word):
    with pytest.raises(SpecError, match=word):
        read("model", "test.model", {**MODEL, "data": {"store": data}}, {})
