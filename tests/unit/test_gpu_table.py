# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""playbooks/gpu.yml's table: hosts, cards, models, where they run and how fast, and below it what is wrong."""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.hearth.llm.plugins.action import gpu_report
from ansible_collections.hearth.llm.plugins.action.gpu_report import collected
from ansible_collections.hearth.llm.plugins.module_utils import gpu_table
from ansible_collections.hearth.llm.plugins.module_utils.chat import ChatError
from ansible_collections.hearth.llm.plugins.module_utils.model_speed import measure, measure_openai
from ansible_collections.hearth.llm.plugins.module_utils.ollama import Client, OllamaError

GIB = 2**30
CARD = {"index": 0, "name": "NVIDIA GeForce RTX 5060 Ti", "used": 10 * GIB, "usable": int(15.5 * GIB)}
OTHER = {"index": 1, "name": "NVIDIA GeForce RTX 3060", "used": None, "usable": 12 * GIB}
CODER = {
    "model": "qwen2.5-coder:14b",
    "tokens_per_second": 48.2,
    "on_card": 1.0,
    "context": 8192,
    "error": None,
}
VECTORS = {
    "model": "nomic-embed-text:latest",
    "tokens_per_second": None,
    "on_card": 0.64,
    "context": 2048,
    "error": None,
}
SMALL = {"model": "qwen2.5:0.5b", "tokens_per_second": 9.1, "on_card": 0.0, "context": 4096, "error": None}
LOST = {
    "name": "container",
    "verdict": "wrong",
    "found": "Failed to initialize NVML: Unknown Error",
    "remedy": "docker restart ollama",
}


def host(name, cards, *models, error=None, checks=()):
    service = {"name": "ollama", "models": list(models), "checks": list(checks), "error": error}
    return {"host": name, "cards": cards, "services": [service]}


def test_the_table_is_read_at_a_glance():
    text = gpu_table.text(
        [
            host("gpu-1", [CARD, OTHER], CODER, VECTORS, checks=[{"name": "driver", "verdict": "ok"}]),
            host("gpu-2", [], SMALL),
        ]
    )
    assert text.splitlines() == [
        " host   card                          memory used       model                    runs on    context  tokens/s",
        " gpu-1  0 NVIDIA GeForce RTX 5060 Ti  10.0 of 15.5 GiB  qwen2.5-coder:14b        card       8192     48.2",
        "        1 NVIDIA GeForce RTX 3060     ? of 12.0 GiB     nomic-embed-text:latest  card 64%   2048",
        " gpu-2  none                                            qwen2.5:0.5b             processor  4096     9.1",
    ]


def test_a_card_that_tells_no_size_is_shown_all_the_same():
    shared = {"index": 0, "name": "NVIDIA GB10", "used": None, "usable": None}
    assert "0 NVIDIA GB10  ? of ?" in gpu_table.text([host("gpu-1", [shared], SMALL)])


def test_what_is_wrong_stands_below_with_its_remedy():
    risk = {"name": "reload", "verdict": "risk", "found": "no links", "remedy": "make them"}
    text = gpu_table.text(
        [host("gpu-1", [CARD], SMALL, checks=[LOST, risk, {"name": "model", "verdict": "unknown"}])]
    )
    assert (
        "\n gpu-1  ollama: container\n     Failed to initialize NVML: Unknown Error\n     → docker restart ollama"
        in text
    )
    assert " gpu-1  ollama: reload (a risk)\n" in text
    assert "ollama: model" not in text


def test_a_risk_is_told_and_fails_nothing(monkeypatch):
    risk = {"name": "reload", "verdict": "risk", "found": "no links", "remedy": "make them"}
    printed = []
    monkeypatch.setattr(gpu_report.ActionBase, "run", lambda *_arguments: {})
    monkeypatch.setattr(gpu_report.Display, "display", lambda _self, text: printed.append(text))
    item = {"name": "ollama"}

    def reported(*checks):
        found = {
            "hearth_speed": {"results": [{"item": item, "models": [CODER], "error": None}]},
            "hearth_checks": {"results": [{"item": item, "checks": checks}]},
        }
        action = gpu_report.ActionModule.__new__(gpu_report.ActionModule)
        return action.run(None, {"ansible_play_hosts": ["gpu-1"], "hostvars": {"gpu-1": found}})

    assert not reported(risk).get("failed")
    assert "ollama: reload (a risk)" in printed[-1]
    assert reported(risk, LOST)["msg"].startswith("1 of the cards' checks")


