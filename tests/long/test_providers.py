"""A gateway with a provider and without any model server of the platform's own, on one lab host: what reaches it.

The provider is a stand-in on another host, which answers with what it was asked (tests/lab/README.md).
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ..e2e.conftest import ROOT, Dumper
from ..lab import ssh
from .backends import COMPUTE, EDGE, Backends, prepared

pytestmark = pytest.mark.lab

REPEATER = ROOT / "tests" / "lab" / "repeater.py"
PORT = 11600
KEY = "key-of-a-provider-#1$"
PROVIDER = {
    "name": "other",
    "kind": "compatible",
    "url": f"http://{COMPUTE[0].address}:{PORT}/v1",
    "models": [
        {"name": "large", "model": "vendor/large-9"},
        {"name": "vectors", "model": "vectors-3", "kind": "embedding"},
        "broken",
    ],
}
ASK = """
import json, sys, urllib.error, urllib.request
path, key, body = json.load(sys.stdin)
headers = {'Content-Type': 'application/json', 'Authorization': 'Bearer ' + key}
request = urllib.request.Request('http://127.0.0.1:4000' + path, json.dumps(body).encode(), headers)
try:
    answer = urllib.request.urlopen(request, timeout=120)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, json.loads(answer.read())]))
"""
HELLO = [{"role": "user", "content": "Hello."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    folder = tmp_path_factory.mktemp("providers")
    found = prepared(folder, [EDGE.name, COMPUTE[0].name])
    edge = {
        "ansible_host": EDGE.address,
        "stacks": ["litellm"],
        "litellm_providers": [PROVIDER],
        "litellm_aliases": {"gpt-4o": "large"},
        "litellm_fallbacks": {"broken": ["large"]},
        "vault_litellm_provider_other": KEY,
    }
    (folder / "hosts.yml").write_text(yaml.dump({"trusted": {"hosts": {"edge": edge}}}, Dumper=Dumper))
    host = COMPUTE[0].name
    found.ssh(
        host,
        f"systemctl stop repeater 2>/dev/null; cat > /root/repeater.py <<'P'\n{REPEATER.read_text()}\nP\n",
    )
    found.ssh(host, f"systemd-run --quiet --unit=repeater python3 /root/repeater.py {PORT}")
    try:
        found.play("secrets").succeeded()
        found.deploy().succeeded()
        yield found
    finally:
        found.ssh(host, "systemctl stop repeater")
        found.play("stop-stacks")
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def key(gateway: Backends) -> str:
    return gateway.secret("litellm_probe_key")


def ask(_gateway: Backends, key: str, path: str, **body: Any) -> Any:
    """The answer to a client of the gateway, from inside its container."""
    program = base64.b64encode(ASK.encode()).decode()
    command = f"docker exec -i litellm python3 -c \"import base64; exec(base64.b64decode('{program}'))\""
    question = json.dumps([path, key, body])
    done = subprocess.run(
        ssh.command(EDGE, command), input=question, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    status, answer = json.loads(done.stdout)
    assert status == 200, answer
    return answer


def chat(gateway: Backends, key: str, **body: Any) -> dict[str, Any]:
    """What the provider was asked."""
    answer = ask(gateway, key, "/v1/chat/completions", **{"messages": HELLO, **body})
    found: dict[str, Any] = json.loads(answer["choices"][0]["message"]["content"])
    return found


def test_the_provider_is_given_its_key_and_its_own_name_for_the_model(gateway: Backends, key: str) -> None:
    said = chat(gateway, key, model="large")
    assert said["authorization"] == f"Bearer {KEY}"
    assert said["asked"]["model"] == "vendor/large-9"
    assert key not in json.dumps(said)


def test_an_alias_asks_for_its_model(gateway: Backends, key: str) -> None:
    assert chat(gateway, key, model="gpt-4o")["asked"]["model"] == "vendor/large-9"


def test_what_one_model_cannot_answer_its_fallback_does(gateway: Backends, key: str) -> None:
    assert chat(gateway, key, model="broken")["asked"]["model"] == "vendor/large-9"


def test_tools_and_the_call_of_one_pass_through(gateway: Backends, key: str) -> None:
    answer = ask(gateway, key, "/v1/chat/completions", model="large", messages=HELLO, tools=[TOOL])
    [choice] = answer["choices"]
    assert json.loads(choice["message"]["content"])["asked"]["tools"] == [TOOL]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {
        "name": "weather",
        "arguments": '{"city": "Bern"}',
    }


def test_a_picture_of_more_than_a_megabyte_passes_through(gateway: Backends, key: str) -> None:
    picture = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 6000).decode()
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    said = chat(gateway, key, model="large", messages=[{"role": "user", "content": content}])
    assert said["asked"]["messages"] == [{"role": "user", "content": content}]


def test_vectors_come_from_it_too(gateway: Backends, key: str) -> None:
    answer = ask(gateway, key, "/v1/embeddings", model="vectors", input=["some words"])
    assert answer["data"][0]["embedding"] == [0.5, 1.0]
