"""The effective state of a host that runs Ollama: what its API says, not what a file says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host


@pytest.fixture(scope="module")
def container(host: Host) -> dict[str, Any]:
    return json.loads(host.check_output("docker container inspect ollama"))[0]


@pytest.fixture(scope="module")
def url(container: dict[str, Any]) -> str:
    return f"http://{container['NetworkSettings']['Networks']['frontend']['IPAddress']}:11434"


def ask(host: Host, url: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ollama's answer, asked from the host itself, which has no curl."""
    program = (
        "import sys, urllib.request as u; "
        "print(u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode() or None), timeout=120).read().decode())"
    )
    return json.loads(
        host.check_output("python3 -c %s %s %s", program, url + path, json.dumps(body) if body else "")
    )


def test_it_is_healthy_and_comes_back_after_a_reboot(container: dict[str, Any]) -> None:
    assert container["State"]["Health"]["Status"] == "healthy"
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_it_has_no_capability_and_cannot_write_into_its_image(host: Host, container: dict[str, Any]) -> None:
    status = host.check_output(f"grep CapEff /proc/{container['State']['Pid']}/status")
    assert int(status.split()[1], 16) == 0
    assert host.run("docker exec ollama touch /etc/hearth").rc != 0


def test_the_model_of_the_inventory_answers(host: Host, url: str) -> None:
    messages = [{"role": "user", "content": "hello"}]
    answer = ask(host, url, "/v1/chat/completions", {"model": "tiny", "messages": messages, "max_tokens": 4})
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["usage"]["completion_tokens"] >= 1


def test_the_modelfile_took_effect(host: Host, url: str) -> None:
    shown = ask(host, url, "/api/show", {"model": "tiny"})
    assert shown["template"] == "{{ .Prompt }}"
    assert dict(line.split() for line in shown["parameters"].splitlines())["num_predict"] == "24"


def test_the_context_is_the_inventorys_and_not_the_cards(host: Host) -> None:
    # The lab's model was made for 2048 tokens, so what it is loaded with does not show the setting; the server does.
    started = host.check_output("docker logs ollama 2>&1 | grep 'server config' | tail -1")
    assert "OLLAMA_CONTEXT_LENGTH:8192 " in started


def test_models_outlive_the_container(host: Host) -> None:
    assert host.file(
        "/srv/docker/ollama/models/models/manifests/registry.ollama.ai/library/tiny/latest"
    ).is_file


def test_no_port_is_open_where_no_other_host_needs_it(host: Host) -> None:
    assert host.check_output("docker port ollama") == ""


def test_models_that_run_elsewhere_are_off(container: dict[str, Any]) -> None:
    assert "OLLAMA_NO_CLOUD=1" in container["Config"]["Env"]


def test_nothing_of_a_file_that_was_sent_stays_behind(host: Host) -> None:
    assert host.check_output("find /var/lib/hearth/jobs -name '*.gguf' -o -path '*/files/*' -type f") == ""
