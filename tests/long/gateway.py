"""The whole platform on the lab's host `solo`, for the tests in which people go on using it while it changes."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..e2e.conftest import BIN, LAB, ROOT, Dumper, Platform
from ..lab import table

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
def whole_platform(folder: Path) -> Iterator[Solo]:
    """The platform, its inventory in a folder; its names resolve in this process while it is there."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", HOST], cwd=ROOT, check=True)
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    source = ROOT / "inventories" / "lab" / "group_vars" / "all" / "main.yml"
    main = folder / "group_vars" / "all" / "main.yml"
    main.parent.mkdir(parents=True)
    text = source.read_text().replace("../../tests/lab", str(ROOT / "tests" / "lab"))
    main.write_text(text.replace("(inventory_dir ~ '/../../.lab') | realpath", f"'{LAB}'"))
    found = Solo(folder)
    found.clear(HOST)
    found.write()
    found.play("secrets").succeeded()
    found.deploy().succeeded()
    found.ca = folder / "ca.crt"
    found.ca.write_text(found.host("cat /srv/docker/traefik/certificates/ca.crt"))
    with pytest.MonkeyPatch.context() as patch:
        look_up = socket.getaddrinfo
        patch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest, **more: look_up(
                ADDRESS if str(host).endswith(".hearth.lan") else host, *rest, **more
            ),
        )
        yield found
    found.play("stop-stacks")
    found.clear(HOST)
    shutil.rmtree(folder)


class Load:
    """Clients that ask the gateway one completion after the other, through Traefik, and count every answer."""

    def __init__(self, solo: Solo, clients: int = 3) -> None:
        self.key = solo.secret("litellm_probe_key")
        self.context = ssl.create_default_context(cafile=str(solo.ca))
        self.answers: Counter[str] = Counter()
        self.lost: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _client in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int = 20, patience: float = 120.0) -> None:
        """Return when so many more were answered."""
        wanted, until = self.answers["200"] + count, time.monotonic() + patience
        while self.answers["200"] < wanted:
            assert time.monotonic() < until, f"no answers any more: {self.lost[-3:]}"
            time.sleep(0.1)

    def _ask(self) -> None:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 2}
        while not self._stop.is_set():
            asked = urllib.request.Request(
                "https://openai.hearth.lan/v1/chat/completions",
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
            )
            try:
                with urllib.request.urlopen(asked, context=self.context, timeout=120) as response:
                    json.loads(response.read())["choices"][0]
                    self.answers[str(response.status)] += 1
            except (OSError, ValueError, LookupError, http.client.HTTPException) as problem:
                self.answers["lost"] += 1
                self.lost.append(f"{time.strftime('%H:%M:%S')} {problem}")
