"""The whole platform on the lab's host `solo`, for the tests in which people go on using it while it changes."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ..e2e.conftest import BIN, LAB, ROOT, Dumper, Platform, lab_variables
from ..lab import table
from .load import at

HOST = "solo"
STACKS = ["ollama", "litellm", "openwebui", "traefik"]
ADDRESS = table.hosts()[HOST].address


class Solo(Platform):
    """The platform on one host; `ca`: its authority's certificate."""

    ca: Path

    def write(self, **variables: Any) -> None:
        """Set the host's variables for the runs to come."""
        groups = {
            "trusted": {"hosts": {HOST: {"ansible_host": ADDRESS, "stacks": STACKS, **variables}}},
            "compute": {"hosts": {HOST: {}}},
        }
        (self.inventory / "hosts.yml").write_text(yaml.dump(groups, Dumper=Dumper))

    def host(self, command: str) -> str:
        return self.ssh(HOST, command)

    def state(self, service: str) -> dict[str, Any]:
        return json.loads(self.host(f"cat /var/lib/hearth/stacks/{service}.json"))

    def secret(self, name: str) -> str:
        done = subprocess.run(
            [
                *(BIN / "ansible", "-i", self.inventory, HOST, "-c", "local", "-o"),
                *("--vault-password-file", LAB / "vault_pass"),
                *("-m", "ansible.builtin.debug", "-a", f"var=vault_{name}"),
            ],
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout.partition("=> ")[2])[f"vault_{name}"]


@contextmanager
def on_solo(folder: Path) -> Iterator[Solo]:
    """The host, emptied, with an inventory in a folder to be written; its names resolve in this process meanwhile."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", HOST], cwd=ROOT, check=True)
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    inventory = folder / "inventory"
    lab_variables(inventory)
    found = Solo(inventory)
    found.clear(HOST)
    try:
        with at(ADDRESS):
            yield found
    finally:
        found.play("stop-stacks")
        found.clear(HOST)
        shutil.rmtree(folder)


@contextmanager
def whole_platform(folder: Path) -> Iterator[Solo]:
    """`on_solo` with the platform deployed."""
    with on_solo(folder) as found:
        found.write()
        found.play("secrets").succeeded()
        found.deploy().succeeded()
        found.ca = folder / "ca.crt"
        found.ca.write_text(found.host("cat /srv/docker/traefik/certificates/ca.crt"))
        yield found


class Load:
    """Clients that ask the gateway one completion after the other, through Traefik, and count every answer.

    The first one asks all of it over one connection; when that is closed, it has lost something.
    """

    def __init__(self, solo: Solo, clients: int = 3, key: str = "litellm_probe_key") -> None:
        self.key = solo.secret(key)
        self.context = ssl.create_default_context(cafile=str(solo.ca))
        self.answers: Counter[str] = Counter()
        self.lost: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number == 0,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int = 20, patience: float = 120.0) -> None:
        """Return when so many more were answered over new connections, and some over the one that stays."""
        until = time.monotonic() + patience
        wanted = {"new": self.answers["new"] + count, "kept": self.answers["kept"] + count // 5}
        while any(self.answers[kind] < number for kind, number in wanted.items()):
            assert time.monotonic() < until, f"no answers any more: {self.lost[-3:]}"
            time.sleep(0.1)

    def _ask(self, keep: bool) -> None:
        connection = None
        while not self._stop.is_set():
            try:
                if connection is None or not keep:
                    connection = self._connection()
                self._completion(connection)
                self.answers["kept" if keep else "new"] += 1
            except (OSError, ValueError, LookupError, http.client.HTTPException) as problem:
                connection = None
                self.answers["lost"] += 1
                self.lost.append(f"{time.strftime('%H:%M:%S')} {'kept' if keep else 'new'}: {problem!r}")

    def _connection(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection("openai.hearth.lan", context=self.context, timeout=120)
        connection.connect()
        connection.auto_open = 0  # closed is closed
        return connection

    def _completion(self, connection: http.client.HTTPSConnection) -> None:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 2}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)
        with connection.getresponse() as response:
            answer = response.read()
            if response.status != 200:
                raise ValueError(f"{response.status} {answer[:300]!r}")
            json.loads(answer)["choices"][0]


class Names:
    """A client that asks a name server one question after the other over one connection, and counts the answers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers = 0
        self.lost: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._connection = socket.create_connection((ADDRESS, 53), timeout=10)

    def __enter__(self) -> Names:
        self._thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _ask(self) -> None:
        while not self._stop.wait(0.05):
            try:
                if self.asked() is None:
                    raise ValueError("no such name")
                self.answers += 1
            except (OSError, ValueError) as problem:
                self.lost.append(f"{time.strftime('%H:%M:%S')} {problem!r}")

    def asked(self) -> bytes | None:
        """The answer to a question for A records as it came, None for a name that is not there."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in self.name.split("."))
        question = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">B2H", 0, 1, 1)
        self._connection.sendall(struct.pack(">H", len(question)) + question)
        answer = self._read(struct.unpack(">H", self._read(2))[0])
        return None if answer[3] & 15 else answer

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self._connection.recv(size - len(found))
            if not more:
                raise ConnectionResetError("the connection was closed")
            found += more
        return found
