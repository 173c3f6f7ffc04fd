# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Models are weighed from wherever their header can be had, and what cannot be known is said to be unknown."""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import model_registry, model_weighing, ollama
from ansible_collections.hearth.llm.plugins.module_utils.model_weighing import Settings, weigh
from ansible_collections.hearth.llm.plugins.module_utils.models import read_models
from ansible_collections.hearth.llm.plugins.modules.model_fit import memory
from gguf_files import qwen25_14b, transformer

MIB = 2**20
CARD = 15900 * MIB
LAB = Path(__file__).parents[1] / "lab" / "model"
HEADER = qwen25_14b()
WEIGHTS = "ac" * 32
SIZE = 8_988_110_688


def model(item):
    found, problems = read_models([item])
    assert not problems
    return found[0].as_dict()


@pytest.fixture
def models(tmp_path):
    """Ollama's directory with qwen2.5-coder:14b in it; the file ends after its header, and nobody reads further."""
    blobs = tmp_path / "models" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"sha256-{WEIGHTS}").write_bytes(HEADER)
    layers = [(WEIGHTS, SIZE, "model"), ("bb", 100 * MIB, "projector"), ("cc", 10, "license")]
    manifest = {
        "config": {
            "digest": "sha256:dd",
            "size": 5,
            "mediaType": "application/vnd.docker.container.image.v1+json",
        },
        "layers": [
            {"digest": f"sha256:{digest}", "size": size, "mediaType": f"application/vnd.ollama.image.{kind}"}
            for digest, size, kind in layers
        ],
    }
    place = tmp_path / "models" / "manifests" / "registry.ollama.ai" / "library" / "qwen2.5-coder"
    place.mkdir(parents=True)
    (place / "14b").write_text(json.dumps(manifest))
    return tmp_path


