# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be done for a host's models, and how the work goes, against an Ollama that is only a dictionary."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import ollama
from ansible_collections.hearth.llm.plugins.module_utils.models import read_models
from ansible_collections.hearth.llm.plugins.module_utils.ollama_modelfile import definition
from ansible_collections.hearth.llm.plugins.module_utils.ollama_work import Work

BLOB = "a" * 64


def wanted(item):
    models, problems = read_models([item])
    assert problems == []
    model = {**models[0].as_dict(), "definition": definition("", models[0].parameters)}
    return {**model, "blob": BLOB, "size": 10} if model["source"] == "gguf" else model


def do(item, installed=None, shown=None):
    """The verbs for one model, on a host that has `installed`."""
    found = ollama.steps([wanted(item)], installed or {}, shown or {})
    return found[0]["do"] if found else []


def shown(name, blob=BLOB, **parameters):
    text = "\n".join(f"{key}  {value}" for key, value in parameters.items())
    return {name: {"modelfile": f"FROM /root/.ollama/models/blobs/sha256-{blob}\n", "parameters": text}}


def test_a_missing_model_is_pulled_and_one_that_is_there_left_alone():
    assert do("tiny") == ["pull"]
    assert do("tiny", {"tiny:latest": "1234"}) == []
    assert do("Tiny:1B", {"tiny:1b": "1234"}) == []


def test_a_model_with_another_digest_is_pulled_again():
    item = {"name": "tiny", "digest": "a" * 12}
    assert do(item, {"tiny:latest": "a" * 64}) == []
    assert do(item, {"tiny:latest": "b" * 64}) == ["pull"]


def test_a_model_from_elsewhere_gets_its_name_by_a_copy():
    item = {"name": "tiny", "from": "http://box:5000/library/tiny:latest"}
    assert do(item) == ["pull", "copy"]
    assert do(item, {"box:5000/library/tiny:latest": "1"}) == ["copy"]
    assert do(item, {"tiny:latest": "1"}) == []


def test_a_model_of_ones_own_is_made_again_when_its_parameters_change():
    item = {"name": "long", "from": "tiny", "parameters": {"num_ctx": 512}}
    assert do(item) == ["pull", "create"]
    assert do(item, {"tiny:latest": "1"}) == ["create"]
    assert do(item, {"long:latest": "1"}, shown("long", num_ctx=512)) == []
    assert do(item, {"tiny:latest": "1", "long:latest": "2"}, shown("long", num_ctx=256)) == ["create"]


def test_parameters_without_another_name_are_set_on_the_pulled_model():
    item = {"name": "tiny", "parameters": {"num_ctx": 512}}
    assert do(item) == ["pull", "create"]
    assert do(item, {"tiny:latest": "1"}, shown("tiny")) == ["create"]
    assert do(item, {"tiny:latest": "1"}, shown("tiny", num_ctx=512)) == []


def test_a_file_makes_a_model_once():
    item = {"name": "house", "source": "gguf", "path": "house.gguf"}
    assert do(item) == ["create"]
    assert do(item, {"house:latest": "1"}, shown("house")) == []
    assert do(item, {"house:latest": "1"}, shown("house", blob="b" * 64)) == ["create"]


def test_removals_come_first_because_they_make_room():
    models = [
        wanted("new"),
        wanted({"name": "old", "state": "absent"}),
        wanted({"name": "gone", "state": "absent"}),
    ]
    found = ollama.steps(models, {"old:latest": "1"}, {})
    assert [(step["model"], step["do"]) for step in found] == [("old", ["delete"]), ("new", ["pull"])]


