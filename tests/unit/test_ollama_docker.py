# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.ollama_model against the real Ollama, under the restrictions of the role's compose file."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests/lab/model"
IMAGE = "hearth.lab/ollama/ollama:0.17.4"
TINY = {
    "name": "tiny",
    "source": "gguf",
    "path": str(MODEL / "tiny.gguf"),
    "modelfile": str(MODEL / "Modelfile"),
}
PADDING = 8_000_000

pytestmark = pytest.mark.docker


def docker(*arguments):
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def has_image():
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return bool(docker("image", "ls", "-q", IMAGE))
    return False


@pytest.fixture(scope="module", autouse=True)
def _needs_the_lab_image():
    if not has_image():
        pytest.skip(f"{IMAGE} is not built here (make lab)")


class Box:
    """A container with Ollama, and the module run for it by a controller of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.name = f"hearth-test-{uuid.uuid4().hex[:8]}"
        hardening = [
            "--cap-drop",
            "ALL",
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--security-opt",
            "no-new-privileges",
        ]
        docker("run", "-d", "--name", self.name, *hardening, "-v", "/root/.ollama", "--cpus", "1", IMAGE)
        inspected = json.loads(docker("container", "inspect", self.name))[0]["NetworkSettings"]
        self.address, self.gateway = inspected["IPAddress"], inspected["Gateway"]
        (folder / "hosts.yml").write_text(
            json.dumps(
                {
                    "all": {
                        "hosts": {
                            "box": {
                                "ansible_connection": "local",
                                "ansible_python_interpreter": sys.executable,
                            }
                        }
                    }
                }
            )
        )

    def start(self, models, *arguments):
        """Ansible in a process group of its own, and the file its result comes in."""
        answer = self.folder / f"{uuid.uuid4().hex}.json"
        play = {
            "hosts": "box",
            "gather_facts": False,
            "tasks": [
                {
                    "hearth.llm.ollama_model": {
                        "models": models,
                        "container": self.name,
                        "state_dir": str(self.folder / "state"),
                    },
                    "register": "found",
                    "ignore_errors": True,
                },
                {"copy": {"content": "{{ found | to_json }}", "dest": str(answer)}, "check_mode": False},
            ],
        }
        playbook = self.folder / "play.yml"
        playbook.write_text(json.dumps([play]))
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                str(self.folder / "hosts.yml"),
                str(playbook),
                *arguments,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return process, answer

    def apply(self, *models, check=False):
        """The task's result, and what stood on the screen as `screen`."""
        process, answer = self.start(list(models), *(["--check"] if check else []))
        screen = process.communicate(timeout=180)[0]
        assert answer.exists(), screen
        return {**json.loads(answer.read_text()), "screen": screen}

    def api(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, 11434, timeout=60)
        connection.request(method, path, body=None if body is None else json.dumps(body))
        text = connection.getresponse().read()
        return json.loads(text) if text else {}

    def names(self):
        return {item["name"]: item["digest"] for item in self.api("GET", "/api/tags")["models"]}

    def says(self, model):
        answer = self.api("POST", "/api/generate", {"model": model, "prompt": "hi", "stream": False})
        return answer.get("response")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    found = Box(tmp_path_factory.mktemp("box"))
    try:
        yield found
    finally:
        docker("rm", "-f", "-v", found.name)


