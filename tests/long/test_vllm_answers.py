"""vLLM as the role deploys it, beside an Ollama under the same name: the real server, built for the CPU.

Its cards are stand-ins (tests/lab/nvidia.sh): the engine hands one over by the toolkit's hook, and vLLM computes on the
CPU. The image is six gigabytes and is made for this test; the host is thrown away afterwards.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ..e2e.conftest import BIN, ROOT, Dumper, Platform
from ..lab import table
from ..lab.output import wait_until
from .backends import COMPUTE, EDGE, prepared

pytestmark = pytest.mark.lab

CARD = "GPU-5c3f1d7a-0f0e-4c1f-9a55-2f1f3a6f0b11"
VLLM, OLLAMA = COMPUTE[0].name, COMPUTE[1].name
IMAGE = table.images()["vllm"]
NVIDIA = ROOT / "tests" / "lab" / "nvidia.sh"
LOCAL = "/srv/docker/vllm/local"
MODEL = ROOT / "tests" / "lab" / "model" / "make_transformers.py"
ASK = """
import json, sys, urllib.request
key, body = json.load(sys.stdin)
headers = {'Content-Type': 'application/json', 'Authorization': 'Bearer ' + key}
request = urllib.request.Request('http://127.0.0.1:4000/v1/chat/completions', json.dumps(body).encode(), headers)
answer = urllib.request.urlopen(request, timeout=120)
print(json.dumps([answer.headers['x-hearth-backend'], answer.read().decode()]))
"""


class Mixed(Platform):
    """A gateway, a host with vLLM and one with Ollama."""

    def write(self, **variables: Any) -> None:
        vllm = {
            "ansible_host": COMPUTE[0].address,
            "stacks": ["vllm"],
            "vllm_version": IMAGE.tag,
            "image_mirror": table.mirror(),
            "vllm_model": "/models/tiny",
            "vllm_names": ["tiny"],
            "vllm_gpus": [CARD],
            "vllm_num_parallel": 4,
            "host_gpu_repository": "",
            **variables,
        }
        groups = {
            "trusted": {"hosts": {EDGE.name: {"ansible_host": EDGE.address, "stacks": ["litellm"]}}},
            "compute": {
                "hosts": {VLLM: vllm, OLLAMA: {"ansible_host": COMPUTE[1].address, "stacks": ["ollama"]}}
            },
        }
        (self.inventory / "hosts.yml").write_text(yaml.dump(groups, Dumper=Dumper))

    def ask(self, **more: Any) -> tuple[str, str]:
        """The server that answered, and the answer as it came."""
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 8, **more}
        asked = json.dumps([self.secret("litellm_probe_key"), body])
        command = (
            f"docker exec -i litellm python3 -c \"$(cat <<'ASK'\n{ASK}\nASK\n)\" <<'ASKED'\n{asked}\nASKED"
        )
        server, text = json.loads(self.ssh(EDGE.name, command))
        return server, text

    def servers(self, times: int = 12) -> set[str]:
        return {self.ask()[0] for _time in range(times)}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    folder = tmp_path_factory.mktemp("vllm") / "inventory"
    found = Mixed(prepared(folder, [EDGE.name, VLLM, OLLAMA]).inventory)
    found.write()
    try:
        subprocess.run([BIN / "python", "-m", "tests.lab", "load", VLLM, "vllm"], cwd=ROOT, check=True)
        found.ssh(VLLM, f"sh -s <<'STAND_INS'\n{NVIDIA.read_text()}\nSTAND_INS")
        make = f"docker run --rm -i -v {LOCAL}:/models --entrypoint python3 {IMAGE.reference} - /models/tiny"
        found.ssh(VLLM, f"mkdir -p {LOCAL} && {make} <<'MODEL'\n{MODEL.read_text()}\nMODEL")
        found.play("secrets").succeeded()
        found.deploy().succeeded()
        yield found
    finally:
        found.play("stop-stacks")
        subprocess.run([BIN / "python", "-m", "tests.lab", "down", VLLM], cwd=ROOT, check=True)
        shutil.rmtree(folder)


def container(mixed: Mixed, form: str) -> str:
    return mixed.ssh(VLLM, f"docker inspect vllm --format '{form}'").strip()


def test_it_starts_without_capabilities_and_is_healthy(mixed: Mixed) -> None:
    assert container(mixed, "{{.State.Health.Status}} {{.HostConfig.CapDrop}}") == "healthy [ALL]"


def test_the_engine_hands_it_the_card_that_it_asks_for(mixed: Mixed) -> None:
    environment = mixed.ssh(VLLM, f"cat /proc/{container(mixed, '{{.State.Pid}}')}/environ").split("\0")
    assert f"NVIDIA_VISIBLE_DEVICES={CARD}" in environment
    told = json.loads(mixed.ssh(VLLM, "cat /var/tmp/hook-was-told.json"))
    assert told["pid"] > 0, "the engine did not call the toolkit's hook"


def test_it_serves_what_the_role_says(mixed: Mixed) -> None:
    [model] = json.loads(mixed.ssh(VLLM, f"curl -fs http://{COMPUTE[0].address}:8000/v1/models"))["data"]
    assert (model["id"], model["root"], model["max_model_len"]) == ("tiny", "/models/tiny", 8192)


def test_one_name_is_answered_by_both(mixed: Mixed) -> None:
    assert mixed.servers() == {VLLM, OLLAMA}


def test_a_stream_ends_whole_whichever_answers(mixed: Mixed) -> None:
    answers = [mixed.ask(stream=True) for _time in range(12)]
    assert {server for server, _text in answers} == {VLLM, OLLAMA}
    assert all(text.rstrip().endswith("data: [DONE]") for _server, text in answers)


def test_nothing_to_do_the_second_time(mixed: Mixed) -> None:
    assert mixed.deploy().succeeded().changed == 0


def test_where_it_is_killed_the_other_answers_and_it_comes_back_by_itself(mixed: Mixed) -> None:
    mixed.ssh(VLLM, f"kill -KILL {container(mixed, '{{.State.Pid}}')}")
    assert mixed.servers() == {OLLAMA}
    wait_until(lambda: VLLM in mixed.servers(4), "vLLM among those that answer", 240)
    assert container(mixed, "{{.RestartCount}}") == "1"


def test_an_option_that_it_refuses_is_rolled_back_and_the_old_one_serves(mixed: Mixed) -> None:
    command, old = (container(mixed, form) for form in ("{{.Config.Cmd}}", "{{.Id}}"))
    mixed.write(vllm_arguments=["--load-format=no-such-format"])
    failed = mixed.deploy("--limit", VLLM)
    mixed.write()
    assert failed.code != 0
    assert "ROLLED BACK" in failed.output, failed.output
    assert container(mixed, "{{.Config.Cmd}} {{.State.Health.Status}}") == f"{command} healthy"
    assert container(mixed, "{{.Id}}") != old, "the refused one never took its place"
    assert VLLM in mixed.servers()
