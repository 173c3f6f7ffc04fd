"""What verify says of backups: their age, that of the last drill, and what failed."""

from __future__ import annotations

import time

from ansible_collections.hearth.llm.plugins.module_utils import backup_ages, catalogue
from ansible_collections.hearth.llm.plugins.module_utils.service_file import read
from fleet import host, specs
from test_catalogue_backups import STORE

HOUR = 3600


def fleet():
    services = {**specs(), "store": read("store", "test.store", STORE, {})}
    return catalogue.resolve(services, [host("edge", ["trusted"], "10.0.0.1", ["store"])]).fleet


def told(**service):
    found = {"run": None, "saved": {}, "drill": None, "drilled": None, **service}
    look = {"backups": {"repositories": {}, "services": {"store": found}}}
    return backup_ages.text(fleet(), {"edge": look})


def ended(good, message=""):
    return {"time": time.time(), "seconds": 1.0, "good": good, "message": message}


def test_the_place_that_is_furthest_behind_counts():
    now = time.time()
    saved = {"disk": {"time": now - 3 * HOUR}, "gpu-1": {"time": now - 50 * HOUR}}
    text = told(saved=saved, drilled=now - 5 * 24 * HOUR)
    assert "saved 2 days ago to gpu-1" in text
    assert "restored by a drill 5 days ago" in text


def test_what_failed_last_is_said():
    text = told(run=ended(False, "the repository gpu-1 is full"), drill=ended(False, "no such table"))
    assert "never saved" in text
    assert "the last backup failed: the repository gpu-1 is full" in text
    assert "the last drill failed: no such table" in text


def test_a_damaged_repository_is_said():
    repositories = {"disk": {"id": "1", "checked": ended(False, "the repository disk is damaged")}}
    look = {"backups": {"repositories": repositories, "services": {"store": {}}}}
    assert "edge: the repository disk is damaged" in backup_ages.text(fleet(), {"edge": look})


def test_a_host_without_any_backup_is_told_the_command():
    assert "playbooks/backup.yml" in backup_ages.text(fleet(), {"edge": {"backups": None}})
    assert backup_ages.text(fleet(), {"edge": None}) == "", "a host that was not looked at"


def test_a_backup_from_the_future_is_not_young():
    text = told(saved={"disk": {"time": time.time() + 5 * HOUR}})
    assert "in the future: look at the clock" in text
