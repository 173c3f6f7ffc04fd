# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the work on a host's models goes, against an Ollama that is only a dictionary."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import Mock

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import ollama
from ansible_collections.hearth.llm.plugins.module_utils.ollama_work import Work
from ansible_collections.hearth.llm.plugins.modules import ollama_model
from wanted_model import BLOB, wanted

COLLECTION = "ansible_collections.hearth.llm.plugins"


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


class Box:
    """An Ollama that is only a dictionary of names and digests; `sends` is the registry's digest, or an error."""

    def __init__(self, **models):
        self.models, self.sends = dict(models), "b" * 64

    def installed(self):
        return {name.lower(): digest for name, digest in self.models.items()}

    def copy(self, name, to):
        assert all(len(part) <= 80 for part in to.replace(":", "/").split("/")), to
        self.models[ollama.canonical(to)] = self.models[ollama.canonical(name)]

    def delete(self, name):
        del self.models[ollama.canonical(name)]

    def pull(self, name, insecure):
        if isinstance(self.sends, Exception):
            raise self.sends
        self.models[ollama.canonical(name)] = self.sends
        return [{"status": "success"}]

    def wants(self, digest, name="tiny:latest"):
        model = wanted({"name": name, "digest": digest})
        options = {"files": {}, "models_dir": None, "journal": Journal(), "layers": lambda _name: None}
        return Work(self, {name: model}, pause=0.0, **options).run([{"model": name, "do": ["pull"]}])


def test_a_pull_that_failed_leaves_no_copy_that_could_come_back():
    box = Box(**{"tiny:latest": "a" * 64})
    box.sends = ollama.OllamaError("write: no space left on device")
    assert box.wants("b" * 64)["refused"]
    assert box.models == {"tiny:latest": "a" * 64}
    box.models["tiny:latest"] = "c" * 64  # by hand, and it serves now
    box.sends = "d" * 64
    assert box.wants("e" * 64)["refused"][0]["message"] == f"the registry sent {'d' * 12}, wanted {'e' * 12}"
    assert box.models == {"tiny:latest": "c" * 64}


def test_a_run_that_was_killed_leaves_a_copy_for_the_same_wish_alone(monkeypatch):
    box = Box(**{"tiny:latest": "a" * 64})
    with monkeypatch.context() as killed:
        killed.setattr(Work, "_prove", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            box.wants("e" * 64)
    assert sorted(box.models.values()) == ["a" * 64, "b" * 64]
    left = dict(box.models)
    assert box.wants("e" * 64)["refused"]
    assert box.models == {"tiny:latest": "a" * 64}
    # Another wish: what serves by now is younger than the copy.
    box.models = {**left, "tiny:latest": "c" * 64}
    assert box.wants("f" * 64)["refused"]
    assert box.models == {"tiny:latest": "c" * 64}


def test_the_copy_of_a_long_name_has_a_name_that_ollama_takes():
    name = f"hf.co/mradermacher/{'L' * 60}-GGUF:Q4_K_M"
    box = Box(**{name: "a" * 64})
    assert box.wants("b" * 64, name)["pulled"] == [name]
    assert box.models == {name: "b" * 64}


def test_a_model_without_its_base_is_not_made_from_what_the_registry_has(server):
    server.answers = {"/api/tags": (200, TAGS)}
    found = work(server, {"name": "long", "from": "house", "parameters": {"num_ctx": 512}}).run(
        [{"model": "long", "do": ["create"]}]
    )
    assert found["refused"][0]["message"] == "its base house:latest is not there"
    assert "mend that model first" in found["refused"][0]["remedy"]


def test_a_file_that_cannot_fit_is_not_asked_for(server, tmp_path, monkeypatch):
    files = [
        {**wanted({"name": name, "source": "gguf", "path": "a.gguf"}), "blob": name * 64, "size": size}
        for name, size in (("a", 60), ("b", 30), ("c", 20))
    ]
    models = {model["name"]: model for model in files}
    missing = [model["blob"] for model in files]
    for module in ("ollama", "ollama_work"):
        monkeypatch.setattr(f"{COLLECTION}.module_utils.{module}.free_bytes", lambda _path: 100)
    jobs = tmp_path / "state" / "jobs"
    # On one disk a file is there twice while Ollama takes it in.
    assert ollama_model._with_room(missing, models, str(tmp_path), jobs) == ["b" * 64, "c" * 64]
    assert ollama_model._with_room(missing, models, None, jobs) == missing
    server.answers = {f"/api/blobs/sha256:{'a' * 64}": (404, "")}
    task = Work(server.client, models, files={}, models_dir="/srv", journal=Journal())
    (refused,) = task.run([{"model": "a", "do": ["create"]}])["refused"]
    assert "was not sent" in refused["message"]
    assert "make room" in refused["remedy"]


def test_a_copy_is_a_change(server):
    server.answers = {"/api/copy": (200, "")}
    found = work(server, {"name": "chat", "from": "tiny"}).run([{"model": "chat", "do": ["copy"]}])
    assert (found["changed"], found["created"]) == (True, ["chat"])


@pytest.mark.parametrize(
    "text", ["<html>", "[]", '{"models": 3}', '{"models": ["tiny"]}', '{"models": [{}]}']
)
def test_an_answer_that_is_none_of_ollamas_is_an_error_of_its_own(server, text):
    server.answers = {"/api/tags": (200, text), "/api/pull": (200, f"{text}\n")}
    with pytest.raises(ollama.OllamaError, match="no such answer"):
        server.client.installed()
    with pytest.raises(ollama.OllamaError, match="broke off"):
        list(server.client.pull("tiny", False))


def test_an_answer_that_is_cut_off_is_an_error_of_its_own():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer():
            connection = listener.accept()[0]
            connection.recv(65536)
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"models": [')
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        client = ollama.Client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(ollama.OllamaError, match="broke off"):
            client.installed()


def test_a_file_that_is_gone_is_an_error_of_its_own(server, tmp_path):
    with pytest.raises(ollama.OllamaError, match="cannot be read"):
        server.client.upload(BLOB, str(tmp_path / "gone.gguf"), print)


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ('Get "https://registry.ollama.ai/v2/": EOF', True),
        ("dial tcp 1.2.3.4:443: connect: connection timed out", True),
        ("dial tcp: connect: network is unreachable", True),
        ("write: broken pipe", True),
        ("pull model manifest: 500: internal error", True),
        ("pull model manifest: 429: too many requests", True),
        ("unexpected status code 504", True),
        ("pull model manifest: 404: geoffrey", False),
        ("needs 512.0 GB more, 500.1 GB free in /srv", False),
        ("digest mismatch", False),
    ],
)
def test_what_may_pass_is_told_by_its_message(message, passes):
    assert ollama.is_transient(message) is passes


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
