"""hearth-backup as it is put on a host: one file that needs nothing else, and a configuration for root alone."""

from __future__ import annotations

import json
import subprocess
import sys

from ansible_collections.hearth.llm.plugins.module_utils import backup_program
from ansible_collections.hearth.llm.plugins.modules.backup_program import differs, wanted

PARAMETERS = {
    "config": {"host": "edge"},
    "key": "secret-key",
    "environment": {"AWS_ACCESS_KEY_ID": 7},
    "folder": "/etc/x",
}


def test_the_program_is_one_file_and_always_the_same(tmp_path):
    program = tmp_path / "hearth-backup"
    program.write_bytes(backup_program.program())
    done = subprocess.run(
        [sys.executable, "-I", str(program), "--help"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=True,
    )
    for word in ("run", "list", "restore", "drill", "recover", "status", "init"):
        assert f"    {word} " in done.stdout
    assert backup_program.program() == program.read_bytes()


def test_without_a_configuration_it_says_what_writes_one(tmp_path):
    program = tmp_path / "hearth-backup"
    program.write_bytes(backup_program.program())
    command = [sys.executable, str(program), "--config", str(tmp_path / "none"), "run"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 2
    assert "playbooks/backup.yml writes it" in done.stderr


def test_what_holds_secrets_is_roots_alone():
    files = wanted(PARAMETERS)
    assert {path: mode for path, (_content, mode) in files.items() if path.startswith("/etc/x")} == {
        "/etc/x/config.json": 0o600,
        "/etc/x/key": 0o600,
        "/etc/x/environment.json": 0o600,
    }
    assert json.loads(files["/etc/x/environment.json"][0]) == {"AWS_ACCESS_KEY_ID": "7"}


def test_a_file_of_another_mode_differs(tmp_path):
    path = tmp_path / "key"
    assert differs(str(path), b"a", 0o600)
    path.write_bytes(b"a")
    path.chmod(0o644)
    assert differs(str(path), b"a", 0o600)
    path.chmod(0o600)
    assert not differs(str(path), b"a", 0o600)
    assert differs(str(path), b"b", 0o600)
