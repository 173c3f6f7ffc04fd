"""From an inventory to an answer, over a trusted and a compute host, each with its own engine, reached over ssh."""

from __future__ import annotations

import json
import re
import ssl
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import httpx2  # the OpenAI library's own HTTP client
import openai
import pytest

from ..lab.output import wait_until
from .conftest import EDGE, GPU_1, GPU_2

pytestmark = pytest.mark.lab
GATEWAY = "https://openai.hearth.lan"
QUESTION = {"model": "tiny", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}


def test_the_first_deploy_ends_with_a_models_answer(platform):
    last = platform.first.lines[-1]
    assert last.startswith("hearth: answered by tiny (random weights: its words mean nothing) through ")
    assert f"{GATEWAY}/v1" in last
    assert platform.first.recap["edge"]["failed"] == 0


def test_a_second_run_changes_nothing_and_still_proves(platform):
    before = {host: platform.containers(host) for host in ("edge", "gpu-1")}
    run = platform.deploy().succeeded()
    assert run.changed == 0, run.output
    assert run.lines[-1].startswith("hearth: answered by tiny")
    assert {host: platform.containers(host) for host in ("edge", "gpu-1")} == before


def test_where_no_model_answers_verify_fails_and_says_why(platform):
    """Every container is healthy; what is cut is the way from the gateway to the model's server."""
    platform.cut_off("gpu-1", 11434)
    try:
        run = platform.play("verify")
    finally:
        platform.join("gpu-1")
    assert run.code != 0
    assert re.search(rf"No model answered: {re.escape(GATEWAY)}/v1 answered 5\d\d ", run.output), run.output
    assert "docker logs litellm" in run.output
    wait_until(lambda: platform.play("verify").code == 0, "an answer again", 60)


def test_the_answers_path_is_proven_at_every_station(platform, http, client_key):
    since = platform.ssh("edge", "date +%s").strip()
    status, headers, reply = http(f"{GATEWAY}/v1/chat/completions", client_key, QUESTION)
    assert status == 200
    assert reply["choices"][0]["message"]["content"] is not None
    assert headers["x-hearth-backend"] == "gpu-1"
    access = [
        json.loads(line)
        for line in platform.ssh("edge", f"docker logs --since {since} traefik 2>&1").splitlines()
        if line.startswith("{") and '"RequestPath"' in line
    ]
    seen = [row for row in access if row["RequestPath"] == "/v1/chat/completions"]
    assert [row["RequestHost"] for row in seen] == ["openai.hearth.lan"]
    assert client_key not in json.dumps(access)
    ollama = platform.ssh("gpu-1", f"docker logs --since {since} ollama 2>&1")
    assert f'{EDGE} | POST     "/v1/chat/completions"' in ollama


@pytest.mark.parametrize("key", [None, "sk-wrong-0123456789abcdefghijklmnop"])
def test_without_a_good_key_there_is_no_answer(http, key):
    status, _headers, _payload = http(f"{GATEWAY}/v1/chat/completions", key, QUESTION)
    assert status == 401


@pytest.mark.parametrize(
    "path",
    ["/ui", "/key/generate", "/key/list", "/user/list", "/config/yaml", "/model/new", "/metrics", "/health"],
)
def test_management_is_out_of_a_clients_reach(platform, client_key, path):
    code = platform.ssh(
        "outsider",
        f"curl -sk -o /dev/null -w '%{{http_code}} %{{redirect_url}}' --resolve openai.hearth.lan:443:{EDGE}"
        f" -H 'Authorization: Bearer {client_key}' {GATEWAY}{path}",
    ).split()
    # The way in is signing in, which a key does not do.
    assert code[0] in ("302", "403"), code
    assert code[0] == "403" or "/outpost.goauthentik.io/" in code[1] or "auth.hearth.lan" in code[1]


def test_the_openai_library_works_streaming_and_not(names, ca, client_key):
    trusting = httpx2.Client(verify=ssl.create_default_context(cafile=str(ca)), trust_env=False)
    client = openai.OpenAI(base_url=f"{GATEWAY}/v1", api_key=client_key, http_client=trusting)
    whole = client.chat.completions.create(**QUESTION)
    assert whole.choices[0].finish_reason in ("stop", "length")
    pieces = list(client.chat.completions.create(**QUESTION, stream=True))
    assert len(pieces) > 1
    assert [model.id for model in client.models.list()] == ["tiny"]


