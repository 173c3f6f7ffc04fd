"""By which versions one gets to a newer one, and what a deploy must not jump over."""

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import catalogue, moves, service_file, versions
from fleet import host, one

QDRANT = ("v1.15.5", "v1.16.3", "v1.17.0", "v1.17.1", "v1.18.2", "v1.19.0")
AUTHENTIK = ["2025.10.4", "2025.12.3", "2026.2.4", "2026.5.2", "2026.5.3", "2026.8.3"]


def service(path="one_minor", known=QDRANT, wanted="v1.19.0", reversible=False):
    """A service as the catalogue resolves it."""
    described = {
        "title": "Store",
        "tier": "compute",
        "variables": {"store_version": wanted, "store_side_version": "3", "store_models": []},
        "images": {
            "db": {"name": "docker.io/store/db", "version": "store_version"},
            "side": {"name": "docker.io/side", "version": "store_side_version"},
        },
        "data": {"db": {"owner": "1:1"}},
        "update": {
            "reversible": reversible,
            "why": "" if reversible else "it migrates",
            "versions": {"store_version": {"path": path, "known": list(known)}},
        },
    }
    spec = service_file.read("store", "test.store", described, {})
    on = host("gpu-1", ["compute"], "10.0.0.2", ["store"], image_mirror="reg.lan:5000")
    found = catalogue.resolve({"store": spec}, [on])
    assert found.problems == []
    return one(found.fleet, "store")


def running(version):
    items = {"db": f"store/db:{version}@sha256:12", "side": "side:3"}
    return {"containers": {name: {"service": name, "image": image} for name, image in items.items()}}


@pytest.mark.parametrize(
    ("path", "known", "now", "wanted", "way"),
    [
        ("any", [], "v0.12.4", "v0.14.0", ["v0.14.0"]),
        ("any", [], "v0.12.4", "v0.12.4", []),
        ("one_minor", QDRANT, "v1.18.0", "v1.19.0", ["v1.19.0"]),
        ("one_minor", QDRANT, "v1.19.0", "v1.19.3", ["v1.19.3"]),
        ("one_minor", QDRANT, "v1.16.1", "v1.19.0", ["v1.17.1", "v1.18.2", "v1.19.0"]),
        # The list lacks 1.20, so nobody knows whether one gets to 1.21.
        ("one_minor", QDRANT, "v1.18.2", "v1.21.0", None),
        ("one_minor", QDRANT, "v1.19.0", "v2.0.1", ["v2.0.1"]),
        ("one_minor", QDRANT, "v1.18.2", "v2.0.0", ["v1.19.0", "v2.0.0"]),
        ("every_major", AUTHENTIK, "2026.5.1", "2026.8.3", ["2026.8.3"]),
        ("every_major", AUTHENTIK, "2025.12.1", "2026.8.3", ["2026.2.4", "2026.5.3", "2026.8.3"]),
        ("every_major", AUTHENTIK, "2024.6.1", "2026.8.3", None),
        ("dump_restore", [], "17.6", "18.1", ["18.1"]),
        ("one_minor", QDRANT, "nightly", "v1.19.0", ["v1.19.0"]),
    ],
)
def test_the_way_to_a_version(path, known, now, wanted, way):
    assert versions.steps({"path": path, "known": known}, now, wanted) == way


def test_a_jump_is_refused_with_the_way_and_the_command_that_walks_it():
    [problem] = versions.problems(service(), running("v1.17.0"))
    assert (problem.variable, problem.value) == ("store_version", "v1.19.0")
    assert "v1.17.0 → v1.18.2 → v1.19.0" in problem.expected
    assert "-e walk=store" in problem.remedy


def test_one_step_a_first_install_and_the_same_version_are_no_problem():
    for stack in (running("v1.18.2"), running("v1.19.0"), None, {"containers": {}, "state": None}):
        assert versions.problems(service(), stack) == []


def test_a_stack_that_is_down_goes_by_what_was_committed():
    stack = {"containers": {}, "state": running("v1.17.0")}
    assert len(versions.problems(service(), stack)) == 1


