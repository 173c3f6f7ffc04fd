"""An inventory of one host with one small service, to run the playbooks about secrets on without any host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PASSWORD = "the password of these tests"
SERVICE = """\
title: Echo
tier: every
variables: {echo_version: "1"}
images: {echo: {name: docker.io/some/echo, version: echo_version}}
secrets:
  echo_word: {kind: password, days: 30}
  echo_seal: {kind: hex, rotate: never, why: Seals what is stored; all of it would be lost.}
"""


def vault(password: str = PASSWORD) -> VaultLib:
    return VaultLib([("default", VaultSecret(password.encode()))])


class Inventory:
    """A folder with hosts.yml and group_vars/all; `play` runs a playbook on it."""

    def __init__(self, folder: Path, service: str = SERVICE) -> None:
        self.folder = folder
        self.all = folder / "inventory" / "group_vars" / "all"
        self.all.mkdir(parents=True)
        role = folder / "services" / "echo"
        role.mkdir(parents=True)
        (role / "service.yml").write_text(service)
        hosts = {"trusted": {"hosts": {"here": {"ansible_connection": "local", "stacks": ["echo"]}}}}
        (folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump(hosts))
        (self.all / "main.yml").write_text(f"service_folders: [{role.parent}]\n")
        self.password = folder / "password"
        self.password.write_text(PASSWORD)

    @property
    def vault(self) -> Path:
        return self.all / "vault.yml"

    def play(
        self, playbook: str, *arguments: str, password: bool = True, **environment: str
    ) -> subprocess.CompletedProcess:
        command = [str(BIN / "ansible-playbook"), "-i", str(self.folder / "inventory")]
        command += ["--vault-password-file", str(self.password)] if password else []
        return subprocess.run(
            [*command, f"playbooks/{playbook}.yml", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def value(self, variable: str, *arguments: str) -> str:
        """A value as plain Ansible reads it."""
        done = subprocess.run(
            [
                *(str(BIN / "ansible"), "here", "-i", str(self.folder / "inventory"), "-o"),
                *(arguments or ("--vault-password-file", str(self.password))),
                *("-m", "ansible.builtin.debug", "-a", f"var={variable}"),
            ],
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=True,
        )
        return yaml.safe_load(done.stdout.partition("=> ")[2])[variable]
