"""After the migration the new stacks serve the old data, and of the old structure only the data is left.

That a migration which fails brings the old stacks back is seen while the scenario is prepared.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scenario import secret
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def key() -> str:
    return secret("qdrant_api_key")


def test_every_container_belongs_to_a_stack_of_its_own(host: Host) -> None:
    label = '{{.Names}} {{.Label "com.docker.compose.project"}}'
    found = dict(line.split() for line in host.check_output("docker ps -a --format %s", label).splitlines())
    assert {name: found.get(name) for name in ("open-webui", "litellm", "ollama", "qdrant")} == {
        "open-webui": "openwebui",
        "litellm": "litellm",
        "ollama": "ollama",
        "qdrant": "qdrant",
    }
    assert not [name for name in found if name.endswith("before-hearth")]


def test_the_old_stacks_are_gone_and_their_data_is_not(host: Host) -> None:
    assert not host.file("/opt/stacks/ai").exists
    assert not host.file("/opt/stacks/ai-compute").exists
    assert not host.file("/var/lib/hearth/migration.json").exists
    assert host.file("/srv/docker/open-webui/data/webui.db").is_file
    assert host.file("/srv/docker/qdrant/storage.before-hearth").is_directory


def test_people_sign_in_with_the_account_that_they_had(host: Host) -> None:
    body = json.dumps({"email": "kept@example.org", "password": "the-password-of-before"})
    answer = host.check_output(
        "docker exec open-webui curl -sS -H %s -d %s http://127.0.0.1:8080/api/v1/auths/signin",
        "Content-Type: application/json",
        body,
    )
    assert json.loads(answer)["role"] == "admin"


def test_models_and_vectors_are_there(host: Host, key: str) -> None:
    host.check_output("docker exec ollama ollama show heirloom")
    answer = host.check_output(
        "docker exec open-webui curl -sS -H %s http://qdrant:6333/collections", f"api-key: {key}"
    )
    assert "heirloom" in [item["name"] for item in json.loads(answer)["result"]["collections"]]