@pytest.fixture(scope="module")
def registry(box, tmp_path_factory):
    """A registry with the model `big`; `pause` slows each piece down, `breaks` and `busy` are how often it fails."""
    folder = tmp_path_factory.mktemp("registry")
    big = folder / "big.gguf"
    big.write_bytes((MODEL / "tiny.gguf").read_bytes() + os.urandom(PADDING))
    assert not box.apply({"name": "big", "source": "gguf", "path": str(big)})["failed"]
    docker("cp", f"{box.name}:/root/.ollama/models", str(folder / "models"))
    box.api("DELETE", "/api/delete", {"model": "big"})

    spec = importlib.util.spec_from_file_location("lab_registry", MODEL / "registry.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class Slow(module.Registry):
        pause, breaks, busy = 0.0, 0, 0
        models = folder / "models"

        def log_message(self, *arguments):
            pass

        def _answer(self, body):
            if Slow.busy and "/manifests/" in self.path:
                Slow.busy -= 1
                self.send_error(503)
                return
            super()._answer(body)

        def _send(self, path, body):
            if not body or path is None or not path.is_file() or path.stat().st_size < 1_000_000:
                super()._send(path, body)
                return
            file, self.wfile = self.wfile, Pieces(self)
            self.wfile.file = file
            try:
                with contextlib.suppress(OSError):
                    super()._send(path, body)
            finally:
                self.wfile = file

    class Pieces:
        def __init__(self, handler):
            self.handler = handler

        def write(self, data):
            for index in range(0, len(data), 100_000):
                if Slow.breaks and index > PADDING // 2:
                    Slow.breaks -= 1
                    self.handler.connection.shutdown(socket.SHUT_RDWR)
                    raise ConnectionAbortedError
                self.file.write(data[index : index + 100_000])
                time.sleep(Slow.pause)

        def flush(self):
            self.file.flush()

    server = module.ThreadingHTTPServer(("0.0.0.0", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Slow.address = f"http://{box.gateway}:{server.server_address[1]}"
    yield Slow
    server.shutdown()


@pytest.fixture
def big(box, registry):
    """A model that is not there yet, from the registry."""
    registry.pause, registry.breaks, registry.busy = 0.0, 0, 0
    reference = f"{registry.address}/library/big:latest"
    yield {"name": "pulled", "from": reference}
    for name in ("pulled", reference.removeprefix("http://")):
        box.api("DELETE", "/api/delete", {"model": name})


def test_a_file_becomes_a_model_that_answers_and_a_second_run_changes_nothing(box):
    wanted = {**TINY, "parameters": {"num_ctx": 512, "stop": ["<|end|>", 'a"b']}}
    predicted = box.apply(wanted, check=True)
    assert predicted["changed"]
    assert "tiny:latest" not in box.names()
    first = box.apply(wanted)
    assert (first["changed"], first["created"]) == (True, ["tiny"])
    assert first["planned"] == predicted["planned"]
    assert box.says("tiny") is not None
    second = box.apply(wanted)
    assert (second["changed"], second["planned"]) == (False, [])


def test_parameters_reach_ollama_and_a_changed_one_is_noticed(box):
    box.apply({**TINY, "parameters": {"num_ctx": 512}})
    changed = box.apply({**TINY, "parameters": {"num_ctx": 1024}})
    assert changed["planned"] == [{"model": "tiny", "do": ["create"], "why": "other parameter num_ctx"}]
    shown = box.api("POST", "/api/show", {"model": "tiny"})["parameters"].split()
    assert shown[shown.index("num_ctx") + 1] == "1024"
    assert shown[shown.index("num_thread") + 1] == "1"


def test_a_changed_file_is_noticed(box, tmp_path):
    other = tmp_path / "other.gguf"
    other.write_bytes((MODEL / "tiny.gguf").read_bytes() + b"\0" * 32)
    box.apply(TINY)
    assert box.apply({**TINY, "path": str(other)})["planned"][0]["why"] == "another file"
    assert box.apply({**TINY, "path": str(other)})["changed"] is False


def test_a_model_is_pulled_with_progress_and_only_once(box, big, registry):
    registry.pause = 0.1
    first = box.apply(big)
    assert (first["changed"], first["pulled"]) == (True, ["pulled"])
    assert " of 8 MB" in first["screen"]
    assert "pulled:latest" in box.names()
    assert box.says("pulled") is not None
    assert box.apply(big)["changed"] is False


def test_a_pull_that_breaks_off_is_taken_up_again(box, big, registry):
    registry.breaks, registry.busy = 1, 2
    found = box.apply(big)
    assert (registry.breaks, registry.busy) == (0, 0)
    assert "taking it up again" in found["screen"]
    assert (found["failed"], found["pulled"]) == (False, ["pulled"])


def test_a_model_that_is_not_there_is_explained_and_the_others_come(box, big):
    nosuch = {"name": "nosuch", "from": big["from"].replace("big", "nosuch")}
    found = box.apply(nosuch, big)
    assert found["failed"]
    assert found["pulled"] == ["pulled"]
    assert found["refused"][0]["model"] == "nosuch"
    assert "file does not exist" in found["msg"]
    assert "no such model or tag" in found["msg"]


def test_a_wrong_digest_leaves_nothing_new_and_the_old_model_in_place(box, big):
    name = canonical = big["from"].removeprefix("http://")
    found = box.apply({"name": name, "from": big["from"], "digest": "0" * 64})
    assert found["failed"]
    assert "wanted 000000000000" in found["msg"]
    assert canonical not in box.names()
    box.apply(big)
    old = box.names()[canonical]
    assert box.apply({"name": name, "from": big["from"], "digest": "0" * 64})["failed"]
    assert box.names()[canonical] == old
    assert not [name for name in box.names() if name.startswith("hearth-previous")]
    assert box.apply({"name": name, "from": big["from"], "digest": old[:12]})["changed"] is False


def test_a_pull_outlives_its_controller_and_the_next_run_joins_it(box, big, registry):
    registry.pause = 0.1
    jobs = box.folder / "state/jobs" / f"ollama_model-{box.name}"
    before = (jobs / "job.json").read_text()
    process, _answer = box.start([big])
    until = time.monotonic() + 30
    while (jobs / "job.json").read_text() == before or '"bytes"' not in (jobs / "progress.jsonl").read_text():
        assert time.monotonic() < until, "the pull never began"
        time.sleep(0.1)
    job = (jobs / "job.json").read_text()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    found = box.apply(big)
    assert "pulled pulled" in found["screen"]
    assert (jobs / "job.json").read_text() == job, "it was pulled a second time"
    assert (found["failed"], found["changed"]) == (False, True)


def test_a_model_is_made_of_a_pulled_one(box, big):
    derived = {**big, "parameters": {"num_ctx": 256}}
    assert box.apply(derived)["changed"]
    assert "num_ctx" in box.api("POST", "/api/show", {"model": "pulled"})["parameters"]
    assert box.apply(derived)["changed"] is False


def test_a_model_is_removed(box):
    box.apply(TINY)
    assert box.apply({"name": "tiny", "state": "absent"}, check=True)["changed"]
    assert "tiny:latest" in box.names()
    assert box.apply({"name": "tiny", "state": "absent"})["removed"] == ["tiny"]
    assert "tiny:latest" not in box.names()
    assert box.apply({"name": "tiny", "state": "absent"})["changed"] is False


def test_every_mistake_in_the_list_is_told_at_once(box, tmp_path):
    found = box.apply(
        {"name": "a", "source": "gguf", "path": str(tmp_path / "none.gguf")},
        {"name": "b", "sorce": "gguf"},
        {**TINY, "parameters": {"num_ctxx": 1}},
    )
    assert found["failed"]
    for said in ("none.gguf", "did you mean source?", "did you mean num_ctx?"):
        assert said in found["msg"]


def test_a_container_that_is_not_there_is_named(box):
    missing = Box.__new__(Box)
    missing.folder, missing.name = box.folder, "hearth-test-nothing"
    found = missing.apply(TINY)
    assert found["failed"]
    assert "container hearth-test-nothing is not there" in found["msg"]
    assert missing.apply(TINY, check=True)["changed"], "a first deployment is predicted"
