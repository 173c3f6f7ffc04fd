"""The command line of the role vllm, before the argument parser of the very package that the image is made of.

The package is fetched into an environment of its own: 8 GB, thrown away afterwards. No model is loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from vllm_role import ROLE, container

VERSION = yaml.safe_load((ROLE / "service.yml").read_text())["variables"]["vllm_version"].removeprefix("v")
OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"][
    "options"
]
CARDS = ["GPU-5c3f1d7a", "GPU-8c1f2b3d"]

GOOD: list[dict[str, Any]] = [
    {},
    {"vllm_model": "org/model@4f1c", "vllm_names": ["a", {"name": "b:7b"}], "vllm_gpus": CARDS},
    {"vllm_tool_parser": "hermes", "vllm_reasoning_parser": "qwen3"},
    {"vllm_tool_parser": "llama3_json", "vllm_reasoning_parser": "deepseek_r1"},
    {"vllm_gpu_memory": 0.5, "vllm_num_parallel": 256, "vllm_context_length": 131072},
    {"vllm_arguments": ["--enforce-eager", "--quantization=awq"]},
    *({"vllm_kv_cache_type": choice} for choice in OPTIONS["vllm_kv_cache_type"]["choices"]),
]
BAD: list[dict[str, Any]] = [
    {"vllm_arguments": ["--enforce-egaer"]},
    {"vllm_arguments": ["--kv-cache-dtype=q8_0"]},
    {"vllm_arguments": ["--max-model-len=many"]},
    {"vllm_tool_parser": "no-such-parser"},
    {"vllm_reasoning_parser": "no-such-parser"},
]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Python with vLLM in the version that the role deploys."""
    folder = tmp_path_factory.mktemp("vllm")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "pip", "install", "--quiet", "--no-cache-dir", "--no-compile"]
    subprocess.run([*install, f"vllm=={VERSION}"], check=True)
    yield folder / "bin" / "python"
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.fixture(scope="module")
def verdicts(python: Path) -> list[str]:
    """What vLLM says of each, in one process: it takes ten seconds to be there."""
    made = [container(**variables) for variables in (*GOOD, *BAD)]
    lines = [json.dumps([found["command"], found["environment"]]) for found in made]
    lines.append(json.dumps([made[0]["command"], {"VLLM_NO_USAGE_STAT": "1"}]))
    done = subprocess.run(
        # Isolated: this folder has a package `secrets` of its own.
        [python, "-I", Path(__file__).with_name("vllm_arguments.py")],
        input="\n".join(lines),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_what_the_role_writes_is_what_vllm_takes(verdicts: list[str]) -> None:
    assert dict(enumerate(verdicts[: len(GOOD)])) == dict.fromkeys(range(len(GOOD)), "")


def test_a_misspelt_option_a_wrong_choice_and_an_unknown_variable_are_noticed(verdicts: list[str]) -> None:
    assert all(verdicts[len(GOOD) :]), verdicts[len(GOOD) :]
