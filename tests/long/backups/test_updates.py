"""Before an update that changes data for good a service is saved where all backups go. Last: it does not go back."""

from __future__ import annotations

import pytest

from .people import People

pytestmark = pytest.mark.lab


IMAGE = "docker inspect open-webui --format '{{.Config.Image}}'"


def saved(people: People) -> list[bool]:
    """Of each snapshot of the chat, oldest first, whether it was made before an update."""
    mine = [row for row in people.snapshots("edge") if row["service"] == "openwebui"]
    return ["pre-update" in row["tags"] for row in sorted(mine, key=lambda row: row["time"])]


def test_a_service_is_saved_before_its_data_change_for_good(people: People) -> None:
    people.play("backup").succeeded()
    before = saved(people)
    me = people.signs_in()
    chat = people.writes_a_chat(me, "written after the last backup")
    old = people.ssh("edge", IMAGE).strip()
    new = f"{old}.1"
    people.ssh("edge", f"docker tag {old} {new}")
    update = ["--limit", "edge", "--tags", "openwebui", "-e", f"openwebui_version={new.rpartition(':')[2]}"]

    run = people.deploy(*update).succeeded()

    assert "openwebui: is saved before its update, as pre-update" in run.output
    assert people.ssh("edge", IMAGE).strip() == new
    assert saved(people) == [*before, True]
    assert people.reads_a_chat(me, chat)[0] == "written after the last backup"

    # A change that is no update makes none.
    people.deploy(*update, "-e", '{"openwebui_resources": {"open-webui": {"cpus": 1}}}').succeeded()
    assert saved(people) == [*before, True]
