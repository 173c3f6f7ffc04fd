"""The chat as people and their browsers see it, asked from inside its own container."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scenario import secret
from testinfra.host import Host

STACK = "/opt/stacks/openwebui"
OWN, FOREIGN = "https://chat.hearth.lan", "https://evil.example"

WEBSOCKET = """
import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession() as session:
        url = 'http://127.0.0.1:8080/ws/socket.io/?EIO=4&transport=websocket'
        async with session.ws_connect(url, headers={'Origin': sys.argv[1]}) as socket:
            print(await socket.receive_str())
asyncio.run(main())
"""


def ask(
    host: Host, path: str, token: str = "", body: Any = None, origin: str = OWN
) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of one request; a body makes it a POST."""
    options = ["-sS", "-m", "120", "-D", "/dev/stderr", "-w", "\n%{http_code}", "-H", f"Origin: {origin}"]
    if token:
        options += ["-H", f"Authorization: Bearer {token}"]
    if body is not None:
        options += ["-H", "Content-Type: application/json", "--data-binary", json.dumps(body)]
    places = " ".join(["%s"] * (len(options) + 1))
    run = host.run(f"docker exec open-webui curl {places}", *options, f"http://127.0.0.1:8080{path}")
    assert run.rc == 0, run.stderr
    text, _line, status = run.stdout.rpartition("\n")
    headers = dict(line.strip().lower().split(": ", 1) for line in run.stderr.splitlines() if ": " in line)
    return int(status), headers, text


@pytest.fixture(scope="module")
def password() -> str:
    return secret("openwebui_admin_password")


@pytest.fixture(scope="module")
def token(host: Host, password: str) -> str:
    status, _headers, text = ask(
        host, "/api/v1/auths/signin", body={"email": "admin@localhost", "password": password}
    )
    assert status == 200, text
    return json.loads(text)["token"]


def container(host: Host) -> dict[str, Any]:
    return json.loads(host.check_output("docker inspect open-webui"))[0]


