"""A platform on the lab's hosts, deployed once for all tests here by the commands that an operator types."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..lab import table

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / ".lab"
BIN = ROOT / ".venv" / "bin"
EDGE, GPU_1, GPU_2 = (table.hosts()[name].address for name in ("edge", "gpu-1", "gpu-2"))


class Unsafe(str):
    """Text that Ansible may not take for a template."""


class Dumper(yaml.SafeDumper):
    """Writes Unsafe as Ansible reads it."""


Dumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


class Run:
    """A finished ansible-playbook: its output and its recap, host → {ok, changed, failed, …}."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.output = done.stdout
        self.lines = [line for line in done.stdout.splitlines() if line.strip()]
        self.recap = {}
        for line in self.lines:
            host, _colon, counts = line.partition(" : ")
            if "unreachable=" in counts:
                self.recap[host.strip()] = {
                    k: int(v) for k, v in (item.split("=") for item in counts.split())
                }

    @property
    def changed(self) -> int:
        return sum(row["changed"] for row in self.recap.values())

    def succeeded(self) -> Run:
        assert self.code == 0, self.output
        return self


def lab_variables(folder: Path) -> None:
    """The variables of the lab's inventory, in the folder of one that lies elsewhere."""
    text = (ROOT / "inventories" / "lab" / "group_vars" / "all" / "main.yml").read_text()
    text = text.replace("../../tests/lab", str(ROOT / "tests" / "lab"))
    text = text.replace("(inventory_dir ~ '/../../.lab') | realpath", f"'{LAB}'")
    main = folder / "group_vars" / "all" / "main.yml"
    main.parent.mkdir(parents=True, exist_ok=True)
    main.write_text(text)


