"""Check mode on a machine that has nothing yet, not even an engine or what Ansible needs to ask apt."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ..e2e.conftest import BIN, ROOT, Dumper, Platform, lab_variables
from ..lab import table

pytestmark = pytest.mark.lab

HOST = "outsider"
STACKS = ["ollama", "litellm", "traefik"]
# Packages, accounts, and every file that a deploy could write.
LOOK = (
    "dpkg-query -W | sha256sum; sha256sum /etc/passwd /etc/group; ls -A /run/systemd/transient;"
    " find /etc /opt /srv /usr/local /root /var/lib -newer /bare -not -path '/root/.ansible*' -not -type d"
    " -not -path '/var/lib/systemd/*'; ls -d /opt/* /srv/* /var/lib/hearth /etc/hearth 2>&1; nft list ruleset"
)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Platform]:
    """A platform of one machine, from which the engine that the lab's hosts have was taken."""
    lab = [BIN / "python", "-m", "tests.lab"]
    subprocess.run([*lab, "up", HOST], cwd=ROOT, check=True)
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    lab_variables(tmp_path)
    host = {"ansible_host": table.hosts()[HOST].address, "stacks": STACKS}
    groups = {"trusted": {"hosts": {HOST: host}}, "compute": {"hosts": {HOST: {}}}}
    (tmp_path / "hosts.yml").write_text(yaml.dump(groups, Dumper=Dumper))
    found = Platform(tmp_path)
    found.ssh(
        HOST,
        "apt-get purge -qq -y docker.io docker-cli docker-compose python3-apt python3-requests >/dev/null 2>&1;"
        " rm -rf /etc/docker /var/lib/docker; touch /bare",
    )
    yield found
    subprocess.run([*lab, "down", HOST], cwd=ROOT, check=True)
    shutil.rmtree(tmp_path)


def test_it_says_what_would_come_and_brings_nothing(bare: Platform) -> None:
    bare.play("secrets").succeeded()
    before = bare.ssh(HOST, LOOK)
    assert "docker" not in bare.ssh(HOST, "ls /usr/bin")
    run = bare.deploy("--check", "--diff").succeeded()
    assert bare.ssh(HOST, LOOK) == before
    assert "docker.io" in run.output
    for service in STACKS:
        assert any(service in line and "would be new" in line for line in run.output.splitlines()), service