class TestContainer:
    def test_it_is_ready_and_not_only_alive(self, host: Host) -> None:
        inspected = container(host)
        assert inspected["State"]["Health"]["Status"] == "healthy"
        assert inspected["Config"]["Healthcheck"]["Test"][-1].endswith("/ready")

    def test_it_has_no_more_rights_than_it_needs(self, host: Host) -> None:
        settings = container(host)["HostConfig"]
        assert settings["ReadonlyRootfs"]
        assert settings["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in settings["SecurityOpt"]
        assert settings["Memory"] == 2 * 1024**3

    def test_its_port_is_not_open_to_the_network(self, host: Host) -> None:
        assert container(host)["NetworkSettings"]["Ports"] == {"8080/tcp": None}

    def test_its_data_is_where_backups_look(self, host: Host) -> None:
        assert host.file("/srv/docker/openwebui/data/webui.db").is_file

    def test_its_pictures_are_there_though_its_files_are_read_only(self, host: Host) -> None:
        assert ask(host, "/static/loader.js")[0] == 200
        assert host.run("docker exec open-webui test -s /tmp/static/favicon.png").rc == 0


class TestPeople:
    def test_a_wrong_password_is_refused(self, host: Host) -> None:
        assert ask(host, "/api/v1/auths/signin", body={"email": "admin@localhost", "password": "x"})[0] == 400

    def test_the_first_account_administers(self, host: Host, token: str) -> None:
        assert json.loads(ask(host, "/api/v1/auths/", token)[2])["role"] == "admin"

    def test_nobody_makes_an_account_for_himself(self, host: Host) -> None:
        account = {"email": "stranger@example.org", "password": "a long password", "name": "stranger"}
        assert ask(host, "/api/v1/auths/signup", body=account)[0] == 403

    def test_without_signing_in_there_are_no_models(self, host: Host) -> None:
        assert ask(host, "/api/models")[0] == 401

    def test_the_session_travels_by_https_only(self, host: Host, password: str) -> None:
        _status, headers, _text = ask(
            host, "/api/v1/auths/signin", body={"email": "admin@localhost", "password": password}
        )
        assert "secure" in headers["set-cookie"]
        assert "httponly" in headers["set-cookie"]

    def test_only_its_own_page_may_speak_for_a_visitor(self, host: Host, token: str) -> None:
        assert ask(host, "/api/models", token)[1]["access-control-allow-origin"] == OWN
        assert "access-control-allow-origin" not in ask(host, "/api/models", token, origin=FOREIGN)[1]

    def test_the_live_connection_opens_for_its_own_page_only(self, host: Host) -> None:
        opened = host.run("docker exec open-webui python -c %s %s", WEBSOCKET, OWN)
        assert '"sid"' in opened.stdout, opened.stderr
        refused = host.run("docker exec open-webui python -c %s %s", WEBSOCKET, FOREIGN)
        assert refused.rc != 0
        assert '"sid"' not in refused.stdout


class TestModels:
    def test_the_gateways_models_are_offered(self, host: Host, token: str) -> None:
        models = [model["id"] for model in json.loads(ask(host, "/api/models", token)[2])["data"]]
        assert models == ["tiny"]
        assert json.loads(ask(host, "/api/config", token)[2])["default_models"] == "tiny"

    def test_a_question_is_answered(self, host: Host, token: str) -> None:
        question = {
            "model": "tiny",
            "max_tokens": 4,
            "messages": [{"role": "user", "content": "hello PROMPT-MARK"}],
        }
        status, _headers, text = ask(host, "/api/chat/completions", token, question)
        assert status == 200, text
        assert json.loads(text)["choices"][0]["message"]["content"]
        assert "PROMPT-MARK" not in host.check_output("docker logs open-webui 2>&1")

    def test_it_knows_the_gateway_by_a_key_of_its_own_and_no_other(self, host: Host, token: str) -> None:
        config = json.loads(ask(host, "/openai/config", token)[2])
        assert config["OPENAI_API_BASE_URLS"] == ["http://litellm:4000/v1"]
        assert config["OPENAI_API_KEYS"] == [secret("openwebui_gateway_key")]
        environment = "\n".join(container(host)["Config"]["Env"])
        assert secret("litellm_master_key") not in environment

    def test_ollama_is_not_asked_directly(self, host: Host, token: str) -> None:
        assert ask(host, "/ollama/api/tags", token)[0] == 503
        assert json.loads(ask(host, "/ollama/config", token)[2])["ENABLE_OLLAMA_API"] is False

    def test_an_embedding_model_from_the_internet_is_not_wanted(self, host: Host, token: str) -> None:
        config = json.loads(ask(host, "/api/v1/retrieval/embedding", token)[2])
        assert config["RAG_EMBEDDING_ENGINE"] == "openai"
        assert (
            json.loads(ask(host, "/api/v1/retrieval/config", token)[2])["BYPASS_EMBEDDING_AND_RETRIEVAL"]
            is True
        )


def test_what_an_administrator_changes_in_the_page_lasts_until_the_next_start(host: Host, token: str) -> None:
    """Open WebUI's persistent configuration would make every later deploy ineffective."""
    written = json.loads(ask(host, "/openai/config", token)[2])
    changed = {**written, "OPENAI_API_BASE_URLS": ["http://elsewhere:1/v1"]}
    assert ask(host, "/openai/config/update", token, changed)[0] == 200
    assert json.loads(ask(host, "/openai/config", token)[2]) == changed

    host.check_output("docker restart open-webui")
    host.check_output(
        "timeout 120 sh -c %s",
        "until [ $(docker inspect -f '{{.State.Health.Status}}' open-webui) = healthy ]; do sleep 1; done",
    )

    assert json.loads(ask(host, "/openai/config", token)[2]) == written
