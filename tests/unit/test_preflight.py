"""What a look at a host can find in the way of a deploy."""

import copy

import pytest
from ansible_collections.hearth.llm.plugins.module_utils.preflight import lacks, problems

DOOR = {"name": "door", "front_door": {"http": 80, "https": 443}, "publish": None, "listens": []}
MODEL = {"name": "model", "front_door": {}, "publish": "10.0.0.2:11434", "listens": []}
LOOK = {
    "engine": {"present": True, "running": True, "version": "26.1.5", "compose": "2.26.1", "error": None},
    "system": {"arch": "x86_64"},
    "disks": {"/srv": {"free": 50 * 1024**3, "total": 100 * 1024**3, "device": "8:1"}},
    "listening": [],
    "stacks": {},
}


def look(**changes):
    return {**copy.deepcopy(LOOK), **changes}


def held(port, address="0.0.0.0", **more):
    row = {"port": port, "address": address, "protocol": "tcp", "holder": None, "pid": None, "project": None}
    return look(listening=[{**row, "container": None, **more}])


def test_nothing_is_in_the_way_of_a_good_host():
    assert problems("edge", [DOOR, MODEL], look(), engine_managed=False) == []


@pytest.mark.parametrize(
    ("found", "variable", "words"),
    [
        (held(443, holder="nginx", pid=17), "door_https_port", "nginx (process 17)"),
        (held(80, address="::", protocol="tcp6", container="web"), "door_http_port", "container web"),
        (held(11434, address="10.0.0.2"), "model_port", "another program"),
        (look(disks={"/srv": {"free": 1024**3, "total": 2, "device": "8:1"}}), "/srv", "less than 2 GiB"),
        (look(system={"arch": "riscv64"}), "architecture", "without images"),
        (look(engine={**LOOK["engine"], "version": "19.3.1"}), "Docker engine", "older than 20.10"),
        (look(engine={**LOOK["engine"], "compose": "1.29.2"}), "docker compose", "older than 2.20"),
        (look(engine={**LOOK["engine"], "running": False, "error": "refused"}), "Docker engine", "refused"),
        (look(engine={**LOOK["engine"], "compose": None}), "docker compose", "not there"),
        (look(stacks={"old": {"state": {"newer": "by a newer Hearth"}}}), "state_dir", "newer Hearth"),
    ],
)
def test_each_obstacle_is_named(found, variable, words):
    [problem] = problems("edge", [DOOR, MODEL], found, engine_managed=False)
    assert problem.variable == variable
    assert words in problem.expected
    assert problem.remedy


@pytest.mark.parametrize(
    "found",
    [
        held(443, project="door"),  # our own front door, running
        held(443, protocol="udp"),
        held(11434, address="127.0.0.1"),  # another address of the same host
    ],
)
def test_a_port_is_busy_only_for_others_and_on_the_same_address(found):
    assert problems("edge", [DOOR, MODEL], found, engine_managed=False) == []


def test_a_missing_engine_is_no_obstacle_where_it_will_be_installed():
    missing = look(engine={**LOOK["engine"], "running": False, "version": None, "compose": None})
    assert problems("edge", [DOOR], missing, engine_managed=True) == []


def test_a_host_without_services_is_not_judged():
    assert problems("edge", [], look(system={"arch": "riscv64"}), engine_managed=False) == []


def test_a_port_held_by_a_stack_that_left_the_inventory_is_freed_by_a_run_without_the_new_one():
    found = held(443, container="old", project="old")
    [problem] = problems("edge", [DOOR], found, engine_managed=False, off=["old"])
    assert problem.remedy == "leave door out of stacks for one run, which stops old"
    [problem] = problems("edge", [DOOR], found, engine_managed=False)
    assert "free port" in problem.remedy


UNIT = "/etc/systemd/system/unit"
READY = look(
    networks=["bridge", "frontend"],
    system={"arch": "x86_64", "systemd": True},
    container={"kind": None},
    paths={UNIT: {"exists": True}},
)


def test_a_host_that_has_everything_is_not_visited():
    assert lacks(READY, UNIT, {}) == []


@pytest.mark.parametrize(
    ("found", "options", "parts"),
    [
        ({"engine": {**LOOK["engine"], "running": False}}, {}, ["engine"]),
        ({"engine": {**LOOK["engine"], "running": False}}, {"manage_engine": False}, []),
        ({"engine": {**LOOK["engine"], "compose": None}}, {}, ["compose"]),
        ({}, {"daemon_options": {"debug": True}}, ["daemon"]),
        ({"networks": ["bridge"]}, {}, ["network"]),
        ({"paths": {UNIT: {"exists": False}}}, {}, ["recovery"]),
        ({"paths": {UNIT: {"exists": False}}}, {"recover_at_boot": False}, []),
        ({"gpus": {"hook": None, "cdi": None}}, {"manage_gpu": False}, []),
        ({"paths": {}, "system": {"arch": "x86_64", "systemd": False}}, {}, []),
    ],
)
def test_only_what_a_host_lacks_is_made(found, options, parts):
    assert lacks({**READY, **found}, UNIT, options) == parts


@pytest.mark.parametrize(
    ("hook", "cdi", "version", "parts"),
    [
        (None, None, "26.1.5", ["gpu"]),
        ("/usr/bin/nvidia-container-runtime-hook", None, "26.1.5", []),
        (None, "/etc/cdi/nvidia.yaml", "29.1.0", ["gpu"]),
        (None, "/etc/cdi/nvidia.yaml", "29.2.0", []),
    ],
)
def test_the_toolkit_is_brought_where_cards_are_wanted_and_cannot_be_handed_over(hook, cdi, version, parts):
    engine = {**READY["engine"], "version": version, "runtimes": ["nvidia", "runc"]}
    found = {
        **READY,
        "engine": engine,
        "gpus": {"hook": hook, "cdi": cdi, "taken_up": True, "no_cgroups": False},
    }
    assert lacks(found, UNIT, {}, wants_cards=True) == parts
    assert lacks(found, UNIT, {"manage_gpu": False}, wants_cards=True) == []
    assert lacks(found, UNIT, {}) == []


@pytest.mark.parametrize(
    ("runtimes", "taken_up", "kind", "no_cgroups", "parts"),
    [
        (["runc"], False, None, False, ["gpu"]),
        (["runc"], True, None, False, []),
        (["nvidia", "runc"], False, None, False, []),
        (["nvidia", "runc"], True, "lxc", False, ["gpu"]),
        (["nvidia", "runc"], True, "lxc", True, []),
    ],
)
def test_a_toolkit_that_an_aborted_run_left_is_finished(runtimes, taken_up, kind, no_cgroups, parts):
    hook = "/usr/bin/nvidia-container-runtime-hook"
    gpus = {"hook": hook, "cdi": None, "taken_up": taken_up, "no_cgroups": no_cgroups}
    engine = {**READY["engine"], "runtimes": runtimes}
    found = {**READY, "engine": engine, "gpus": gpus, "container": {"kind": kind}}
    assert lacks(found, UNIT, {}, wants_cards=True) == parts
    assert lacks(found, UNIT, {"manage_gpu": False}, wants_cards=True) == []


def test_a_network_of_a_single_service_is_made_too():
    assert lacks(READY, UNIT, {}, ["frontend", "chat_door"]) == ["network"]
