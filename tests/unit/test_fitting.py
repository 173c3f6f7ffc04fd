# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The preflight weighs models: files here, the rest in one call on the host."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import nvidia_smi
from ansible_collections.hearth.llm.plugins.module_utils.models import parse_models
from ansible_collections.hearth.llm.plugins.plugin_utils import fitting

LAB = Path(__file__).parents[1] / "lab" / "model"
CSV = "0, GPU-aaaa-1, NVIDIA T400, 580.95.05, 00000000:01:00.0, 2048, 100, 2, 1946, 7.5, [N/A]\n"
CARD = nvidia_smi.cards(nvidia_smi.Said(0, CSV))[0].as_dict()
TINY = {"name": "tiny", "source": "gguf", "path": "tiny.gguf", "modelfile": "Modelfile"}


@pytest.fixture
def asked(monkeypatch):
    """What the host was asked; it finds that everything fits but `big`."""
    calls = []

    def run_module(_action, name, arguments, _task_vars):
        calls.append((name, arguments))
        rows = [
            {
                "model": item["name"],
                "source": "registry",
                "fits": item["name"] != "big",
                "message": "m",
                "remedy": "r",
            }
            for item in arguments["models"]
        ]
        return {"models": rows}

    monkeypatch.setattr(fitting, "run_module", run_module)
    return calls


def misfits(*items, folder=LAB, place="/srv/docker/ollama/models", card=CARD, **cards):
    models, wrong = parse_models(list(items))
    assert not wrong
    service = {
        "host": "gpu-1",
        "models": models,
        "mounts": {"models": place},
        "cards": {
            "variable": "ollama_gpus",
            "chosen": "all",
            "models": "ollama_models",
            "context": 4096,
            "parallel": 2,
            "cache_type": "q8_0",
            **cards,
        },
    }
    look = {
        "gpus": {"cards": [card]},
        "engine": {"root": "/var/lib/docker"},
        "system": {"memory": 119 * 2**30},
    }
    return fitting.misfits(types.SimpleNamespace(), {"inventory_dir": str(folder)}, service, look)


def test_a_host_is_asked_once_with_what_ollama_will_be_started_with(asked):
    problems, told = misfits("small", {"name": "big", "from": "huge:70b", "parameters": {"num_ctx": 99}})
    assert [(problem.variable, problem.value) for problem in problems] == [("ollama_models", "big")]
    assert told == []
    ((name, arguments),) = asked
    assert name == "model_fit"
    assert arguments == {
        "models": [
            {"name": "small", "from": "small", "parameters": {}},
            {"name": "big", "from": "huge:70b", "parameters": {"num_ctx": 99}},
        ],
        "cards": ["1948m"],
        "context": 4096,
        "parallel": 2,
        "cache_type": "q8_0",
        "directory": "/srv/docker/ollama/models",
    }


def test_a_card_that_shares_the_machines_memory_is_weighed_with_that(asked):
    assert misfits("small", card={**CARD, "usable": None}) == ([], [])
    assert asked[0][1]["cards"] == [f"{119 * 1024}m"]


def test_models_in_a_volume_are_found_below_dockers_directory(asked):
    misfits("small", place="ollama_models")
    assert asked[0][1]["directory"] == "/var/lib/docker/volumes/ollama_models/_data"


def test_a_file_is_weighed_here_and_the_host_is_not_asked(asked):
    assert misfits(TINY) == ([], [])
    assert asked == []


def test_a_context_in_a_modelfile_counts(asked, tmp_path):
    (tmp_path / "Modelfile").write_text("PARAMETER num_ctx 65536\n")
    misfits({"name": "long", "from": "small", "modelfile": "Modelfile"}, folder=tmp_path)
    assert asked[0][1]["models"][0]["parameters"] == {"num_ctx": 65536}


def test_a_file_or_a_modelfile_that_cannot_be_used_is_a_problem(asked, tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(b"not a model")
    (tmp_path / "Modelfile").write_text("PARAMETER num_cxt 5\n")
    problems, _told = misfits(TINY, folder=tmp_path)
    assert [problem.variable for problem in problems] == [
        "ollama_models: tiny.modelfile",
        "ollama_models: tiny",
    ]
    assert "did you mean num_ctx?" in problems[0].expected
    assert "does not begin with GGUF" in problems[1].expected


def test_what_nobody_knows_is_told_and_stops_nothing(monkeypatch):
    row = {
        "model": "small",
        "source": "",
        "fits": None,
        "message": "nothing is known of its size",
        "remedy": "r",
    }
    monkeypatch.setattr(fitting, "run_module", lambda *_arguments: {"models": [row]})
    assert misfits("small") == ([], ["gpu-1 small: nothing is known of its size"])


@pytest.mark.parametrize("cards", [{"chosen": []}, {"context": None}])
def test_without_cards_or_a_context_nothing_is_weighed(asked, cards):
    assert misfits("big", **cards) == ([], [])
    assert asked == []
