"""The plan for leaving the old structure: what gives way, what happens to its data, and what stands in the way."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import old_structure

GIB = 1024**3


def container(name: str, image: str, *mounts: tuple[str, str], **facts: Any) -> dict[str, Any]:
    return {
        "id": f"id-{name}",
        "name": name,
        "image": image,
        "version": image.rpartition(":")[2],
        "folder": "/opt/stacks/ai-compute" if name in ("ollama", "qdrant") else "/opt/stacks/ai",
        "running": True,
        "mounts": [{"destination": inside, "source": source, "type": "bind"} for source, inside in mounts],
        **facts,
    }


WEBUI = container(
    "open-webui", "ghcr.io/open-webui/open-webui:v0.6.5", ("/srv/docker/open-webui/data", "/app/backend/data")
)
OLLAMA = container("ollama", "ollama/ollama:0.12.3", ("/srv/docker/ollama/data", "/root/.ollama"))
QDRANT = container("qdrant", "qdrant/qdrant:v1.18.2", ("/srv/docker/qdrant/storage", "/qdrant/storage"))


def service(name: str, version: str, data: str | None = None, owner: str = "0:0") -> dict[str, Any]:
    path = f"/srv/docker/{name}/{data}"
    return {
        "name": name,
        "versions": {name: version},
        "mounts": {data: path} if data else {},
        "directories": [{"path": path, "owner": owner, "mode": "0755"}] if data else [],
        "variables": {},
    }


SERVICES = [
    service("openwebui", "v0.12.4", "data"),
    service("ollama", "0.32.15", "models"),
    service("qdrant", "v1.19.0", "storage", "1000:1000"),
]


def plan(
    *containers: dict[str, Any], fresh: tuple[str, ...] = (), drop: tuple[str, ...] = (), **found: Any
) -> Any:
    sources = [mount["source"] for item in containers for mount in item["mounts"]]
    look = {
        "folders": sorted({item["folder"] for item in containers}),
        "containers": containers,
        "sizes": dict.fromkeys(sources, GIB),
        "free": dict.fromkeys(sources, 10 * GIB),
        "taken": [],
        **found,
    }
    return old_structure.plan("solo", look, SERVICES, fresh, drop)


def moved(made: Any) -> list[tuple[str, str, str]]:
    return [(step["do"], step["from"], step["to"]) for step in made.steps if step["do"] in ("move", "copy")]


def test_old_containers_keep_everything_that_starting_them_again_needs() -> None:
    made = plan(WEBUI, OLLAMA)
    assert made.problems == []
    assert [(step["do"], step.get("name", step.get("to"))) for step in made.steps if "container" in step] == [
        ("stop", "open-webui"),
        ("rename", "open-webui-before-hearth"),
        ("stop", "ollama"),
        ("rename", "ollama-before-hearth"),
    ]
    assert made.services == ["openwebui", "ollama"]


def test_everything_is_stopped_before_data_is_touched() -> None:
    kinds = [step["do"] for step in plan(WEBUI, OLLAMA, QDRANT).steps]
    assert max(i for i, kind in enumerate(kinds) if kind == "stop") < min(
        i for i, kind in enumerate(kinds) if kind in ("move", "copy")
    )


def test_data_that_a_new_version_changes_is_copied_and_models_are_moved() -> None:
    assert moved(plan(WEBUI, OLLAMA)) == [
        ("copy", "/srv/docker/open-webui/data", "/srv/docker/openwebui/data"),
        ("move", "/srv/docker/ollama/data", "/srv/docker/ollama/models"),
    ]


def test_data_in_the_right_place_already_is_used_there_and_kept_beside_it() -> None:
    made = plan(QDRANT)
    kept = "/srv/docker/qdrant/storage.before-hearth"
    assert moved(made) == [
        ("move", "/srv/docker/qdrant/storage", kept),
        ("copy", kept, "/srv/docker/qdrant/storage"),
    ]
    assert made.steps[-1]["owner"] == "1000:1000"


@pytest.mark.parametrize(
    ("old", "image", "reason"),
    [
        (WEBUI, "ghcr.io/open-webui/open-webui:v0.1.113", "takes those of 0.3 and newer"),
        (WEBUI, "ghcr.io/open-webui/open-webui:v0.13.0", "is newer than v0.12.4"),
        (WEBUI, "ghcr.io/open-webui/open-webui:main", "version that cannot be told"),
        (OLLAMA, "ollama/ollama:0.1.27", "takes those of 0.2 and newer"),
        (QDRANT, "qdrant/qdrant:v1.7.4", "one minor version before only"),
    ],
)
def test_data_that_the_new_version_cannot_read_is_refused_until_one_starts_without_it(
    old: dict[str, Any], image: str, reason: str
) -> None:
    item = {**old, "image": image, "version": image.rpartition(":")[2]}
    (problem,) = plan(item).problems
    assert reason in problem.expected
    name = old_structure.KNOWN[image.split("/")[-1].split(":")[0]].service
    assert f'"fresh_start": ["{name}"]' in problem.remedy
    made = plan(item, fresh=(name,))
    assert made.problems == []
    assert not [step for step in moved(made) if step[0] == "copy"]


def test_a_fresh_start_leaves_the_old_data_beside_the_new() -> None:
    assert moved(plan(QDRANT, fresh=("qdrant",))) == [
        ("move", "/srv/docker/qdrant/storage", "/srv/docker/qdrant/storage.before-hearth")
    ]
    assert moved(plan(WEBUI, fresh=("openwebui",))) == []


def test_a_container_without_a_counterpart_is_not_lost_unasked() -> None:
    watch = container("watchtower", "containrrr/watchtower:1.7.1")
    (problem,) = plan(WEBUI, watch).problems
    assert problem.variable == "watchtower"
    made = plan(WEBUI, watch, drop=("watchtower",))
    assert made.problems == []
    assert "watchtower" not in made.services


def test_a_service_that_the_host_does_not_list_is_told() -> None:
    (problem,) = plan(container("litellm", "ghcr.io/berriai/litellm:v1.70.0")).problems
    assert "add litellm to the stacks of solo" in problem.remedy


@pytest.mark.parametrize(
    ("found", "variable"),
    [
        ({"taken": ["/srv/docker/openwebui/data"]}, "/srv/docker/openwebui/data"),
        ({"free": {"/srv/docker/open-webui/data": GIB}}, "/srv/docker/open-webui/data"),
        ({"folders": ["/opt/stacks/ai", "/opt/stacks/ai-compute"]}, "/opt/stacks/ai-compute"),
    ],
    ids=["the new place is taken", "no room for a copy", "a folder without containers"],
)
def test_what_stands_in_the_way_is_told(found: dict[str, Any], variable: str) -> None:
    (problem,) = plan(WEBUI, **found).problems
    assert problem.variable == variable


def test_what_an_earlier_migration_kept_is_not_overwritten() -> None:
    kept = "/srv/docker/qdrant/storage.before-hearth"
    (problem,) = plan(QDRANT, taken=["/srv/docker/qdrant/storage", kept]).problems
    assert problem.variable == kept


def test_data_in_a_stacks_directory_is_not_removed_with_it() -> None:
    item = {**WEBUI, "mounts": [{**WEBUI["mounts"][0], "source": "/opt/stacks/ai/open-webui"}]}
    (problem,) = plan(item).problems
    assert "removed at the end" in problem.expected


def test_the_key_of_sessions_and_the_zones_serial_carry_over() -> None:
    zone = {"name": "bind9", "variables": {"bind9_serial_floor": 0}}
    keys = {"vault_webui_secret_key": "old", "vault_openwebui_secret_key": "another"}
    found = old_structure.inventory_problems("solo", [*SERVICES, zone], keys)
    assert [problem.variable for problem in found] == ["vault_openwebui_secret_key", "bind9_serial_floor"]
    assert "old" not in [problem.value for problem in found]
    zone["variables"] = {"bind9_serial_floor": old_structure.OLD_SERIAL}
    keys["vault_openwebui_secret_key"] = "old"
    assert old_structure.inventory_problems("solo", [*SERVICES, zone], keys) == []
