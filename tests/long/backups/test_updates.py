"""Before an update that changes data for good a service is saved where all backups go. Last: it does not go back."""

from __future__ import annotations

import pytest

from .people import People

pytestmark = pytest.mark.lab


def test_a_service_is_saved_before_its_data_change_for_good(people: People) -> None:
    people.play("backup").succeeded()
    me = people.signs_in()
    chat = people.writes_a_chat(me, "written after the last backup")
    image, tag = (
        people.ssh("edge", "docker inspect open-webui --format '{{.Config.Image}}'").strip().rsplit(":", 1)
    )
    people.ssh("edge", f"docker tag {image}:{tag} {image}:{tag}.1")

    run = people.deploy(
        "--limit", "edge", "--tags", "openwebui", "-e", f"openwebui_version={tag}.1"
    ).succeeded()

    assert "openwebui: is saved before its update, as pre-update" in run.output
    assert (
        people.ssh("edge", "docker inspect open-webui --format '{{.Config.Image}}'").strip()
        == f"{image}:{tag}.1"
    )
    mine = [row for row in people.snapshots("edge") if row["service"] == "openwebui"]
    assert ["pre-update" in row["tags"] for row in sorted(mine, key=lambda row: row["time"])][-2:] == [
        False,
        True,
    ]
    assert people.reads_a_chat(me, chat)[0] == "written after the last backup"

    people.deploy(
        "--limit",
        "edge",
        "--tags",
        "openwebui",
        "-e",
        f"openwebui_version={tag}.1",
        "-e",
        '{"openwebui_resources": {"open-webui": {"cpus": 1}}}',
    ).succeeded()
    assert len([row for row in people.snapshots("edge") if row["service"] == "openwebui"]) == len(mine)
