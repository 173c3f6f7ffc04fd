"""The gateway as its clients see it: who gets in, to what, and how often. Asked from inside its own container."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from scenario import play, secret
from testinfra.host import Host

STACK = "/opt/stacks/litellm"
QUESTION = {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "hello PROMPT-MARK"}]}

ASK = """
import base64, json, sys, urllib.error, urllib.request
q = json.loads(base64.b64decode(sys.argv[1]))
body = None if q['body'] is None else json.dumps(q['body']).encode()
headers = {'Content-Type': 'application/json', **q['headers']}
try:
    a = urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:4000' + q['path'], body, headers), timeout=120)
except urllib.error.HTTPError as error:
    a = error
print(json.dumps([a.status, {k.lower(): v for k, v in a.headers.items()}, a.read().decode()]))
"""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def ask(host: Host, path: str, key: str = "", body: Any = None, **headers: str) -> Answer:
    if key:
        headers = {"Authorization": f"Bearer {key}", **headers}
    question = json.dumps({"path": path, "body": body, "headers": headers})
    encoded = base64.b64encode(question.encode()).decode()
    return Answer(*json.loads(host.check_output("docker exec litellm python3 -c %s %s", ASK, encoded)))


@pytest.fixture(scope="module")
def master_key() -> str:
    return secret("litellm_master_key")


@pytest.fixture(scope="module")
def probe_key() -> str:
    return secret("litellm_probe_key")


def container(host: Host) -> dict[str, Any]:
    return json.loads(host.check_output("docker inspect litellm"))[0]


class TestContainer:
    def test_it_is_healthy(self, host: Host) -> None:
        assert container(host)["State"]["Health"]["Status"] == "healthy"

    def test_it_has_no_more_rights_than_it_needs(self, host: Host) -> None:
        settings = container(host)["HostConfig"]
        assert settings["ReadonlyRootfs"]
        assert settings["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in settings["SecurityOpt"]
        assert settings["Memory"] == 2 * 1024**3

    def test_granian_serves_it(self, host: Host) -> None:
        assert ask(host, "/health/liveliness").headers["server"] == "granian"

    def test_its_port_is_not_open_to_the_network(self, host: Host) -> None:
        assert container(host)["NetworkSettings"]["Ports"] == {"4000/tcp": None}

    def test_no_file_but_its_env_file_holds_a_key(self, host: Host, master_key: str, probe_key: str) -> None:
        holders = [
            host.run("grep -rlF -e %s %s", key, STACK).stdout.split() for key in (master_key, probe_key)
        ]
        assert holders == [[f"{STACK}/.env.litellm"], []]
        assert host.file(f"{STACK}/.env.litellm").mode == 0o600

    def test_it_looks_nowhere_outside_for_prices_and_shows_no_pages(self, host: Host) -> None:
        environment = container(host)["Config"]["Env"]
        assert "LITELLM_LOCAL_MODEL_COST_MAP=True" in environment
        for page in ("/docs", "/redoc", "/openapi.json"):
            assert ask(host, page).status == 404


class TestModels:
    def test_completions_are_answered_and_name_their_backend(self, host: Host, probe_key: str) -> None:
        answer = ask(host, "/v1/chat/completions", probe_key, QUESTION)
        assert answer.status == 200
        assert answer.json["choices"][0]["message"]["content"]
        assert answer.headers["x-hearth-backend"] == "solo"
        assert answer.headers["x-hearth-replica"] == container(host)["Config"]["Hostname"]

    def test_a_stream_comes_in_pieces_and_names_its_backend(self, host: Host, probe_key: str) -> None:
        answer = ask(host, "/v1/chat/completions", probe_key, {**QUESTION, "stream": True})
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-hearth-backend"] == "solo"
        assert answer.text.count("data: {") > 1
        assert answer.text.rstrip().endswith("data: [DONE]")

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            (
                "/v1/chat/completions",
                {"model": "tiny", "max_completion_tokens": 4, "messages": QUESTION["messages"]},
            ),
            ("/v1/responses", {"model": "tiny", "input": "hello", "max_output_tokens": 4}),
            ("/v1/messages", {"model": "tiny", "max_tokens": 4, "messages": QUESTION["messages"]}),
            ("/v1/completions", {"model": "tiny", "prompt": "hello", "max_tokens": 4}),
        ],
    )
    def test_the_other_ways_of_asking_work_too_and_name_who_answered(
        self, host: Host, probe_key: str, path: str, body: dict[str, Any], stream: bool
    ) -> None:
        answer = ask(host, path, probe_key, {**body, "stream": stream})
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream") == stream
        assert answer.headers["x-hearth-backend"] == "solo"
        assert answer.headers["x-hearth-replica"] == container(host)["Config"]["Hostname"]

    def test_vectors_name_who_made_them(self, host: Host, probe_key: str) -> None:
        answer = ask(host, "/v1/embeddings", probe_key, {"model": "tiny", "input": "hello"})
        assert answer.json["data"][0]["embedding"]
        assert answer.headers["x-hearth-backend"] == "solo"
        assert answer.headers["x-hearth-replica"] == container(host)["Config"]["Hostname"]

    def test_every_model_of_the_inventory_is_listed(self, host: Host, probe_key: str) -> None:
        assert [model["id"] for model in ask(host, "/v1/models", probe_key).json["data"]] == ["tiny"]


def test_of_a_lone_server_that_lost_its_model_one_is_told_so_and_it_comes_back(
    host: Host, probe_key: str
) -> None:
    """Its checks fail, and it is asked all the same: by its name in Docker, which HAProxy resolves by itself."""
    host.check_output("docker exec ollama ollama cp tiny spare && docker exec ollama ollama rm tiny")
    try:
        until = time.monotonic() + 120
        while "tiny/solo is DOWN" not in host.check_output("docker logs litellm-haproxy 2>&1"):
            assert time.monotonic() < until, "HAProxy never noticed that the model is gone"
            time.sleep(1)
        answer = ask(host, "/v1/chat/completions", probe_key, QUESTION)
        assert answer.status == 404
        assert "not found" in answer.json["error"]["message"]
    finally:
        host.check_output("docker exec ollama ollama cp spare tiny && docker exec ollama ollama rm spare")
    assert ask(host, "/v1/chat/completions", probe_key, QUESTION).status == 200


class TestKeys:
    @pytest.mark.parametrize("key", ["", "sk-1234", "sk-unknown-0123456789"])
    def test_an_unknown_key_is_refused_in_openais_way(self, host: Host, key: str) -> None:
        answer = ask(host, "/v1/chat/completions", key, QUESTION)
        assert answer.status == 401
        assert answer.json["error"]["message"]
        assert not key or key not in answer.text

    def test_the_digest_of_a_key_is_no_key(self, host: Host) -> None:
        clients = yaml.safe_load(host.file(f"{STACK}/config/clients.yaml").content_string)["clients"]
        assert ask(host, "/v1/models", clients[0]["key_sha256"]).status == 401

    @pytest.mark.parametrize(
        "path",
        [
            *("/key/info", "/key/list", "/user/info", "/team/list", "/config/yaml", "/get/config/callbacks"),
            *("/model/info", "/v1/model/info", "/health", "/routes", "/spend/logs", "/global/spend"),
            *("/v1/files", "/v1/batches", "/v1/mcp/server", "/openai/deployments/tiny/chat/completions"),
        ],
    )
    def test_a_client_reaches_no_page_of_management(self, host: Host, probe_key: str, path: str) -> None:
        assert ask(host, path, probe_key).status == 403

    def test_a_client_makes_no_keys_and_no_models(self, host: Host, probe_key: str) -> None:
        assert ask(host, "/key/generate", probe_key, {}).status == 403
        assert ask(host, "/model/new", probe_key, {"model_name": "x", "litellm_params": {}}).status == 403

    def test_a_forged_host_header_opens_no_door(self, host: Host, probe_key: str) -> None:
        assert ask(host, "/key/info", probe_key, Host="openai.localhost/v1/models?x=1").status == 403

    def test_a_client_does_not_send_the_gateway_to_servers_of_its_own(
        self, host: Host, probe_key: str
    ) -> None:
        body = {**QUESTION, "api_base": "http://127.0.0.1:9"}
        answer = ask(host, "/v1/chat/completions", probe_key, body)
        assert answer.status in (400, 401)
        assert "api_base is not allowed" in answer.text

    def test_the_master_key_manages_and_calls_no_model(self, host: Host, master_key: str) -> None:
        assert ask(host, "/model/info", master_key).status == 200
        assert ask(host, "/v1/chat/completions", master_key, QUESTION).status == 403


class TestLimits:
    def test_a_client_uses_the_models_of_its_list(self, host: Host) -> None:
        assert ask(host, "/v1/chat/completions", secret("litellm_client_tiny_only"), QUESTION).status == 200

    @pytest.mark.parametrize(
        "body",
        [
            {**QUESTION, "model": "other"},
            {**QUESTION, "model": "tiny,other"},
            {**QUESTION, "model": "ollama_chat/other"},
            {**QUESTION, "fallbacks": ["other"]},
        ],
    )
    def test_a_client_uses_no_other_model(self, host: Host, body: dict[str, Any]) -> None:
        answer = ask(host, "/v1/chat/completions", secret("litellm_client_tiny_only"), body)
        assert answer.status == 403
        assert "not available for this API key" in answer.json["error"]["message"]

    def test_an_empty_list_means_no_model(self, host: Host) -> None:
        key = secret("litellm_client_nothing")
        assert ask(host, "/v1/models", key).json["data"] == []
        assert ask(host, "/v1/chat/completions", key, QUESTION).status == 403

    def test_one_request_too_many_is_refused_and_others_are_not_affected(self, host: Host) -> None:
        hurried, other = secret("litellm_client_two_a_minute"), secret("litellm_client_everything")
        answers = [ask(host, "/v1/chat/completions", hurried, QUESTION) for attempt in range(4)]
        assert 429 in [answer.status for answer in answers]
        assert [answer.status for answer in answers].count(200) <= 2
        assert answers[-1].headers["retry-after"]
        assert ask(host, "/v1/chat/completions", other, QUESTION).status == 200


def test_a_clients_key_is_replaced_without_a_restart_and_the_old_one_is_refused(host: Host) -> None:
    name = "litellm_client_everything"
    old, started = secret(name), container(host)["State"]["StartedAt"]
    said = play("rotate-secrets", secret=name)
    new = secret(name)
    assert new != old
    assert (ask(host, "/v1/models", old).status, ask(host, "/v1/models", new).status) == (401, 200)
    assert container(host)["State"]["StartedAt"] == started
    assert old not in said
    assert new not in said


def test_neither_keys_nor_prompts_are_in_the_log(host: Host, master_key: str, probe_key: str) -> None:
    ask(host, "/v1/chat/completions", probe_key, QUESTION)
    ask(host, "/v1/chat/completions", "sk-unknown-0123456789", QUESTION)
    ask(host, "/v1/chat/completions", probe_key, {**QUESTION, "model": "no-such-model"})

    log = host.check_output("docker logs litellm 2>&1")

    assert "not known here" in log
    for private in ("PROMPT-MARK", "sk-unknown-0123456789", master_key, probe_key):
        assert private not in log