@pytest.mark.parametrize(("decision", "count"), [("drop", 0), ("undo", 0), ("commit", 1)])
def test_a_change_that_was_interrupted_counts_only_where_it_was_proven(decision, count):
    stack = {**running("v1.19.0"), "state": running("v1.18.2"), "transaction": {"decision": decision}}
    assert len(versions.problems(service(wanted="v1.18.2"), stack)) == count
    first = {**running("v1.19.0"), "state": None, "transaction": {"decision": decision}}
    assert len(versions.problems(service(wanted="v1.18.2"), first)) == count


def test_data_that_were_migrated_do_not_go_back():
    [problem] = versions.problems(service(wanted="v1.18.2"), running("v1.19.0"))
    assert "it migrates" in problem.expected
    assert versions.problems(service(wanted="v1.18.2", reversible=True, path="any"), running("v1.19.0")) == []


def test_a_way_that_nobody_knows_is_refused():
    [problem] = versions.problems(service(wanted="v1.21.0"), running("v1.18.2"))
    assert "no versions between are known" in problem.expected


def test_the_walk_names_every_version_of_each_step():
    assert versions.walk(service(), running("v1.17.0")) == [
        {"store_version": "v1.18.2", "store_side_version": "3"},
        {"store_version": "v1.19.0", "store_side_version": "3"},
    ]


def test_a_service_on_the_way_has_the_images_and_variables_of_its_step():
    step = versions.with_versions(service(), {"store_version": "v1.18.2", "store_side_version": "3"})
    assert step["images"] == {"db": "reg.lan:5000/store/db:v1.18.2", "side": "reg.lan:5000/side:3"}
    assert step["variables"] == {
        "store_version": "v1.18.2",
        "store_side_version": "3",
        "store_models": [],
    }
    wanted = "v1.19.0@sha256:" + 64 * "0"
    pinned = versions.with_versions(service(wanted=wanted), {"store_version": "v1.19.0"})
    assert pinned["images"]["db"].endswith(wanted)


def test_the_table_says_what_runs_what_is_pinned_and_what_is_newer():
    rows = [("gpu-1", "store", row) for row in versions.found(service(wanted="v1.18.2"), running("v1.16.3"))]
    _head, first, second = versions.table(rows)
    assert first == (
        *("gpu-1", "store", "v1.16.3", "v1.18.2", "v1.19.0"),
        "v1.16.3 → v1.17.1 → v1.18.2; newer: store_version: v1.19.0",
    )
    assert second == ("gpu-1", "store", "3", "3", "", "")


# Moves --------------------------------------------------------------------------------------------------------------


def fleet(place="/srv/docker/store/db", replaceable=False):
    data = {"db": {"place": place, "replaceable": replaceable}}
    return {
        "hosts": {"old": {"services": []}, "new": {"services": ["store"]}},
        "services": [{"name": "store", "host": "new", "data": data}],
    }


def looks(*, state=None, empty=True, volumes=()):
    paths = {"/srv/docker/store/db": {"empty": empty}}
    return {
        "old": {"stacks": {"store": {"state": {"format": 2}}}},
        "new": {"stacks": {"store": {"state": state}}, "paths": paths, "volumes": list(volumes)},
    }


def test_a_stack_that_would_begin_anew_without_its_data_is_refused():
    [problem] = moves.problems(fleet(), looks())
    assert (problem.host, problem.value) == ("new", "store")
    assert "its data are on old" in problem.expected


@pytest.mark.parametrize(
    ("platform", "found"),
    [
        (fleet(), looks(empty=False)),  # copied there, or restored
        (fleet(), looks(state={"format": 2})),  # it runs there already
        (fleet(replaceable=True), looks()),
        (fleet("store_db"), looks(volumes=["store_db"])),
        (fleet(), {"new": looks()["new"]}),  # the other host is not in the run
    ],
)
def test_a_move_that_loses_nothing_is_none_of_our_business(platform, found):
    assert moves.problems(platform, found) == []


def test_a_volume_that_is_not_there_is_missing_too():
    assert len(moves.problems(fleet("store_db"), looks())) == 1