def test_an_ollama_and_a_model_that_do_not_answer_are_told():
    broken = {
        **CODER,
        "tokens_per_second": None,
        "error": "model failed to load",
        "on_card": None,
        "context": None,
    }
    hosts = [host("gpu-1", [CARD], error="container ollama does not run"), host("gpu-2", [CARD], broken)]
    text = gpu_table.text(hosts)
    assert "ollama does not answer" in text
    assert "not loaded" in text
    assert [row[:4] for row in gpu_table.problems(hosts)] == [
        ("gpu-1", "ollama", "server", "container ollama does not run"),
        ("gpu-2", "ollama", "qwen2.5-coder:14b", "model failed to load"),
    ]


def test_what_the_playbook_registered_is_collected():
    item = {"name": "ollama"}
    found = {
        "hearth_cards": {"cards": [CARD]},
        "hearth_speed": {"results": [{"item": item, "models": [CODER], "error": None}]},
        "hearth_checks": {"results": [{"item": item, "checks": [LOST]}]},
    }
    assert collected("gpu-1", found) == host("gpu-1", [CARD], CODER, checks=[LOST])
    assert collected("edge", {"hearth_cards": {"skipped": True}})["services"] == []


class Fake(Client):
    """An Ollama whose models are in memory once they were asked."""

    def __init__(self, loaded=(), broken=()):
        self.inside = [
            {"name": name, "size": 200, "size_vram": 100, "context_length": 4096} for name in loaded
        ]
        self.broken = broken
        self.asked = []

    def loaded(self):
        return list(self.inside)

    def _json(self, _method, path, body=None, _timeout=0):
        assert path == "/api/generate"
        name = body["model"]
        self.asked.append(name)
        if name in self.broken:
            raise OllamaError("model failed to load", 500)
        if "embed" in name:
            raise OllamaError(f'"{name}" does not support generate', 400)
        if not any(item["name"].startswith(name) for item in self.inside):
            self.inside.append({"name": f"{name}:latest", "size": 10, "size_vram": 10, "context_length": 99})
        return {"eval_count": 48, "eval_duration": 2_000_000_000}


def test_every_model_in_memory_is_measured():
    client = Fake(["a:1", "embed:1"])
    rows = measure(client, ["unused"])
    assert client.asked == ["a:1", "embed:1"]
    assert [(row["tokens_per_second"], row["on_card"], row["error"]) for row in rows] == [
        (24.0, 0.5, None),
        (None, 0.5, None),
    ]


def test_where_none_is_in_memory_the_first_is_loaded():
    (row,) = measure(Fake(), ["first", "second"])
    assert (row["model"], row["tokens_per_second"], row["on_card"], row["context"]) == (
        "first",
        24.0,
        1.0,
        99,
    )


def test_a_model_that_cannot_be_loaded_is_a_row_of_its_own():
    (row,) = measure(Fake(broken=["big"]), ["big"])
    assert (row["error"], row["on_card"]) == ("model failed to load", None)


@pytest.mark.parametrize("wanted", [[], ["none"]])
def test_an_ollama_without_models_measures_none(wanted):
    assert len(measure(Fake(broken=wanted), wanted)) == len(wanted)


class Served(BaseHTTPRequestHandler):
    """As much of a vLLM as is asked; its rows are those of vLLM's documentation."""

    def do_GET(self):
        names = ["coder", "Qwen/Qwen2.5-Coder-7B-Instruct"]
        rows = [{"id": name, "object": "model", "owned_by": "vllm", "max_model_len": 32768} for name in names]
        self.answers({"object": "list", "data": rows} if self.path == "/v1/models" else {"error": "no"})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, asked["model"]) == ("/v1/chat/completions", "coder")
        time.sleep(0.1)
        message = {"role": "assistant", "content": "The sea is wide."}
        usage = {"prompt_tokens": 8, "completion_tokens": asked["max_tokens"], "total_tokens": 56}
        self.answers({"model": "coder", "choices": [{"message": message}], "usage": usage})

    def answers(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_what):
        pass


def test_a_vllm_is_measured_by_the_clock_under_the_first_of_its_models_names():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        (row,) = measure_openai(f"http://127.0.0.1:{server.server_port}/v1")
    finally:
        server.shutdown()
        server.server_close()
    assert (row["model"], row["context"]) == ("coder", 32768)
    assert 0 < row["tokens_per_second"] <= 480
    line = gpu_table.text([host("gpu-1", [CARD], row)]).splitlines()[1]
    assert re.search(r"coder +32768 +[\d.]+$", line), "where it runs it does not say"
    with pytest.raises(ChatError, match="did not answer"):
        measure_openai("http://127.0.0.1:9/v1")
