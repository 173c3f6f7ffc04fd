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


def run(tmp_path, inventory, play=None, password="homehub-example"):
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "password").write_text(password)
    command = [
        *(str(Path(sys.executable).parent / "ansible-playbook"), "-i", inventory),
        *("--vault-password-file", str(tmp_path / "password"), str(play or tmp_path / "play.yml")),
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
    report = done.stdout.partition("no host was changed")[2].partition("PLAY RECAP")[0]
    assert "vault_" in report
    assert [line for line in report.splitlines() if line.startswith(" all") and "vault_" not in line] == []
    wrong = [line for line in report.splitlines() if line.strip() and not line.startswith((" all", "  "))]
    assert [line for line in wrong if " FAILED: " not in line] == []


def test_secrets_with_a_wrong_password_writes_nothing(tmp_path):
    inventory = tmp_path / "homehub"
    subprocess.run(["cp", "-r", str(ROOT / "inventories" / "homehub"), str(inventory)], check=True)
    vault = inventory / "group_vars" / "all" / "vault.yml"
    before = vault.read_bytes()
    done = run(tmp_path, str(inventory), play=ROOT / "playbooks" / "secrets.yml", password="another one")
    assert done.returncode != 0
    assert "cannot be decrypted" in done.stdout + done.stderr
    assert vault.read_bytes() == before


def test_secrets_makes_what_is_missing_once_and_keeps_the_rest(tmp_path):
    inventory = tmp_path / "homehub"
    subprocess.run(["cp", "-r", str(ROOT / "inventories" / "homehub"), str(inventory)], check=True)
    vault = inventory / "group_vars" / "all" / "vault.yml"
    whole = vault.read_text()
    first = whole.index("\nvault_") + 1
    one = "---\n" + whole[first : whole.index("\nvault_", first) + 1]
    vault.write_text(one + "# a word of mine\n")
    for _run in (1, 2):
        done = run(tmp_path, str(inventory), play=ROOT / "playbooks" / "secrets.yml")
        assert done.returncode == 0, done.stdout
    assert "every secret is there" in done.stdout
    made = vault.read_text()
    assert made.startswith(one + "# a word of mine\n")
    assert made.count("!vault") == whole.count("!vault")
    assert vault.stat().st_mode & 0o777 == 0o600