def test_a_plain_curl_from_another_machine_works(platform, client_key, ca):
    platform.ssh("outsider", f"cat > /root/ca.crt <<'E'\n{ca.read_text()}\nE")
    body = json.dumps({**QUESTION, "stream": True})
    streamed = platform.ssh(
        "outsider",
        f"curl -fsSN --cacert /root/ca.crt --resolve openai.hearth.lan:443:{EDGE} {GATEWAY}/v1/chat/completions "
        f"-H 'Authorization: Bearer {client_key}' -H 'Content-Type: application/json' -d '{body}'",
    )
    assert streamed.count("data: {") > 1
    assert streamed.rstrip().endswith("data: [DONE]")


def test_http_is_redirected_and_the_chat_page_is_served(platform, ca):
    redirect = platform.ssh(
        "outsider",
        f"curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' -H 'Host: chat.hearth.lan' http://{EDGE}/",
    )
    assert redirect.split()[0] in ("301", "308")
    assert redirect.split()[1] == "https://chat.hearth.lan/"
    page = platform.ssh(
        "outsider",
        f"curl -fsS --cacert /root/ca.crt --resolve chat.hearth.lan:443:{EDGE} https://chat.hearth.lan/",
    )
    assert "Open WebUI" in page


def test_one_table_has_the_host_that_computes_its_models_and_their_speed(platform):
    run = platform.play("gpu").succeeded()
    heading = next(i for i, line in enumerate(run.lines) if re.match(r" host +card +memory used", line))
    rows = [re.split(r"  +", line.strip()) for line in run.lines[heading + 1 :]]
    assert rows[0][:2] == ["gpu-1", "none"]
    (tiny,) = (row for row in rows if "tiny:latest" in row)
    assert "processor" in tiny, "there is no card in the lab"
    assert float(tiny[-1]) > 0
    assert run.changed == 0


def test_one_variable_changes_one_service_and_its_container_runs_with_it(platform):
    before = platform.containers("edge")
    override = ("-e", '{"openwebui_resources": {"open-webui": {"memory": "1900m"}}}')
    check = platform.deploy("--check", *override).succeeded()
    assert check.changed == 1, check.output
    assert platform.containers("edge") == before
    run = platform.deploy(*override).succeeded()
    after = platform.containers("edge")
    assert {name for name in after if after[name] != before.get(name)} == {"open-webui"}, run.output
    memory = platform.ssh("edge", "docker inspect open-webui --format '{{.HostConfig.Memory}}'")
    assert int(memory) == 1900 * 1024**2
    platform.deploy().succeeded()


def test_a_limited_run_is_proven_where_it_ran_and_names_what_it_left_stale(platform):
    run = platform.deploy("--limit", "gpu-1", "-e", '{"ollama_port": 11435}').succeeded()
    assert f"through http://{GPU_1}:11435/v1" in run.lines[-1]
    assert "stale: litellm on edge (uses ollama on gpu-1)" in run.output
    assert re.search(r"--limit edge --tags \S*\blitellm\b", run.output), run.output
    assert set(run.recap) == {"gpu-1"}
    platform.deploy("--limit", "gpu-1").succeeded()


def test_a_tag_without_a_model_is_proven_by_health(platform):
    run = platform.deploy("--tags", "openwebui").succeeded()
    assert run.changed == 0
    assert "openwebui   edge" in run.output
    assert not run.lines[-1].startswith("hearth: answered")


def test_a_third_host_becomes_a_backend_by_one_inventory_entry(platform, inventory_with, http, client_key):
    def add(hosts):
        hosts["compute"]["hosts"]["gpu-2"] = {"ansible_host": GPU_2, "stacks": ["ollama"]}

    before = platform.containers("edge")
    platform.deploy(inventory=inventory_with(add)).succeeded()
    after = platform.containers("edge")
    assert after == before
    # At once: a request goes to the server with the fewest, and alone the first one always has none.
    with ThreadPoolExecutor(8) as pool:
        asked = [(f"{GATEWAY}/v1/chat/completions", client_key, QUESTION)] * 32
        answers = list(pool.map(lambda request: http(*request), asked))
    assert {headers["x-hearth-backend"] for _status, headers, _reply in answers} == {"gpu-1", "gpu-2"}
    platform.deploy().succeeded()