@pytest.fixture
def registry(models):
    """The lab's model registry, which serves that directory."""
    spec = importlib.util.spec_from_file_location("lab_registry", LAB / "registry.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.serve(models / "models", "127.0.0.1", 0)
    server.RequestHandlerClass.log_message = lambda *_ignored: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/library/qwen2.5-coder:14b"
    server.shutdown()
    server.server_close()


def test_what_ollama_has_is_read_from_its_directory(models):
    row = weigh(model("qwen2.5-coder:14b"), [CARD], Settings(8192), models)
    assert (row["source"], row["fits"], row["message"]) == ("installed", True, "fits")
    assert row["weights"] / MIB == pytest.approx(8148.38 + 100, abs=0.02)


def test_what_is_not_there_yet_is_read_from_the_registry(registry, tmp_path):
    row = weigh(model({"name": "coder", "from": registry}), [CARD], Settings(8192), tmp_path / "empty")
    assert (row["source"], row["fits"], row["layers"]) == ("registry", True, 49)


def test_only_the_head_of_the_file_is_fetched(models, registry, monkeypatch):
    read = []
    opened = model_registry.urllib.request.OpenerDirector.open

    def counting(self, *arguments, **options):
        response = opened(self, *arguments, **options)
        take = response.read
        response.read = lambda size=None: read.append(len(data := take(size))) or data
        return response

    with open(models / "models" / "blobs" / f"sha256-{WEIGHTS}", "ab") as file:
        file.truncate(len(HEADER) + 64 * MIB)
    monkeypatch.setattr(model_registry.urllib.request.OpenerDirector, "open", counting)
    assert weigh(model({"name": "coder", "from": registry}), [CARD], Settings(8192))["fits"]
    assert sum(read) < len(HEADER) + 4096


def test_a_models_own_context_wins(models):
    wanted = model({"name": "long", "from": "qwen2.5-coder:14b", "parameters": {"num_ctx": 32768}})
    row = weigh(wanted, [CARD], Settings(8192), models)
    assert (row["fits"], row["context"], row["fitting_context"]) == (False, 32768, 24064)
    assert row["message"] == (
        "needs 17.3 GiB with 32768 tokens of context, the card has 15.0 GiB for it: "
        "8 of 49 layers (2.6 GiB) would run on the processor"
    )
    assert row["remedy"].startswith(
        "a context of 24064 fits (num_ctx in its parameters); or accept it: spill: true"
    )


def test_what_the_registrys_model_sets_wins_over_ollamas_setting(models, registry, tmp_path):
    blob = models / "models" / "blobs" / f"sha256-{'ee' * 32}"
    blob.write_text('{"num_ctx": 16384, "num_batch": 1024, "stop": ["a"]}')
    place = models / "models" / "manifests" / "registry.ollama.ai" / "library" / "qwen2.5-coder" / "14b"
    manifest = json.loads(place.read_text())
    kind = "application/vnd.ollama.image.params"
    manifest["layers"].append({"digest": f"sha256:{'ee' * 32}", "size": 50, "mediaType": kind})
    place.write_text(json.dumps(manifest))
    there = weigh(model("qwen2.5-coder:14b"), [CARD], Settings(8192), models)
    fetched = weigh(model({"name": "coder", "from": registry}), [CARD], Settings(8192), tmp_path / "empty")
    for row, source in ((there, "installed"), (fetched, "registry")):
        assert (row["source"], row["context"]) == (source, 16384)
        assert row["working"] > 2 * 1024 * 1024 * 1024
    own = model({"name": "coder", "from": "qwen2.5-coder:14b", "parameters": {"num_ctx": 4096}})
    assert weigh(own, [CARD], Settings(8192), models)["context"] == 4096


def test_parameters_are_read_as_ollama_model_reads_them(models, tmp_path):
    def context(**more):
        wanted = {"name": "long", "from": "qwen2.5-coder:14b", **more}
        return weigh(model(wanted), [CARD], Settings(8192), models).get("context")

    (tmp_path / "Modelfile").write_text("PARAMETER num_ctx 4096\n")
    assert context(parameters={"num_ctx": "4096"}) == 4096
    assert context(modelfile="SYSTEM hi\nPARAMETER num_ctx 4096\n") == 4096
    assert context(modelfile=str(tmp_path / "Modelfile")) == 4096
    assert context(modelfile=str(tmp_path / "Modelfile"), parameters={"num_ctx": 2048}) == 2048
    assert context(parameters={"num_ctxx": 1}) is None  # and the row says so


def test_what_an_image_takes_is_said_not_to_be_counted(tmp_path):
    data = transformer("qwen25vl", 4, 64, 4, 4, 128, 300, more={"vision.block_count": 2})
    with open(tmp_path / "sees.gguf", "wb") as file:
        file.write(data)
        file.truncate(1 << 20)
    wanted = {"name": "sees", "source": "gguf", "path": str(tmp_path / "sees.gguf")}
    row = weigh(model(wanted), [CARD], Settings(4096))
    assert (row["fits"], row["message"]) == (
        True,
        "fits; working on an image takes more, which is not counted",
    )


def test_where_no_context_helps_that_is_said(models):
    row = weigh(model("qwen2.5-coder:14b"), [6 * 1024 * MIB], Settings(8192), models)
    assert row["fits"] is False
    assert row["remedy"].startswith("no context helps: take a smaller model")


def test_where_only_the_manifest_can_be_had_weights_alone_can_still_be_too_much(models, registry):
    (models / "models" / "blobs" / f"sha256-{WEIGHTS}").unlink()
    wanted = model({"name": "coder", "from": registry})
    assert weigh(wanted, [8 * 1024 * MIB], Settings(8192))["fits"] is False
    enough = weigh(wanted, [CARD], Settings(8192))
    assert (enough["source"], enough["fits"]) == ("manifest", None)
    assert enough["message"] == "its weights alone take 8.5 GiB, the card has 15.1 GiB"


def test_a_registry_that_does_not_answer_is_no_error():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        reference = f"http://127.0.0.1:{closed.getsockname()[1]}/library/coder:14b"
        row = weigh(model({"name": "coder", "from": reference}), [CARD], Settings(8192))
        assert ollama.registry_layers(reference, 1) is None
    assert row["fits"] is None
    assert row["message"].startswith("nothing is known of its size: 127.0.0.1:")


def test_a_file_of_ones_own_is_weighed(tmp_path):
    wanted = {"name": "tiny", "source": "gguf", "path": str(LAB / "tiny.gguf")}
    row = weigh(model(wanted), [CARD], Settings(512))
    assert (row["source"], row["fits"]) == ("file", True)
    assert row["cache"] == 2 * 2 * 64 * 512 * 2


def test_a_damaged_file_is_named_and_not_guessed(tmp_path):
    (tmp_path / "half.gguf").write_bytes((LAB / "tiny.gguf").read_bytes()[:100_000])
    wanted = {"name": "half", "source": "gguf", "path": str(tmp_path / "half.gguf")}
    row = weigh(model(wanted), [CARD], Settings(512))
    assert row["fits"] is None
    assert "cut off: 100000 bytes" in row["message"]


def test_without_a_card_it_is_said_what_the_host_needs(models):
    row = weigh(model("qwen2.5-coder:14b"), [], Settings(8192), models)
    assert row["message"] == "no card: all of it (10.5 GiB) is the processor's"


@pytest.mark.parametrize(
    ("text", "size"), [("16g", 2**34), ("15900m", CARD), ("16 GiB", 2**34), ("8GB", 2**33)]
)
def test_memory_is_written_as_people_write_it(text, size):
    assert memory(text) == size


def test_other_memory_is_refused():
    with pytest.raises(ValueError, match="'lots' is no amount of memory"):
        memory("lots")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("qwen2.5", "https://registry.ollama.ai/v2/library/qwen2.5/manifests/latest"),
        ("mine/coder:7b", "https://registry.ollama.ai/v2/mine/coder/manifests/7b"),
        ("http://box:5050/library/tiny:latest", "http://box:5050/v2/library/tiny/manifests/latest"),
    ],
)
def test_references_are_those_of_ollama_pull(text, url):
    asked = model_registry.Reference.of(text)
    assert asked.url(f"manifests/{asked.tag}") == url


def test_a_manifest_that_is_none_is_unknown(models):
    for path in (models / "models" / "manifests").rglob("14b"):
        path.write_text('{"layers": 3}')
    with pytest.raises(model_registry.Unknown, match="is not in"):
        model_registry.blobs_on_disk(models, "qwen2.5-coder:14b")
    assert model_weighing.Settings(1).parallel == 1
