"""An operator's sops file as the source of secrets, with the real sops and Ansible's own plugin for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from vault_inventory import Inventory

BIN = Path(sys.executable).parent


@pytest.fixture
def inventory(tmp_path, monkeypatch):
    found = Inventory(tmp_path)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    monkeypatch.setenv("SOPS_AGE_SSH_PRIVATE_KEY_FILE", str(key))
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("ANSIBLE_VARS_ENABLED", "host_group_vars,community.sops.sops")
    file = found.all / "secrets.sops.yml"
    file.write_text("# mine\nmine: a word of mine\n")
    recipient = Path(f"{key}.pub").read_text().strip()
    subprocess.run(["sops", "encrypt", "--in-place", "--age", recipient, file], check=True)
    return found


def test_missing_secrets_go_into_the_operators_sops_file_and_are_read_from_it(inventory):
    first = inventory.play("secrets", password=False)
    assert first.returncode == 0, first.stdout
    file = inventory.all / "secrets.sops.yml"
    stored = yaml.safe_load(file.read_text())
    assert {"mine", "vault_echo_word", "vault_echo_seal"} <= set(stored)
    assert stored["vault_echo_word"].startswith("ENC[")
    plain = yaml.safe_load(subprocess.check_output(["sops", "decrypt", file], text=True))
    assert plain["mine"] == "a word of mine"
    assert plain["vault_echo_word"] not in first.stdout
    again = inventory.play("secrets", password=False)
    assert "every secret is there" in again.stdout, again.stdout
    assert "0 days ago" in again.stdout
    assert not list(inventory.all.glob(".vault-*"))
