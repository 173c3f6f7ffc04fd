"""A trusted and a compute host that save to each other, used by people, then lost one after the other."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from ...e2e.conftest import BIN, EDGE, GPU_1, LAB, ROOT, lab_variables
from .people import People

STACKS = {
    "edge": ["bind9", "authentik", "litellm", "openwebui", "rustpad", "traefik"],
    "gpu-1": ["ollama", "qdrant"],
}
RECORD = {"name": "nas", "type": "A", "value": "192.168.1.9"}
MODEL = ROOT / "tests" / "lab" / "model"


def inventory() -> dict[str, object]:
    models = [
        {
            "name": name,
            "source": "gguf",
            "path": str(MODEL / file),
            "modelfile": str(MODEL / modelfile),
            **more,
        }
        for name, file, modelfile, more in (
            ("tiny", "tiny.gguf", "Modelfile", {}),
            ("embedding", "embedding.gguf", "embedding.Modelfile", {"kind": "embedding"}),
        )
    ]
    edge = {
        "ansible_host": EDGE,
        "stacks": STACKS["edge"],
        "bind9_records": [RECORD],
        "litellm_clients": [{"name": "team"}],
    }
    gpu_1 = {"ansible_host": GPU_1, "stacks": STACKS["gpu-1"], "ollama_models": models}
    return {"trusted": {"hosts": {"edge": edge}}, "compute": {"hosts": {"gpu-1": gpu_1}}}


@pytest.fixture(scope="session")
def people() -> Iterator[People]:
    """The platform, deployed, with backups set up, and what a person did on it."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", "edge", "gpu-1"], cwd=ROOT, check=True)
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    folder = LAB / "inventories" / "backups"
    shutil.rmtree(folder, ignore_errors=True)
    lab_variables(folder)
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory()))
    found = People(folder, folder / "ca.crt")
    for host in STACKS:
        found.leaves(host)
    found.play("secrets").succeeded()
    found.deploy().succeeded()
    found.trust()
    with pytest.MonkeyPatch.context() as patch:
        look_up = socket.getaddrinfo
        patch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest, **more: look_up(
                EDGE if str(host).endswith(".hearth.lan") else host, *rest, **more
            ),
        )
        yield found
    for host in STACKS:
        found.leaves(host)
