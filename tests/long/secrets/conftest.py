"""A whole platform on one lab host, whose secrets are replaced while people use it.

Besides the services of Hearth there are `store`, PostgreSQL with a password that is changed inside the running server,
and `wiki`, a page behind a password at the front door.
"""

from __future__ import annotations

import base64
import http.client
import json
import shlex
import socket
import ssl
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

from ...e2e.conftest import BIN, LAB, ROOT, Platform
from ...lab import table

HOST = "solo"
ADDRESS = table.hosts()[HOST].address
HERE = Path(__file__).parent
IMAGES = ("traefik", "socket-proxy", "litellm", "open-webui", "ollama", "postgres", "qdrant")
STACKS = ("ollama", "store", "litellm", "openwebui", "traefik", "wiki")
# Those that start within seconds; between them they are rotated by a restart, in place, and with both values valid.
SMALL = ("store", "qdrant", "traefik", "wiki")
QUESTION = {"model": "tiny", "max_tokens": 2, "messages": [{"role": "user", "content": "hello"}]}


def inventory(stacks: Sequence[str]) -> dict[str, Any]:
    model = ROOT / "tests" / "lab" / "model"
    here = {
        "ansible_host": ADDRESS,
        "stacks": list(stacks),
        "litellm_clients": [{"name": "team"}],
        "traefik_users": [{"name": "reader"}],
        "wiki_guard": "basic",
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
                "own_variables": ["wiki_version"],
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


class Secure(Platform):
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

    def host(self, command: str) -> str:
        return self.ssh(HOST, command)

    # Doors --------------------------------------------------------------------------------------------------------

    def ask(self, name: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, answer) through the front door, by a service's first label."""
        connection = _Connection(f"{name}.hearth.lan", ssl.create_default_context(cafile=str(self.ca)))
        try:
            data = None if body is None else json.dumps(body)
            connection.request(
                "POST" if data else "GET", path, data, {"Content-Type": "application/json", **headers}
            )
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def inside(self, container: str, port: int, path: str, **headers: str) -> int:
        """The status that a container answers the host itself with, past the front door."""
        form = "{{.NetworkSettings.Networks.frontend.IPAddress}}"
        asked = json.dumps({"port": port, "path": path, "headers": headers})
        program = (
            "import http.client,json,sys; a=json.loads(sys.argv[2]); c=http.client.HTTPConnection(sys.argv[1],"
            "a['port'],timeout=60); c.request('GET',a['path'],headers=a['headers']); print(c.getresponse().status)"
        )
        address = f"$(docker inspect -f {shlex.quote(form)} {container})"
        return int(self.host(f"python3 -c {shlex.quote(program)} {address} {shlex.quote(asked)}"))

    def chats(self, key: str) -> int:
        """The status of a question with a client's key."""
        return self.ask("openai", "/v1/chat/completions", QUESTION, Authorization=f"Bearer {key}")[0]

    def sign_in(self, password: str) -> tuple[int, Any]:
        body = {"email": "admin@localhost", "password": password}
        return self.ask("chat", "/api/v1/auths/signin", body)

    def answers(self) -> None:
        """Everything takes what stands in the vault now, and nothing is half done."""
        now = self.secrets()
        assert not [name for name in now if name.endswith("_previous")]
        assert self.basic(now["vault_traefik_user_reader"]) == 404  # past the guard; wiki has no pages
        assert self.store(now["vault_store_password"])
        if "qdrant" in self.stacks:
            assert self.vectors(now["vault_qdrant_api_key"]) == 200
        if "litellm" in self.stacks:
            assert self.chats(now["vault_litellm_client_team"]) == 200
            assert self.chats(now["vault_litellm_probe_key"]) == 200
        if "openwebui" in self.stacks:
            status, answer = self.sign_in(now["vault_openwebui_admin_password"])
            assert status == 200, answer
            models = self.ask("chat", "/api/models", Authorization=f"Bearer {answer['token']}")[1]
            assert [model["id"] for model in models["data"]] == ["tiny"]

    def vectors(self, key: str) -> int:
        """The status that the vector database answers this key with."""
        return self.inside("qdrant", 6333, "/collections", **{"api-key": key})

    def basic(self, password: str) -> int:
        pair = base64.b64encode(f"reader:{password}".encode()).decode()
        return self.ask("wiki", "/", Authorization=f"Basic {pair}")[0]

    def store(self, password: str) -> bool:
        """Whether PostgreSQL lets somebody in with this password."""
        command = (
            f"docker exec -e PGPASSWORD={password} store sh -c "
            "'psql -h $(hostname -i) -U store -d store -c \"select 1\"' >/dev/null 2>&1 && echo yes || echo no"
        )
        return self.host(command).strip() == "yes"


class _Connection(http.client.HTTPSConnection):
    """HTTPS to the lab's host under one of the platform's names."""

    def __init__(self, name: str, context: ssl.SSLContext) -> None:
        super().__init__(name, 443, context=context, timeout=60)
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((ADDRESS, 443), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


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
    # Data of an earlier run belongs to secrets that are gone.
    found.host("rm -rf /srv/docker/openwebui /srv/docker/store /srv/docker/qdrant")
    found.play("secrets").succeeded()
    found.deploy().succeeded()
    found.ca.write_text(found.host("cat /srv/docker/traefik/certificates/ca.crt"))
    yield found
    found.play("stop-stacks")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    yield from deployed(tmp_path_factory.mktemp("secure"), STACKS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    yield from deployed(tmp_path_factory.mktemp("small"), SMALL)
