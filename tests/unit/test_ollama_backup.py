"""Which of Ollama's files a backup leaves out, and how models come back: by their own files, or from their registry."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROLE = Path(__file__).resolve().parents[2] / "roles" / "ollama" / "files"
KIND = "application/vnd.ollama.image."
# `ollama pull` of a registry without TLS, as far as it is called here; what the registry has is beside it.
DOCKER = """#!/bin/sh
echo "$@" >>{folder}/calls
case "$4" in
  pull) [ -d {folder}/registry ] || {{ printf 'pulling\\nError: pull model manifest: no route\\n' >&2; exit 1; }}
    cp -r {folder}/registry/. {root} ;;
  rm) rm -r {root}/models/manifests/127.0.0.1* ;;
esac
"""


class Registry(BaseHTTPRequestHandler):
    """Has the models whose paths are in `there`."""

    there: set[str]

    def do_GET(self):
        self.send_response(200 if self.path in self.there else 404)
        self.end_headers()

    def log_message(self, *_what):
        pass


@pytest.fixture
def registry():
    """(host:port, the paths that it has)."""
    kind = type("Its", (Registry,), {"there": set()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", kind.there
    server.shutdown()
    server.server_close()


def blob(root, content):
    """Keep a file as Ollama does; returns its path."""
    path = root / "models" / "blobs" / f"sha256-{hashlib.sha256(content.encode()).hexdigest()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def model(root, name, weights, pulled=False):
    """A model of weights, a template and a configuration; name: HOST/NAMESPACE/NAME/TAG."""
    layers = []
    for kind, content in (("model", weights), ("template", f"{weights} says")):
        file = blob(root, content)
        digest = file.name.replace("-", ":")
        layers.append({"mediaType": KIND + kind, "digest": digest, "size": len(content)})
    config = {"mediaType": "application/json", "digest": blob(root, f"{weights} is").name.replace("-", ":")}
    manifest = root / "models" / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"config": config, "layers": layers}) + ("" if pulled else "\n"))
    return manifest


def left_out(root):
    done = subprocess.run(
        [sys.executable, "-I", ROLE / "models.py", "left-out", root],
        capture_output=True,
        text=True,
        check=True,
    )
    return [root / line for line in done.stdout.splitlines()]


def saved(root, target):
    """What a backup takes: everything but what is left out."""
    but = left_out(root)
    for file in (file for file in root.rglob("*") if file.is_file() and file not in but):
        path = target / file.relative_to(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read_bytes())
    return target


@pytest.fixture
def join(tmp_path):
    """join(saved, root) → what it said; `ollama pull` has what is in the folder `registry`."""

    def run(source, root):
        root.mkdir(exist_ok=True)
        program = tmp_path / "docker"
        program.write_text(DOCKER.format(folder=tmp_path, root=root))
        program.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-I", ROLE / "models.py", "join", source, root, "c1"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stderr

    return run


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_weights_that_were_pulled_are_left_out_and_those_made_here_are_saved(tmp_path, registry):
    host, there = registry
    there.add("/v2/library/big/manifests/8b")
    model(tmp_path, f"{host}/library/big/8b", "gigabytes", pulled=True)
    model(tmp_path, "registry.ollama.ai/library/mine/latest", "my own")
    under_way = tmp_path / "models" / "blobs" / "sha256-77-partial"
    under_way.write_text("half")
    assert sorted(left_out(tmp_path)) == sorted([blob(tmp_path, "gigabytes"), under_way])


def test_weights_that_are_shared_with_a_pulled_model_are_left_out(tmp_path, registry):
    host, there = registry
    there.add("/v2/library/big/manifests/8b")
    model(tmp_path, f"{host}/library/big/8b", "gigabytes", pulled=True)
    model(tmp_path, "registry.ollama.ai/library/pirate/latest", "gigabytes")
    assert left_out(tmp_path) == [blob(tmp_path, "gigabytes")]


def test_weights_that_the_registry_has_no_more_are_saved(tmp_path, registry):
    host, _there = registry
    model(tmp_path, f"{host}/library/big/8b", "gigabytes", pulled=True)
    assert left_out(tmp_path) == []


def test_a_registry_that_does_not_answer_is_believed_to_have_them(tmp_path):
    model(tmp_path, "127.0.0.1:9/library/big/8b", "gigabytes", pulled=True)
    assert left_out(tmp_path) == [blob(tmp_path, "gigabytes")]


def test_a_manifest_that_cannot_be_read_costs_nothing(tmp_path):
    manifest = model(tmp_path, "127.0.0.1:9/library/big/8b", "gigabytes", pulled=True)
    manifest.write_text("{")
    assert left_out(tmp_path) == []


def test_models_come_back_and_those_that_are_there_stay(tmp_path, join):
    old, new = tmp_path / "old", tmp_path / "new"
    mine = model(old, "registry.ollama.ai/library/mine/latest", "my own")
    model(old, "registry.ollama.ai/library/changed/latest", "as it was")
    source = saved(old, tmp_path / "saved")
    newer = model(new, "registry.ollama.ai/library/changed/latest", "as it is").read_text()
    said = join(source, new)
    assert "mine:latest is back" in said
    assert files(new).items() >= {str(mine.relative_to(old)): mine.read_bytes()}.items()
    assert blob(new, "my own").exists()
    assert (new / "models/manifests/registry.ollama.ai/library/changed/latest").read_text() == newer
    assert "changed" not in said


@pytest.fixture
def pulled(tmp_path, registry):
    """What was saved of a pulled model and of one that was made of it; (saved, the pulled one's name)."""
    host, there = registry
    there.add("/v2/library/big/manifests/8b")
    old = tmp_path / "old"
    model(old, f"{host}/library/big/8b", "gigabytes", pulled=True)
    model(old, "registry.ollama.ai/library/pirate/latest", "gigabytes")
    return saved(old, tmp_path / "saved"), f"{host}/library/big/8b"


def test_what_was_pulled_is_pulled_again_and_what_was_made_of_it_is_whole(tmp_path, join, pulled):
    source, name = pulled
    model(tmp_path / "registry", name, "gigabytes", pulled=True)
    said = join(source, tmp_path / "new")
    assert "is pulled\npirate:latest is back\n" in said
    assert files(tmp_path / "new") == files(tmp_path / "old")
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("exec c1 ollama pull --insecure http://127.0.0.1:")
    assert call.endswith("/library/big:8b")


def test_without_tls_no_other_model_is_taken_than_the_one_that_was_there(tmp_path, join, pulled):
    source, name = pulled
    model(tmp_path / "registry", name, "somebody else's", pulled=True)
    said = join(source, tmp_path / "new")
    assert "has another one now" in said
    assert not (tmp_path / "new" / "models" / "manifests" / name).exists()
    assert "pirate:latest is not back" in said


def test_a_model_that_cannot_be_pulled_is_told_and_never_half_there(tmp_path, join, pulled):
    source, _name = pulled
    said = join(source, tmp_path / "new")
    assert "could not be pulled: Error: pull model manifest: no route" in said
    assert "pirate:latest is not back" in said
    assert not any((tmp_path / "new").glob("models/manifests/*/*/*/*"))


def test_a_drill_misses_a_file_of_a_model_that_was_made_here(tmp_path):
    model(tmp_path, "registry.ollama.ai/library/mine/latest", "my own")
    model(tmp_path, "registry.ollama.ai/library/big/8b", "gigabytes", pulled=True)
    blob(tmp_path, "gigabytes").unlink()
    tags = b'{"models": [{"name": "mine:latest", "digest": "1"}, {"name": "big:8b", "digest": "2"}]}'

    class Ollama(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/api/tags" else 404)
            self.end_headers()
            self.wfile.write(tags)

        def log_message(self, *_what):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ollama)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked = {"address": "127.0.0.1", "port": server.server_port, "data": {"models": str(tmp_path)}}

    def run(**question):
        return subprocess.run(
            [sys.executable, "-I", ROLE / "drill.py"],
            input=json.dumps({**asked, **question}),
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        noted = json.loads(run(do="note").stdout)
        assert noted == {"mine:latest": "1", "big:8b": "2"}
        assert run(do="find", note=noted).returncode == 0
        assert "other:1 is not there" in run(do="find", note={"other:1": "3"}).stderr
        blob(tmp_path, "my own").unlink()
        assert "of a model that was made here, is lost" in run(do="find", note=noted).stderr
    finally:
        server.shutdown()
        server.server_close()
