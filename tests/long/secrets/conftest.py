"""A whole platform on one lab host, whose secrets are replaced while people use it.

Besides the services of Hearth there are `store`, PostgreSQL with a password that is changed inside the running server,
and `shop`, a page behind a password at the front door.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from ...e2e.conftest import BIN, LAB, ROOT
from .doors import ADDRESS, HOST, Doors

HERE = Path(__file__).parent
IMAGES = (
    *("traefik", "socket-proxy", "litellm", "open-webui", "ollama", "postgres", "qdrant", "rustpad"),
    *("bind9", "authentik", "authentik-proxy"),
)
OURS = ("bind9", "authentik", "ollama", "qdrant", "litellm", "openwebui", "rustpad", "traefik")
STACKS = (*OURS, "store", "shop")
# Those that start within seconds; between them they are rotated by a restart, in place, and with both values valid.
SMALL = ("store", "qdrant", "traefik", "shop")


def inventory(stacks: Sequence[str]) -> dict[str, Any]:
    model = ROOT / "tests" / "lab" / "model"
    here = {
        "ansible_host": ADDRESS,
        "stacks": list(stacks),
        "litellm_clients": [{"name": "team"}],
        "traefik_users": [{"name": "reader"}],
        "shop_guard": "basic",
        "rustpad_guard": "basic",
        "service_folders": [str(HERE / "roles"), str(ROOT / "molecule" / "traefik" / "services")],
    }
    return {
        "trusted": {"hosts": {HOST: here}},
        "compute": {"hosts": {HOST: None}},
        "all": {
            "vars": {
                "access": "lan",
                "domain": "hearth.lan",
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(LAB / "id_ed25519"),
                "ansible_ssh_common_args": f"-o UserKnownHostsFile={LAB / 'known_hosts'} -o StrictHostKeyChecking=yes",
                "ansible_python_interpreter": "/usr/bin/python3",
                "own_variables": ["shop_version"],
                "ollama_models": [
                    {
                        "name": "tiny",
                        "source": "gguf",
                        "path": str(model / "tiny.gguf"),
                        "modelfile": str(model / "Modelfile"),
                    }
                ],
            }
        },
    }


class Secure(Doors):
    """The platform, its doors, and its vault as an operator reads it."""

    def __init__(self, folder: Path, stacks: Sequence[str]) -> None:
        super().__init__(folder)
        self.stacks = stacks
        (folder / "group_vars" / "all").mkdir(parents=True)
        (folder / "hosts.yml").write_text(yaml.safe_dump(inventory(stacks)))
        self.vault = folder / "group_vars" / "all" / "vault.yml"
        self.ca = folder.parent / "ca.crt"

    def secrets(self) -> dict[str, str]:
        """The vault's values by variable, old ones beside new ones included."""
        vault = VaultLib([("default", VaultSecret((LAB / "vault_pass").read_bytes().strip()))])
        root = yaml.compose(self.vault.read_text())
        return {
            key.value: vault.decrypt(value.value.strip()).decode()
            for key, value in root.value
            if value.tag == "!vault"
        }

    def rotate(self, *arguments: str, **variables: Any) -> Any:
        extra = ["-e", json.dumps(variables)] if variables else []
        return self.play("rotate-secrets", *extra, *arguments)

    def start(self, playbook: str, *arguments: str) -> subprocess.Popen[str]:
        """A playbook that goes on by itself, in a process group of its own."""
        return subprocess.Popen(
            [
                *(str(BIN / "ansible-playbook"), "-i", str(self.inventory)),
                *("--vault-password-file", str(LAB / "vault_pass"), "-e", f"@{LAB / 'images.yml'}"),
                *(f"playbooks/{playbook}.yml", *arguments),
            ],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answers(self) -> None:
        """Everything takes what stands in the vault now, and nothing is half done."""
        now = self.secrets()
        assert not [name for name in now if name.endswith("_previous")]
        assert self.basic(now["vault_traefik_user_reader"]) == 404  # past the guard; shop has no pages
        assert self.store(now["vault_store_password"])
        if "qdrant" in self.stacks:
            assert self.vectors(now["vault_qdrant_api_key"]) == 200
        if "authentik" in self.stacks:
            assert self.administers(now["vault_authentik_admin_password"])
            assert self.database(now["vault_authentik_database_password"])
        if "bind9" in self.stacks:
            assert self.signs("acme", now["vault_bind9_acme_key"])
            assert self.signs("rndc", now["vault_bind9_rndc_key"])
        if "rustpad" in self.stacks:
            assert self.pad(now["vault_traefik_user_reader"])[0] == 200
        if "litellm" in self.stacks:
            assert self.chats(now["vault_litellm_client_team"]) == 200
            assert self.chats(now["vault_litellm_probe_key"]) == 200
        if "openwebui" in self.stacks:
            status, answer = self.sign_in(now["vault_openwebui_admin_password"])
            assert status == 200, answer
            models = self.ask("chat", "/api/models", Authorization=f"Bearer {answer['token']}")[1]
            assert [model["id"] for model in models["data"]] == ["tiny"]


@dataclass
class Load:
    """Somebody who keeps asking with a key that is valid; `failed`: (begin, end, what) of each question that failed."""

    asked: int = 0
    failed: list[tuple[float, float, str]] = field(default_factory=list)


@contextmanager
def load(platform: Secure, variable: str) -> Iterator[Load]:
    """A client that asks all the time, with the newest key that it was given and else with the one before."""
    done, found = threading.Event(), Load()

    def work() -> None:
        while not done.is_set():
            known = platform.secrets()
            keys = [known[name] for name in (variable, f"{variable}_previous") if name in known]
            begin = time.time()
            statuses = [_status(platform, key) for key in keys]
            found.asked += 1
            if 200 not in statuses:
                found.failed.append((begin, time.time(), str(statuses)))
            done.wait(0.2)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _status(platform: Secure, key: str) -> int | str:
    try:
        return platform.chats(key)
    except OSError as error:
        return type(error).__name__


def deployed(folder: Path, stacks: Sequence[str]) -> Iterator[Secure]:
    """A platform of these stacks with a vault of its own, until the tests that use it have ended."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", HOST], cwd=ROOT, check=True)
    subprocess.run([BIN / "python", "-m", "tests.lab", "load", HOST, *IMAGES], cwd=ROOT, check=True)
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    found = Secure(folder / "inventory", stacks)
    found.clear(HOST)
    found.play("secrets").succeeded()
    found.deploy().succeeded()
    found.ca.write_text(found.host("cat /srv/docker/traefik/certificates/ca.crt"))
    yield found
    found.clear(HOST)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    yield from deployed(tmp_path_factory.mktemp("secure"), STACKS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    yield from deployed(tmp_path_factory.mktemp("small"), SMALL)