class Platform:
    """The lab's platform, driven as an operator drives it."""

    def __init__(self, inventory: Path = ROOT / "inventories" / "lab") -> None:
        self.inventory = inventory

    def play(
        self,
        playbook: str,
        *arguments: str,
        inventory: Path | None = None,
        cwd: Path = ROOT,
        environment: dict[str, str] | None = None,
    ) -> Run:
        command = [
            str(BIN / "ansible-playbook"),
            *("-i", str(inventory or self.inventory)),
            *("--vault-password-file", str(LAB / "vault_pass")),
            *("-e", f"@{LAB / 'images.yml'}"),
            playbook if ":" in playbook or "." in playbook else f"playbooks/{playbook}.yml",
            *arguments,
        ]
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return Run(done)

    def deploy(self, *arguments: str, inventory: Path | None = None) -> Run:
        return self.play("deploy-stacks", *arguments, inventory=inventory)

    def ssh(self, host: str, command: str) -> str:
        done = subprocess.run(
            [BIN / "python", "-m", "tests.lab", "ssh", host, command],
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"{host}: {command}: {done.stderr}"
        return done.stdout

    def clear(self, host: str) -> None:
        """Remove what others have deployed on a host, data and backups included: it belongs to secrets of theirs."""
        timers = "hearth-backup.timer hearth-backup-drill.timer 'hearth-backup-prune@*.timer'"
        # Without backups there are none of them, which systemctl takes for a failure.
        self.ssh(host, f"systemctl disable --now {timers} 2>/dev/null || true")
        self.ssh(host, "docker ps -aq | xargs -r docker rm -f; rm -rf /opt/stacks/* /srv/docker/*")
        self.ssh(host, "rm -rf /var/lib/hearth/stacks/* /var/lib/hearth/transactions/*")
        saved = "/etc/hearth/backups /etc/hearth/backup-clients /var/lib/hearth/backups /var/backups/hearth"
        self.ssh(host, f"rm -rf {saved}")

    def cut_off(self, host: str, port: int) -> None:
        """Whatever comes to a port of the host is dropped, in connections that stand, too, until `join`."""
        rule = f"add rule ip trouble first tcp dport {port} drop"
        chain = "add chain ip trouble first { type filter hook prerouting priority -400; }"
        self.ssh(host, f"nft 'add table ip trouble; {chain}; {rule}'")

    def join(self, host: str) -> None:
        self.ssh(host, "nft delete table ip trouble")

    def reboot(self, host: str) -> None:
        """Boot a host again; returns when its engine answers."""
        subprocess.run([BIN / "python", "-m", "tests.lab", "reboot", host], cwd=ROOT, check=True)

    def containers(self, host: str) -> dict[str, str]:
        """Name → id of every container on a host."""
        listed = self.ssh(host, "docker ps -a --no-trunc --format '{{.Names}} {{.ID}}'")
        return dict(line.split() for line in listed.splitlines())

    def secret(self, name: str, host: str = "edge") -> str:
        """A secret's value, read as an operator would read it."""
        run = subprocess.run(
            [
                *(BIN / "ansible", "-i", self.inventory, host, "-c", "local", "-o"),
                *("--vault-password-file", LAB / "vault_pass"),
                *("-m", "ansible.builtin.debug", "-a", f"var=vault_{name}"),
            ],
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=True,
        )
        return json.loads(run.stdout.partition("=> ")[2])[f"vault_{name}"]


@pytest.fixture(scope="session")
def hosts() -> None:
    subprocess.run(
        [BIN / "python", "-m", "tests.lab", "up", "edge", "gpu-1", "gpu-2", "outsider"], cwd=ROOT, check=True
    )


@pytest.fixture(scope="session")
def platform(hosts: None) -> Platform:
    """The lab's inventory, deployed. The first deploy's output is kept as `first`."""
    found = Platform()
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    found.play("secrets").succeeded()
    found.first = found.deploy().succeeded()  # type: ignore[attr-defined]
    return found


@pytest.fixture(scope="session")
def ca(platform: Platform) -> Path:
    """The certificate of the platform's own CA, as an operator would hand it out."""
    path = LAB / "ca.crt"
    path.write_text(platform.ssh("edge", "cat /srv/docker/traefik/certificates/ca.crt"))
    return path


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve the lab's names in this process, as a DNS server would."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        return look_up(EDGE if str(text).endswith(".hearth.lan") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def client_key(platform: Platform) -> str:
    return platform.secret("litellm_probe_key")


@pytest.fixture
def http(names: None, ca: Path) -> Any:
    """request(method, url, key, body) → (status, headers, payload)."""
    context = ssl.create_default_context(cafile=str(ca))

    def request(url: str, key: str | None = None, body: Any = None) -> tuple[int, Any, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(url, data=data, headers=headers)
        try:
            with urllib.request.urlopen(asked, context=context, timeout=60) as response:
                return response.status, response.headers, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode(errors="replace")

    return request


@pytest.fixture
def inventory_with(platform: Platform, tmp_path: Path) -> Any:
    """A copy of the lab's inventory with more in its hosts.yml; relative paths in it keep their meaning."""

    def make(change: Any) -> Path:
        copy = ROOT / ".lab" / "inventories" / tmp_path.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(platform.inventory, copy)
        main = copy / "group_vars" / "all" / "main.yml"
        text = main.read_text().replace("../../tests/lab", str(ROOT / "tests" / "lab"))
        main.write_text(text.replace("(inventory_dir ~ '/../../.lab') | realpath", f"'{LAB}'"))
        hosts = yaml.safe_load((copy / "hosts.yml").read_text())
        change(hosts)
        (copy / "hosts.yml").write_text(yaml.dump(hosts, Dumper=Dumper))
        return copy

    return make


@pytest.fixture(scope="session")
def installed_collection(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The collection built and installed as a user installs it; what `play` needs to run it away from the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    galaxy = BIN / "ansible-galaxy"
    subprocess.run([galaxy, "collection", "build", "--output-path", folder], cwd=ROOT, check=True)
    [tarball] = folder.glob("hearth-llm-*.tar.gz")
    subprocess.run(
        [galaxy, "collection", "install", "--offline", "-p", folder / "collections", tarball],
        cwd=folder,
        check=True,
    )
    return {
        "cwd": folder,
        "environment": {"ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "ANSIBLE_PIPELINING": "1"},
    }


@dataclass
class OwnService:
    """A folder of roles outside the collection, and the secret that its one container must receive."""

    folder: Path
    word: str


@pytest.fixture
def own_service(platform: Platform, tmp_path: Path) -> OwnService:
    version = yaml.safe_load((LAB / "images.yml").read_text()).get("traefik_version", "v3.7.12")
    role = tmp_path / "services" / "echo"
    files = {
        "service.yml": f"""\
title: Echo
tier: every
variables: {{echo_version: {version}}}
images: {{echo: {{name: docker.io/library/traefik, version: echo_version}}}}
resources: {{echo: {{cpus: 0.1, memory: 32m, reserve_cpus: 0.05, reserve_memory: 16m}}}}
secrets: {{echo_word: {{kind: password}}}}
""",
        "tasks/main.yml": "---\n- name: Deploy the echo stack\n  hearth.llm.stack:\n    name: echo\n",
        "templates/env.echo.j2": "WORD={{ secrets.echo_word | hearth.llm.env_value }}\n",
        "templates/compose.yaml.j2": """\
name: echo
services:
  echo:
    container_name: echo
    image: {{ service.images.echo }}
    entrypoint: [sleep, infinity]
    init: true
    env_file: .env.echo
""",
    }
    for name, text in files.items():
        path = role / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return OwnService(
        role.parent, Unsafe("""a $b ${c} $$ 'single' "double" # hash \\ back\\slash {{ x }} é`!%\\""")
    )
