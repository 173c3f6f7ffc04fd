# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The preflight as an operator meets it: cards and models that cannot be; the driver is a stand-in."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.hearth.llm.plugins.module_utils.gguf import read_header
from gguf_files import transformer

ROOT = Path(__file__).resolve().parents[2]
ONE = "GPU-aaaa-1"
CARDS = (
    f"0, {ONE}, NVIDIA GeForce RTX 5060 Ti, 580.95.05, 00000000:01:00.0, 16311, 350, 2, 15960, 12.0, [N/A]"
)
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - hearth.llm.catalogue:
      run_once: true
    - hearth.llm.preflight:
"""


class Host:
    """This machine, looked at by the preflight with an nvidia-smi of our own first on its PATH."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        self.smi(f"echo '{CARDS}'")
        (folder / "play.yml").write_text(PLAY)

    def smi(self, script):
        program = self.folder / "bin" / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def preflight(self, **variables):
        box = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "address": "127.0.0.1",
            "stacks": ["ollama"],
            "packet_filter": False,
            "state_dir": str(self.folder / "state"),
            **variables,
        }
        inventory = self.folder / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"compute": {"hosts": {"box": box}}}))
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                str(inventory),
                str(self.folder / "play.yml"),
            ],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "COLUMNS": "300"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.fixture
def big(tmp_path):
    """A 32B model's file, with holes in the place of its weights."""
    data = transformer("qwen2", 64, 5120, 40, 8, 27648, 152064, biases=True)
    path = tmp_path / "big.gguf"
    path.write_bytes(data)
    os.truncate(path, read_header(io.BytesIO(data)).size)
    return {"name": "big", "source": "gguf", "path": "big.gguf"}


def test_a_model_that_cannot_fit_is_refused(host, big):
    code, said = host.preflight(ollama_gpus=[ONE], ollama_models=[big])
    assert code != 0
    assert "1 problem on box; no host was changed" in said
    assert "ollama_models = big needs 21.0 GiB with 8192 tokens of context, the card has 15.1 GiB" in said
    assert "no context helps: take a smaller model" in said


def test_it_is_accepted_when_that_is_said_and_a_registry_that_is_away_stops_nothing(host, big):
    away = {"name": "away", "from": "http://127.0.0.1:9/library/x:y"}
    code, said = host.preflight(ollama_gpus="all", ollama_models=[{**big, "spill": True}, away])
    assert code == 0, said
    assert "box away: nothing is known of its size: 127.0.0.1:9 does not tell" in said


def test_cards_that_cannot_be_had_are_refused(host):
    host.smi("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    code, said = host.preflight(ollama_gpus=[ONE])
    assert code != 0
    assert "of different versions" in said
    assert "→ reboot; or" in said
