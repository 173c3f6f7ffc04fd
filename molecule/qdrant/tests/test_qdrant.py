"""A document uploaded in Open WebUI becomes vectors in Qdrant, and a question finds it again."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from scenario import secret
from testinfra.host import Host

DOCUMENTS = {
    "heron.txt": "The heron's colour is vermilion and it lives near the lake.",
    "invoices.txt": "Invoices are paid within thirty days of their receipt.",
}
FILES = "open-webui_files"


def curl(host: Host, *options: str) -> tuple[int, str]:
    """Status and text of one request, from inside Open WebUI's container, which shares the network with Qdrant."""
    command = ["docker", "exec", "open-webui", "curl", "-sS", "-m", "60", "-w", "\n%{http_code}", *options]
    run = host.run(" ".join(["%s"] * len(command)), *command)
    assert run.rc == 0, run.stderr
    text, _line, status = run.stdout.rpartition("\n")
    return int(status), text


@pytest.fixture(scope="module")
def key() -> str:
    return secret("qdrant_api_key")


@pytest.fixture(scope="module")
def documents(host: Host) -> dict[str, str]:
    """Each document's id after its upload through Open WebUI's API, and the token as `token`."""
    login = {"email": "admin@localhost", "password": secret("openwebui_admin_password")}
    url = "http://127.0.0.1:8080/api/v1"
    body = ("-H", "Content-Type: application/json", "--data-binary")
    status, text = curl(host, *body, json.dumps(login), f"{url}/auths/signin")
    assert status == 200, text
    token = json.loads(text)["token"]
    found = {"token": token}
    for name, words in DOCUMENTS.items():
        host.check_output("docker exec open-webui sh -c %s", f"echo {json.dumps(words)} > /tmp/{name}")
        status, text = curl(
            host,
            *("-H", f"Authorization: Bearer {token}", "-F", f"file=@/tmp/{name};type=text/plain"),
            f"{url}/files/?process=true&process_in_background=false",
        )
        assert status == 200, text
        found[name] = json.loads(text)["id"]
    return found


def asked(host: Host, path: str, key: str = "", body: Any = None) -> tuple[int, Any]:
    """Qdrant's answer; a body makes it a POST."""
    options = ["-H", f"api-key: {key}"] if key else []
    if body is not None:
        options += ["-H", "Content-Type: application/json", "--data-binary", json.dumps(body)]
    status, text = curl(host, *options, f"http://qdrant:6333{path}")
    return status, json.loads(text) if text.startswith("{") else text


def container(host: Host) -> dict[str, Any]:
    return json.loads(host.check_output("docker inspect qdrant"))[0]


def test_a_document_becomes_vectors_in_qdrant(host: Host, documents: dict[str, str], key: str) -> None:
    tenant = {"key": "tenant_id", "match": {"value": f"file-{documents['heron.txt']}"}}
    status, answer = asked(
        host, f"/collections/{FILES}/points/scroll", key, {"filter": {"must": [tenant]}, "with_vector": True}
    )
    assert status == 200, answer
    (point,) = answer["result"]["points"]
    assert point["payload"]["text"] == DOCUMENTS["heron.txt"]
    assert len(point["vector"]) == 64, "not a vector of the platform's embedding model"


def test_a_question_finds_the_document_that_answers_it(host: Host, documents: dict[str, str]) -> None:
    wanted = [f"file-{documents[name]}" for name in DOCUMENTS]
    for question, name in (
        ("What colour is the heron?", "heron.txt"),
        ("When are invoices paid?", "invoices.txt"),
    ):
        status, text = curl(
            host,
            *("-H", f"Authorization: Bearer {documents['token']}", "-H", "Content-Type: application/json"),
            "--data-binary",
            json.dumps({"collection_names": wanted, "query": question, "k": 2}),
            "http://127.0.0.1:8080/api/v1/retrieval/query/collection",
        )
        assert status == 200, text
        assert json.loads(text)["documents"][0][0] == DOCUMENTS[name]


def test_nobody_reads_without_the_key(host: Host, documents: dict[str, str]) -> None:
    assert asked(host, "/collections")[0] == 401
    assert asked(host, "/collections", "a-wrong-key-of-some-length")[0] == 401
    assert asked(host, "/readyz")[0] == 200


def test_there_is_no_page_and_no_way_to_make_it_fetch_addresses(
    host: Host, documents: dict[str, str], key: str
) -> None:
    assert asked(host, "/dashboard")[0] == 404
    status, answer = curl(
        host,
        *("-X", "PUT", "-H", f"api-key: {key}", "-H", "Content-Type: application/json", "--data-binary"),
        json.dumps({"location": "http://open-webui:8080/"}),
        f"http://qdrant:6333/collections/{FILES}/snapshots/recover",
    )
    assert status == 403, answer
    assert "Telemetry reporting disabled" in host.check_output("docker logs qdrant 2>&1")


def test_vectors_and_snapshots_outlive_the_container(host: Host, documents: dict[str, str], key: str) -> None:
    before = asked(host, f"/collections/{FILES}/points/count", key, {})[1]["result"]["count"]
    assert before >= len(DOCUMENTS)
    status, answer = asked(host, f"/collections/{FILES}/snapshots", key, {})
    assert status == 200, answer
    snapshot = answer["result"]["name"]
    host.check_output("docker compose --project-directory /opt/stacks/qdrant up -d --force-recreate")
    for _attempt in range(60):
        if container(host)["State"]["Health"]["Status"] == "healthy":
            break
        time.sleep(0.5)
    assert asked(host, f"/collections/{FILES}/points/count", key, {})[1]["result"]["count"] == before
    assert host.file(f"/srv/docker/qdrant/snapshots/{FILES}/{snapshot}").size > 0


def test_it_has_no_more_rights_than_it_needs(host: Host) -> None:
    inspected = container(host)
    settings = inspected["HostConfig"]
    assert inspected["Config"]["User"] == "1000:1000"
    assert settings["ReadonlyRootfs"]
    assert settings["CapDrop"] == ["ALL"]
    limits = host.check_output("docker exec qdrant bash -c 'ulimit -n'")
    assert int(limits) >= 10000
    assert inspected["NetworkSettings"]["Ports"] == {"6333/tcp": None, "6334/tcp": None}
