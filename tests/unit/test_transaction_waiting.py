"""Data from a backup wait for a service's first start: they are loaded before it is there, and never over what runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engine_host import die_at, docker, failed
from one_way_service import in_a_directory

pytestmark = pytest.mark.docker


def refilled(service, **item):
    """A plan for a host where data from a backup wait for the service's first start."""
    waiting = service.host.root / "waiting" / service.host.name
    os.makedirs(waiting)
    data = {"name": "db", "place": service.place, "container": "svc", "restore": [], "regain": None, **item}
    return waiting, {**service.plan(1), "waiting": {"folder": str(waiting), "data": [data]}}


LOADS = ["/tiny", "write", "/data/told"]


def test_a_dump_that_waits_is_loaded_into_nothing_before_the_service_is_there(service):
    waiting, plan = refilled(service, restore=LOADS)
    (waiting / "db.dump").write_text("all my rows")
    if service.place.startswith("/"):
        os.makedirs(service.place)
        (Path(service.place) / "half").write_text("what an attempt before this one left")
    result = service.host.deploy(plan)
    assert result["outcome"] == "committed", result
    files = docker(
        "run", "--rm", "-v", f"{service.place}:/data", f"{service.host.image}:1", "cat", "/data/told"
    )
    assert files == "all my rows"
    assert not (Path(service.place) / "half").exists()
    assert not waiting.exists()


@in_a_directory
def test_a_dump_that_is_refused_is_there_for_the_next_attempt(service):
    os.makedirs(service.place)
    waiting, plan = refilled(service, restore=["/tiny", "exists", "/never"])
    (waiting / "db.dump").write_text("all my rows")
    error = failed(service.host.deploy(plan), "failed", "up")
    assert "refuses the dump" in error["message"]
    assert service.host.containers() == []
    assert (waiting / "db.dump").read_text() == "all my rows"
    plan["waiting"]["data"][0]["restore"] = LOADS
    assert service.host.deploy(plan)["outcome"] == "committed"
    assert (Path(service.place) / "told").read_text() == "all my rows"


@in_a_directory
def test_what_can_be_had_again_is_joined_with_what_is_there(service):
    os.makedirs(service.place)
    (Path(service.place) / "mine").write_text("there before")
    program = (
        "import pathlib, sys; _command, saved, place, _container = sys.argv[1:];"
        " pathlib.Path(place, 'got').write_text(pathlib.Path(saved, 'list').read_text())"
    )
    waiting, plan = refilled(service, regain=program)
    (waiting / "db").mkdir()
    (waiting / "db" / "list").write_text("one")
    assert service.host.deploy(plan)["outcome"] == "committed"
    found = {path.name: path.read_text() for path in Path(service.place).iterdir()}
    assert found.items() >= {"mine": "there before", "got": "one"}.items()
    assert not waiting.exists()


@in_a_directory
def test_killed_while_it_loads_the_next_attempt_begins_with_nothing(service):
    os.makedirs(service.place)
    waiting, plan = refilled(service, restore=LOADS)
    (waiting / "db.dump").write_text("all my rows")
    service.host.deploy_and_die(plan, die_at("up", "begin"))
    service.host.recover()
    (Path(service.place) / "half").write_text("rows that were loaded before the kill")
    assert service.host.deploy(plan)["outcome"] == "committed"
    assert not (Path(service.place) / "half").exists()
    assert (Path(service.place) / "told").read_text() == "all my rows"


@in_a_directory
def test_data_that_a_backup_put_in_place_are_not_copied_as_if_of_an_older_version(service):
    os.makedirs(service.place)
    (Path(service.place) / "version").write_text("1")
    waiting, plan = refilled(service)
    result = service.host.deploy(plan)
    assert result["outcome"] == "committed", result
    assert "copied" not in result["seconds"]
    assert not waiting.exists()


@in_a_directory
def test_what_runs_here_is_never_replaced_by_what_waits(one):
    waiting, plan = refilled(one, restore=LOADS)
    (waiting / "db.dump").write_text("old rows")
    result = one.host.deploy({**one.plan(2), "waiting": plan["waiting"]})
    assert result["outcome"] == "committed", result
    assert "copied" in result["seconds"]
    assert not (Path(one.place) / "told").exists()