def test_all_mistakes_are_reported_at_once_and_no_host_is_touched(platform, inventory_with):
    def spoil(hosts):
        edge = hosts["trusted"]["hosts"]["edge"]
        edge["stacks"] = ["litellm", "openwebui", "traefik", "olama"]
        edge["openwebui_hostname"] = "openai"
        edge["litellm_timout"] = 3
        edge["vault_litellm_master_key"] = "sk-1234"
        edge["litellm_clients"] = [{"name": "a", "modles": []}]
        hosts["compute"]["hosts"]["gpu-1"]["address"] = "10.77.0.300"
        hosts["compute"]["hosts"]["gpu-1"]["ollama_models"] = [{"name": "m", "source": "floppy"}]
        hosts["compute"]["hosts"]["gpu-1"]["stacks"] = ["ollama", "litellm"]

    before = {host: platform.containers(host) for host in ("edge", "gpu-1")}
    run = platform.deploy(inventory=inventory_with(spoil))
    assert run.code != 0
    for words in (
        "is not a known service",
        "did you mean ollama?",
        "also the hostname of",
        "litellm_timout",
        "is a placeholder, not a secret",
        "modles",
        "10.77.0.300",
        "ollama_models[0].source = floppy",
        "litellm runs on trusted hosts",
        "no host was changed",
    ):
        assert words in run.output, f"{words} not in:\n{run.output}"
    assert "sk-1234" not in run.output
    assert {host: platform.containers(host) for host in ("edge", "gpu-1")} == before


def test_a_port_held_by_something_else_is_found_before_anything_is_touched(platform, inventory_with):
    platform.ssh("edge", "systemd-run --unit=squatter python3 -m http.server 8443")
    try:

        def move(hosts):
            hosts["trusted"]["hosts"]["edge"]["traefik_https_port"] = 8443

        before = platform.containers("edge")
        run = platform.deploy(inventory=inventory_with(move))
        assert run.code != 0
        assert "traefik_https_port = 8443" in run.output
        assert "held by python3" in run.output
        assert platform.containers("edge") == before
    finally:
        platform.ssh("edge", "systemctl stop squatter")


def test_an_unknown_tag_is_an_error_not_an_empty_run(platform):
    run = platform.deploy("--tags", "olama")
    assert run.code != 0
    assert "did you mean ollama?" in run.output


def test_secrets_stand_in_files_of_mode_0600_and_nowhere_else(platform):
    for host, names in {
        "edge": ["litellm_master_key", "openwebui_secret_key", "openwebui_gateway_key"]
    }.items():
        for name in names:
            value = platform.secret(name)
            found = platform.ssh(host, f"grep -rlF -- {value} /opt/stacks /var/lib/hearth || true").split()
            modes = {platform.ssh(host, f"stat -c %a {path}").strip() for path in found}
            assert found, f"{name} is nowhere"
            assert modes == {"600"}
            assert all("/.env." in path for path in found), found
            labels = platform.ssh(
                host, "docker ps -q | xargs docker inspect --format '{{json .Config.Labels}}'"
            )
            assert value not in labels


def test_after_a_reboot_of_each_host_the_platform_answers_without_a_run(platform, http, client_key):
    for host in ("gpu-1", "edge"):
        platform.reboot(host)
    deadline = time.monotonic() + 300
    while True:
        try:
            status, _headers, _reply = http(f"{GATEWAY}/v1/chat/completions", client_key, QUESTION)
            if status == 200:
                break
        except (urllib.error.URLError, OSError):
            pass
        assert time.monotonic() < deadline, "no answer after the reboots"
        time.sleep(2)
    assert platform.deploy().succeeded().changed == 0


def test_the_installed_collection_deploys_the_same(platform, installed_collection):
    run = platform.play("hearth.llm.deploy_stacks", **installed_collection)
    assert run.succeeded().changed == 0
    assert run.lines[-1].startswith("hearth: answered by tiny") or "hearth: answered by tiny" in run.output


def test_a_service_of_ones_own_is_a_folder_and_any_secret_survives(platform, inventory_with, own_service):
    """Outside the collection: deployed under its own tag; its container gets the secret byte for byte."""

    def add(hosts):
        edge = hosts["trusted"]["hosts"]["edge"]
        edge["stacks"] = [*edge["stacks"], "echo"]
        edge["service_folders"] = [str(own_service.folder)]
        edge["vault_echo_word"] = own_service.word

    inventory = inventory_with(add)
    run = platform.deploy("--tags", "echo", inventory=inventory).succeeded()
    assert "echo   edge" in run.output
    environment = platform.ssh("edge", "docker inspect echo --format '{{json .Config.Env}}'")
    assert f"WORD={own_service.word}" in json.loads(environment)
    assert own_service.word not in run.output
    platform.play("stop-stacks", "--tags", "echo", inventory=inventory).succeeded()
    assert "echo" not in platform.containers("edge")