class FakeOllama(BaseHTTPRequestHandler):
    """Serves what `answers` holds for a path: (status, text), or a list of those, one a call."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = self.server.answers[self.path]
        status, text = found.pop(0) if isinstance(found, list) else found
        self.server.calls.append(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_HEAD = do_DELETE = do_POST


@pytest.fixture
def server():
    found = ThreadingHTTPServer(("127.0.0.1", 0), FakeOllama)
    found.answers, found.calls = {}, []
    threading.Thread(target=found.serve_forever, daemon=True).start()
    found.client = ollama.Client(f"http://127.0.0.1:{found.server_address[1]}")
    yield found
    found.shutdown()
    found.server_close()


class Journal:
    def __init__(self):
        self.said, self.amounts = [], []

    def say(self, text, step=None):
        self.said.append((step, text))

    def amount(self, text, done, total):
        self.amounts.append((done, total))


def work(server, item, layers=None, **more):
    model = wanted(item)
    options = {
        "files": {},
        "models_dir": None,
        "journal": Journal(),
        "pause": 0.0,
        "layers": lambda _name: layers,
    }
    return Work(server.client, {model["name"]: model}, **{**options, **more})


PULLED = json.dumps({"status": "pulling manifest"}) + "\n" + json.dumps({"status": "success"}) + "\n"


def failed(message):
    return json.dumps({"status": "pulling manifest"}) + "\n" + json.dumps({"error": message}) + "\n"


TAGS = json.dumps({"models": [{"name": "tiny:latest", "digest": "a" * 64}]})


def test_progress_counts_every_layer(server):
    lines = [
        {"status": "pulling aaa", "digest": "sha256:aaa", "total": 100, "completed": 40},
        {"status": "pulling aaa", "digest": "sha256:aaa", "total": 100, "completed": 100},
        {"status": "pulling bbb", "digest": "sha256:bbb", "total": 10, "completed": 5},
        {"status": "success"},
    ]
    server.answers = {
        "/api/pull": (200, "".join(json.dumps(line) + "\n" for line in lines)),
        "/api/tags": (200, TAGS),
        "/api/blobs/sha256:aaa": (404, ""),
        "/api/blobs/sha256:bbb": (404, ""),
    }
    task = work(server, "tiny", layers={"aaa": 100, "bbb": 10})
    assert task.run([{"model": "tiny", "do": ["pull"]}])["pulled"] == ["tiny"]
    assert task.journal.amounts == [(40, 110), (100, 110), (105, 110)]


def test_what_may_pass_is_tried_again_and_what_may_not_is_not(server):
    server.answers = {
        "/api/tags": (200, TAGS),
        "/api/pull": [(200, failed("max retries exceeded: EOF")), (200, PULLED)],
    }
    assert work(server, "tiny").run([{"model": "tiny", "do": ["pull"]}])["refused"] == []
    server.calls.clear()
    server.answers["/api/pull"] = (200, failed("pull model manifest: file does not exist"))
    found = work(server, "tiny").run([{"model": "tiny", "do": ["pull"]}])
    assert server.calls.count("/api/pull") == 1
    assert found["changed"] is False
    assert found["refused"][0]["message"] == "pull model manifest: file does not exist"


def test_a_stream_that_ends_without_success_is_a_failure(server):
    server.answers = {"/api/tags": (200, TAGS), "/api/pull": (200, '{"status": "pulling manifest"}\n')}
    found = work(server, "tiny").run([{"model": "tiny", "do": ["pull"]}])
    assert "broke off" in found["refused"][0]["message"]


def test_a_pull_that_cannot_fit_is_not_begun(server, tmp_path):
    server.answers = {f"/api/blobs/sha256:{BLOB}": (404, "")}
    task = work(server, "tiny", layers={BLOB: 10**18}, models_dir=str(tmp_path))
    found = task.run([{"model": "tiny", "do": ["pull"]}])
    assert "/api/pull" not in server.calls
    assert "needs 1000000000.0 GB more" in found["refused"][0]["message"]
    assert "make room" in found["refused"][0]["remedy"]


def test_what_has_arrived_already_needs_no_room(server, tmp_path):
    blobs = tmp_path / "models" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"sha256-{BLOB}-partial").write_bytes(b"x" * 8192)
    assert (
        ollama.missing_bytes({BLOB: 10_000, "b" * 64: 5}, lambda blob: blob != BLOB, str(tmp_path))
        == 10_000 - 8192
    )


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("pull model manifest: file does not exist", "no such model or tag"),
        ("write /root/.ollama/models/blobs: no space left on device", "make room"),
        (
            "pull model manifest: 412: The model you are attempting to pull requires a newer version",
            "ollama_version",
        ),
        ("dial tcp: lookup registry.ollama.ai: no such host", "DNS"),
        ("max retries exceeded: dial tcp 1.2.3.4:443: connect: connection refused", "reaches the registry"),
        ("insecure protocol http", "with http://"),
        ("something new", "docker logs ollama"),
    ],
)
def test_every_message_comes_with_a_remedy(message, advice):
    assert advice in ollama.remedy(message)


def test_a_published_port_is_preferred_to_the_containers_address():
    network = {"Networks": {"frontend": {"IPAddress": "172.18.0.2"}}}
    published = {"11434/tcp": [{"HostIp": "10.77.0.21", "HostPort": "11500"}]}
    everywhere = {"11434/tcp": [{"HostIp": "0.0.0.0", "HostPort": "11434"}]}
    for ports, expected in (
        (published, "http://10.77.0.21:11500"),
        (everywhere, "http://127.0.0.1:11434"),
        ({"11434/tcp": None}, "http://172.18.0.2:11434"),
    ):
        assert ollama.address({"NetworkSettings": {**network, "Ports": ports}}, 11434) == expected
    assert ollama.address({"NetworkSettings": {"Networks": {"frontend": {"IPAddress": ""}}}}, 11434) is None
    assert ollama.address({}, 11434) is None
