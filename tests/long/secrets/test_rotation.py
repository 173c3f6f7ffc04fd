"""Every secret is replaced while the platform is used; what was valid before is refused at every door afterwards."""

from __future__ import annotations

import json

import pytest

from .conftest import HOST, OURS, Secure, load

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def chat(secure: Secure) -> str:
    """A chat that somebody had before anything was replaced."""
    token = secure.sign_in(secure.secrets()["vault_openwebui_admin_password"])[1]["token"]
    body = {"chat": {"title": "written before", "messages": []}}
    status, answer = secure.ask("chat", "/api/v1/chats/new", body, Authorization=f"Bearer {token}")
    assert status == 200, answer
    return answer["id"]


@pytest.fixture(scope="module")
def kept(secure: Secure) -> None:
    """A pad and a vector that somebody stored before anything was replaced."""
    now = secure.secrets()
    secure.write_pad(now["vault_traefik_user_reader"], "written before")
    key = {"api-key": now["vault_qdrant_api_key"]}
    shape = {"vectors": {"size": 2, "distance": "Cosine"}}
    assert secure.say("qdrant", 6333, "PUT", "/collections/kept", shape, **key)[0] == 200
    points = {"points": [{"id": 1, "vector": [1, 2], "payload": {"stored": "before"}}]}
    assert secure.say("qdrant", 6333, "PUT", "/collections/kept/points?wait=true", points, **key)[0] == 200


def restarts(secure: Secure) -> list[tuple[float, float]]:
    """When the gateway or the front door were being changed, by the journals on the host: seconds since the epoch."""
    found = []
    for service in ("litellm", "traefik"):
        listed = secure.host(f"cat /var/lib/hearth/transactions/{service}/*/journal.jsonl")
        times = {"placed": 0.0}
        for line in listed.splitlines():
            entry = json.loads(line)
            if (entry["step"], entry["phase"]) == ("placed", "begin"):
                times["placed"] = entry["t"]
            if (entry["step"], entry["phase"]) == ("committed", "done"):
                found.append((times["placed"], entry["t"]))
    return found


def test_everything_is_replaced_under_load(secure: Secure, chat: str, kept: None) -> None:
    before = secure.secrets()
    session = secure.sign_in(before["vault_openwebui_admin_password"])[1]["token"]
    plan = secure.rotate("--check").succeeded().output
    assert secure.secrets() == before
    [planned] = [line for line in plan.splitlines() if line.startswith(" restarts:")]
    restarting = {*OURS, "store"} - {"ollama", "rustpad"}
    assert set(planned.partition(": ")[2].split(", ")) == {f"{name} on {HOST}" for name in restarting}

    with load(secure, "vault_litellm_client_team") as asked:
        run = secure.rotate().succeeded()

    after = secure.secrets()
    assert asked.asked > 10
    away = restarts(secure)
    for begin, end, what in asked.failed:
        assert any(begin <= to and end >= since for since, to in away), (begin, end, what, away)
    unchanged = {"vault_hearth_fingerprint_key", "vault_openwebui_data_key", f"vault_backups_key_{HOST}"}
    assert set(after) == set(before)
    assert {name for name in after if after[name] == before[name]} == unchanged
    assert not [value for value in (*before.values(), *after.values()) if value in run.output]
    secure.answers()
    refused_everywhere(secure, before, session)
    token = secure.sign_in(after["vault_openwebui_admin_password"])[1]["token"]
    status, found = secure.ask("chat", f"/api/v1/chats/{chat}", Authorization=f"Bearer {token}")
    assert (status, found["title"]) == (200, "written before")
    assert secure.pad(after["vault_traefik_user_reader"]) == (200, b"written before")
    point = secure.say(
        "qdrant", 6333, "GET", "/collections/kept/points/1", **{"api-key": after["vault_qdrant_api_key"]}
    )
    assert json.loads(point[1])["result"]["payload"] == {"stored": "before"}
    again = secure.deploy().succeeded()
    assert again.changed == 0, again.output


def refused_everywhere(secure: Secure, old: dict[str, str], session: str) -> None:
    """Every old value at every door that could take it."""
    for name, value in old.items():
        if not name.startswith(("vault_litellm", "vault_openwebui_gateway")):
            continue
        for path in ("/v1/models", "/model/info", "/key/info"):
            assert secure.inside("litellm", 4000, path, Authorization=f"Bearer {value}") == 401, (name, path)
        assert secure.chats(value) == 401, name
    assert secure.sign_in(old["vault_openwebui_admin_password"])[0] == 400
    assert secure.ask("chat", "/api/v1/auths/", Authorization=f"Bearer {session}")[0] == 401
    assert secure.inside("open-webui", 8080, "/api/v1/auths/", Authorization=f"Bearer {session}") == 401
    assert secure.basic(old["vault_traefik_user_reader"]) == 401
    assert not secure.store(old["vault_store_password"])
    assert secure.pad(old["vault_traefik_user_reader"])[0] == 401
    assert secure.vectors(old["vault_qdrant_api_key"]) == 401
    assert not secure.administers(old["vault_authentik_admin_password"])
    assert not secure.database(old["vault_authentik_database_password"])
    assert not secure.signs("acme", old["vault_bind9_acme_key"])
    assert not secure.signs("rndc", old["vault_bind9_rndc_key"])
    bearer = {"Authorization": f"Bearer {old['vault_authentik_outpost_token']}"}
    assert secure.inside("authentik-server", 9000, "/api/v3/outposts/instances/", **bearer) == 403


def test_an_old_key_stays_valid_as_long_as_the_operator_wants(secure: Secure) -> None:
    name = "vault_litellm_client_team"
    old = secure.secrets()[name]
    secure.rotate(secret="litellm_client_team", keep_old=True).succeeded()
    new = secure.secrets()[name]
    assert (secure.chats(old), secure.chats(new)) == (200, 200)
    secure.rotate(secret="litellm_client_team").succeeded()
    assert secure.secrets()[name] == new
    assert (secure.chats(old), secure.chats(new)) == (401, 200)


def test_half_a_rotation_can_be_taken_back(secure: Secure) -> None:
    before = secure.secrets()["vault_litellm_probe_key"]
    secure.rotate(secret="litellm_probe_key", keep_old=True).succeeded()
    new = secure.secrets()["vault_litellm_probe_key"]
    secure.rotate(secret="litellm_probe_key", undo=True).succeeded()
    assert secure.secrets()["vault_litellm_probe_key"] == before
    assert (secure.chats(before), secure.chats(new)) == (200, 401)


def test_a_service_that_is_down_is_told_before_anything_changes(secure: Secure) -> None:
    before = secure.vault.read_bytes()
    secure.host("docker stop store")
    try:
        run = secure.rotate("--tags", "store")
    finally:
        secure.host("docker start store")
    assert run.code != 0
    assert "a rotation begins when every service" in run.output
    assert secure.vault.read_bytes() == before


def test_one_that_is_never_rotated_is_refused_with_the_reason(secure: Secure) -> None:
    before = secure.vault.read_bytes()
    run = secure.rotate(secret="openwebui_data_key")
    assert run.code != 0
    assert "second factors" in run.output
    assert secure.vault.read_bytes() == before


def test_an_older_checkout_of_the_vault_deploys_nothing(secure: Secure) -> None:
    stale = secure.vault.read_bytes()
    secure.rotate(secret="store_password").succeeded()
    newest = secure.vault.read_bytes()
    secure.vault.write_bytes(stale)
    try:
        run = secure.deploy()
    finally:
        secure.vault.write_bytes(newest)
    assert run.code != 0
    assert "is older than what Store runs with" in run.output
    secure.answers()
