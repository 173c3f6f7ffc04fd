"""The inventories that we ship resolve without a problem, by the very task that a deploy begins with."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - hearth.llm.catalogue:
      run_once: true
"""


def run(tmp_path, inventory):
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "password").write_text("homehub-example\n")
    command = [
        *(str(Path(sys.executable).parent / "ansible-playbook"), "-i", inventory),
        *("--vault-password-file", str(tmp_path / "password"), str(tmp_path / "play.yml")),
    ]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)


def test_the_example_is_complete(tmp_path):
    done = run(tmp_path, "inventories/homehub")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["local", "lab"])
def test_an_inventory_without_its_vault_lacks_nothing_but_secrets(tmp_path, name):
    inventory = tmp_path / name
    subprocess.run(["cp", "-r", str(ROOT / "inventories" / name), str(inventory)], check=True)
    (inventory / "group_vars" / "all" / "vault.yml").unlink(missing_ok=True)
    done = run(tmp_path, str(inventory))
    report = done.stdout.partition("no host was changed")[2].partition("TASK")[0]
    assert "vault_" in report
    assert [line for line in report.splitlines() if line.startswith(" all") and "vault_" not in line] == []
    assert all(line.startswith((" all", "  ")) for line in report.splitlines() if line.strip()), report
