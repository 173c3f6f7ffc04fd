"""A gateway before two compute hosts in the lab: edge, gpu-1 and gpu-2, with Ollama and with a stand-in that thinks.

The stand-in (tests/lab/thinker.py) runs on both compute hosts, as a server that Hearth does not manage: the way to it
is what counts, and it waits instead of computing.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..e2e.conftest import BIN, ROOT, Dumper, Platform, lab_variables
from ..lab import table
from .load import at

EDGE, *COMPUTE = (table.hosts()[name] for name in ("edge", "gpu-1", "gpu-2"))
HOSTS = [EDGE, *COMPUTE]
THINKER = ROOT / "tests" / "lab" / "thinker.py"
THINKS = 0.5
PORT = 11500


@dataclass(frozen=True)
class Server:
    """A model server on a compute host: the model, the shell words that give its process and those that start it."""

    model: str
    process: str
    start: str
    port: int


OLLAMA = Server("tiny", "docker inspect ollama --format '{{.State.Pid}}'", "docker start ollama", 11434)
STAND_IN = Server(
    "thinker", "systemctl show thinker --property MainPID --value", "systemctl start thinker", PORT
)


class Backends(Platform):
    """The platform; `ca`: its authority's certificate."""

    ca: Path

    def write(self, hosts: Sequence[str] = ("gpu-1", "gpu-2"), **variables: Any) -> None:
        """Set the gateway's variables and which compute hosts there are, for the runs to come."""
        thinkers = [
            {"name": host.name, "url": f"http://{host.address}:{PORT}", "models": ["thinker"]}
            for host in COMPUTE
        ]
        edge = {
            "ansible_host": EDGE.address,
            "stacks": ["litellm", "traefik"],
            "litellm_servers": thinkers,
            **variables,
        }
        compute = {
            host.name: {"ansible_host": host.address, "stacks": ["ollama"]}
            for host in COMPUTE
            if host.name in hosts
        }
        groups = {"trusted": {"hosts": {"edge": edge}}, "compute": {"hosts": compute}}
        (self.inventory / "hosts.yml").write_text(yaml.dump(groups, Dumper=Dumper))

    def think(
        self,
        seconds: float = THINKS,
        hosts: Sequence[str] = ("gpu-1", "gpu-2"),
        models: str = "thinker",
        parallel: int | None = None,
    ) -> None:
        """Start the stand-in anew; it comes back 3 seconds after it was killed."""
        unit = "systemd-run --quiet --unit=thinker --property=Restart=always --property=RestartSec=3"
        for host in hosts:
            self.ssh(
                host, "systemctl stop thinker 2>/dev/null; systemctl reset-failed thinker 2>/dev/null; true"
            )
            self.ssh(host, f"cat > /root/thinker.py <<'PROGRAM'\n{THINKER.read_text()}\nPROGRAM\n")
            self.ssh(host, f"{unit} python3 /root/thinker.py {PORT} {models} {seconds} {parallel or ''}")

    # Faults -------------------------------------------------------------------------------------------------------

    def signal(self, host: str, server: Server, name: str) -> None:
        self.ssh(host, f"kill -{name} $({server.process})")


def prepared(folder: Path, hosts: Sequence[str]) -> Backends:
    """The hosts, and the lab's variables in the folder of an inventory that is to be written."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", *hosts], cwd=ROOT, check=True)
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    lab_variables(folder)
    return Backends(folder)


@contextmanager
def backends(folder: Path) -> Iterator[Backends]:
    """The platform, deployed; its names resolve in this process while it is there."""
    found = prepared(folder, [host.name for host in HOSTS])
    found.write()
    found.think()
    found.play("secrets").succeeded()
    found.deploy().succeeded()
    found.ca = folder / "ca.crt"
    found.ca.write_text(found.ssh("edge", "cat /srv/docker/traefik/certificates/ca.crt"))
    try:
        with at(EDGE.address):
            yield found
    finally:
        for host in COMPUTE:
            found.ssh(host.name, "systemctl stop thinker; nft delete table ip trouble 2>/dev/null; true")
        found.play("stop-stacks")
        shutil.rmtree(folder)
