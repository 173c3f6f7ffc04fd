"""What a model was said to need, against what the real Ollama takes for it on the processor.

The models have the layers of real architectures, whole, and weights of zeros: files with holes, which take no room on
the disk and all of it in memory. A model that does not fit this machine's free memory is left out, and said so.
"""

from __future__ import annotations

import functools
import http.client
import importlib.util
import io
import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils.gguf import Header, read_header
from ansible_collections.hearth.llm.plugins.module_utils.model_fit import Fit, fit
from ansible_collections.hearth.llm.plugins.module_utils.model_shape import Shape, shape

IMAGE = "hearth.lab/ollama/ollama:0.17.4"
MIB = 2**20
# Memory that must stay free beside a loaded model.
SPARE = 2048 * MIB
FILES = Path(__file__).parents[1] / "unit" / "gguf_files.py"
# Model → context → how far from Ollama's own figure the estimate may be.
CASES = [
    ("llama31_8b", 8192, 0.01),
    ("llama31_8b", 32768, 0.01),
    ("qwen25_14b", 8192, 0.01),
    ("gemma2_9b", 8192, 0.01),
    ("qwen3_8b", 8192, 0.01),
    ("qwen3_8b", 32768, 0.01),
    ("gemma3_12b", 8192, 0.01),
    ("gemma3_12b", 32768, 0.01),
    # Not among those by which the working memory of Ollama's engine was found.
    ("qwen3_14b", 16384, 0.02),
    ("gemma3_4b", 16384, 0.02),
    ("gemma3_4b", 65536, 0.02),
]

pytestmark = pytest.mark.docker


@dataclass
class Model:
    name: str
    data: bytes
    header: Header
    shape: Shape


@functools.cache
def model(name: str) -> Model:
    spec = importlib.util.spec_from_file_location("gguf_files", FILES)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data = getattr(module, name)()
    header = read_header(io.BytesIO(data))
    return Model(name, data, header, shape(header))


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


class Ollama:
    """The lab's Ollama in a container of its own, on models that lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"hearth-test-{uuid.uuid4().hex[:8]}"
        docker(
            *("run", "-d", "--name", self.name, "--network", "bridge", "-v", f"{folder}:/root/.ollama"),
            *("-e", "OLLAMA_LOAD_TIMEOUT=10m", IMAGE),
        )
        address = json.loads(docker("inspect", self.name))[0]["NetworkSettings"]["Networks"]["bridge"][
            "IPAddress"
        ]
        self.address = address
        for _try in range(100):
            try:
                self.ask("GET", "/api/version")
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError("Ollama does not answer")

    def ask(self, method: str, path: str, body: dict[str, object] | None = None) -> dict:
        connection = http.client.HTTPConnection(self.address, 11434, timeout=600)
        connection.request(method, path, json.dumps(body) if body else None)
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status < 400, f"{text}\n{self.log()[-6000:]}"
        return json.loads(text)

    def give(self, made: Model) -> None:
        """Put the file where Ollama would have put it; what it calls the digest is only its name."""
        digest = uuid.uuid4().hex * 2
        path = self.folder / "models" / "blobs" / f"sha256-{digest}"
        path.write_bytes(made.data)
        os.truncate(path, made.header.size)
        body = {"model": made.name, "files": {"model.gguf": f"sha256:{digest}"}, "stream": False}
        self.ask("POST", "/api/create", {**body, "template": "{{ .Prompt }}"})

    def load(self, name: str, context: int) -> tuple[int, str]:
        """Bytes that /api/ps tells of a model that was just loaded, and what the log said of it."""
        begun = len(self.log())
        self.ask("POST", "/api/generate", {"model": name, "options": {"num_ctx": context}, "stream": False})
        (loaded,) = self.ask("GET", "/api/ps")["models"]
        log = self.log()[begun:]
        self.ask("POST", "/api/generate", {"model": name, "keep_alive": 0, "stream": False})
        while self.ask("GET", "/api/ps")["models"]:
            time.sleep(0.5)
        return int(loaded["size"]), log

    def log(self) -> str:
        done = subprocess.run(["docker", "logs", self.name], check=True, capture_output=True, text=True)
        return done.stdout + done.stderr

    def close(self) -> None:
        docker("rm", "-f", "-v", self.name)


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ollama]:
    if not docker("image", "ls", "-q", IMAGE):
        pytest.skip(f"{IMAGE} is not built here (make lab)")
    folder = tmp_path_factory.mktemp("ollama")
    (folder / "models" / "blobs").mkdir(parents=True)
    box = Ollama(folder)
    yield box
    box.close()


def free() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no MemAvailable")


@pytest.mark.parametrize(("name", "context", "tolerance"), CASES)
def test_the_estimate_is_what_ollama_takes(ollama: Ollama, name: str, context: int, tolerance: float) -> None:
    made = model(name)
    wanted = fit(made.shape, [], context)
    if free() < wanted.host + SPARE:
        pytest.skip(f"{name} takes {wanted.host / MIB:.0f} MiB, free are {free() / MIB:.0f}")
    ollama.give(made)
    size, log = ollama.load(name, context)
    estimate = expected(made.shape, wanted)
    told = f"Ollama {size / MIB:.0f} MiB, estimate {estimate / MIB:.0f} MiB, {estimate / size - 1:+.2%}"
    print(f"\n{name} {context}: {told}")
    print(f"  cache {wanted.cache / MIB:.1f}, working {wanted.working / MIB:.1f} MiB; the log: {sizes(log)}")
    assert estimate == pytest.approx(size, rel=tolerance)


def expected(of: Shape, found: Fit) -> int:
    """What /api/ps counts without a card: for llama.cpp neither the words' table nor working memory."""
    if of.own_engine:
        return found.needed + of.input
    return found.weights + found.cache


def sizes(log: str) -> list[str]:
    """Lines in which llama.cpp and Ollama's engine tell the sizes of what they took."""
    shown = re.findall(r"(\S+ \S+ buffer size = +[\d.]+ MiB)", log)
    shown += re.findall(r'msg="((?:model weights|kv cache|compute graph|total memory)"[^\n]*)', log)
    return shown
