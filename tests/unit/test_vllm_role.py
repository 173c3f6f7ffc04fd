"""What the role vllm asks of Docker, and how it serves beside Ollama. Its command line: tests/long/test_vllm.py."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import catalogue, view_backends
from vllm_role import MODEL, container, platform

CARDS = ["GPU-5c3f1d7a", "GPU-8c1f2b3d"]


def told(*hosts: dict[str, Any], **edge: Any) -> dict[tuple[str, str], str]:
    found = platform(*hosts, **edge)
    return {(problem.host, problem.variable): problem.expected for problem in found.problems}


def test_a_name_that_ollama_has_too_is_one_model_of_two_servers() -> None:
    found = platform(
        {**MODEL, "vllm_names": ["qwen2.5:7b"], "vllm_weight": 4},
        {"stacks": ["ollama"], "ollama_models": ["qwen2.5:7b"]},
    )
    assert found.problems == []
    [gateway] = catalogue.instances(found.fleet, "edge", "litellm")

    [backend] = view_backends.backends(gateway)

    assert backend["model"] == "qwen2.5:7b"
    assert backend["servers"] == [
        {"name": "gpu-2", "address": "10.0.0.22:11434", "weight": 1},
        {"name": "gpu-1", "address": "10.0.0.21:8000", "weight": 4},
    ]


def test_without_names_it_has_the_models_own_without_the_commit() -> None:
    [gateway] = catalogue.instances(platform({"vllm_model": "Qwen/Qwen3-8B@4f1c"}).fleet, "edge", "litellm")
    [backend] = view_backends.backends(gateway)
    assert (backend["name"], backend["model"]) == ("Qwen::Qwen3-8B", "Qwen/Qwen3-8B")


@pytest.mark.parametrize(
    ("variables", "variable", "expected"),
    [
        ({"vllm_model": ""}, "vllm_model", "is missing"),
        ({"vllm_model": "/models/house"}, "vllm_names[0]", "a model's name"),
        ({**MODEL, "vllm_gpus": []}, "vllm_gpus", "does not run without one"),
        ({**MODEL, "vllm_gpus": ["card"]}, "vllm_gpus[0]", "is no card"),
        ({**MODEL, "vllm_names": ["a b"]}, "vllm_names[0]", "a model's name"),
        ({**MODEL, "vllm_weight": 0}, "vllm_weight", "share of the load"),
        ({**MODEL, "vllm_kv_cache_type": "q8_0"}, "vllm_kv_cache_type", "auto"),
    ],
)
def test_what_cannot_be_meant_is_reported(variables: dict[str, Any], variable: str, expected: str) -> None:
    assert expected in told(variables)["gpu-1", variable]


def test_a_card_that_ollama_has_is_not_given_to_it() -> None:
    both = {**MODEL, "stacks": ["ollama", "vllm"], "vllm_gpus": CARDS[:1], "ollama_gpus": "all"}
    assert "neither would know" in told(both)["gpu-1", "vllm_gpus"]
    assert told({**both, "ollama_gpus": CARDS[1:]}) == {}


def test_two_hosts_with_other_models_under_one_name_are_reported() -> None:
    one, other = ({"vllm_model": model, "vllm_names": ["house"]} for model in ("org/a@1f", "org/a@2e"))
    assert "gpu-1 has org/a@1f under this name" in told(one, other)["gpu-2", "vllm: house.from"]
    assert told(one, one) == {}


def test_the_model_and_its_commit_are_arguments_of_their_own() -> None:
    command = container(vllm_model="org/model@4f1c", vllm_names=["a", "b"])["command"]
    assert command[:6] == ["org/model", "--revision", "4f1c", "--served-model-name", "a", "b"]
    assert "--revision" not in container()["command"]


@pytest.mark.parametrize(
    ("variables", "reserved", "together"),
    [
        ({}, {"count": "all"}, 1),
        ({"vllm_gpus": CARDS}, {"device_ids": CARDS}, 2),
        ({"vllm_tensor_parallel": 4}, {"count": "all"}, 4),
    ],
)
def test_the_model_is_spread_over_the_cards_that_are_listed(
    variables: dict[str, Any], reserved: dict[str, Any], together: int
) -> None:
    found = container(**variables)
    devices = found["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "capabilities": ["gpu"], **reserved}]
    assert f"--tensor-parallel-size={together}" in found["command"]


def test_it_has_no_rights_that_it_does_not_need_and_tells_nobody() -> None:
    found = container()
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["environment"]["VLLM_NO_USAGE_STATS"] == "1"
    assert found["ports"] == ["10.0.0.21:8000:8000"]
