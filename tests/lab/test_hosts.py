"""A lab host behaves as a server does. Runs where `python -m tests.lab up` has brought the hosts up."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from . import engine, hosts, ssh, table, transfer
from .table import Host

pytestmark = pytest.mark.lab
HOSTS = table.hosts()
WITH_ENGINE = [name for name, host in HOSTS.items() if host.engine]
# Any image that has a shell and is on every host with an engine would do.
IMAGE_OF = {name: transfer.references(HOSTS[name].images[:1])[0] for name in WITH_ENGINE}
NAME = "lab-test"


def remote(host: Host, command: str) -> subprocess.CompletedProcess[str]:
    """A command over ssh, as Ansible reaches the host."""
    return subprocess.run(ssh.command(host, command), capture_output=True, text=True, check=False)


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Host:
    return _running(request.param)


@pytest.fixture(params=WITH_ENGINE)
def server(request: pytest.FixtureRequest) -> Iterator[Host]:
    found = _running(request.param)
    yield found
    remote(found, f"docker rm -fv {NAME}")


def _running(name: str) -> Host:
    if not engine.answers() or " up," not in hosts.status(HOSTS[name]):
        pytest.skip(f"host {name} is not up")
    return HOSTS[name]


def test_ssh_checks_the_host_key_and_every_unit_is_well(host: Host) -> None:
    result = remote(host, "hostname; systemctl is-system-running; systemctl --failed --no-legend")
    assert result.stdout.split() == [host.name, "running"], result.stderr


def test_hosts_reach_each_other(host: Host) -> None:
    others = [other.address for other in HOSTS.values() if " up," in hosts.status(other)]
    for address in others:
        assert remote(host, f"ping -c 1 -W 2 {address}").returncode == 0


def test_the_outsider_has_no_engine() -> None:
    assert remote(_running("outsider"), "systemctl is-active docker").stdout.strip() == "inactive"


def test_its_images_are_loaded(server: Host) -> None:
    for reference in transfer.references(server.images):
        assert remote(server, f"docker image inspect {reference}").returncode == 0


def test_a_memory_limit_holds(server: Host) -> None:
    hungry = "x=x; while :; do x=$x$x; done"
    command = f"docker run --name {NAME} -m 64m --memory-swap 64m --entrypoint sh {IMAGE_OF[server.name]} -c '{hungry}'"
    remote(server, command)
    inspect = remote(server, f"docker inspect -f '{{{{.State.OOMKilled}}}} {{{{.State.ExitCode}}}}' {NAME}")
    assert inspect.stdout.split() == ["true", "137"]


@pytest.mark.parametrize("name", ["solo"])
def test_containers_come_back_after_a_reboot(name: str) -> None:
    host = _running(name)
    start = f"docker run -d --name {NAME} --restart unless-stopped --entrypoint sh {IMAGE_OF[name]}"
    assert remote(host, f"{start} -c 'sleep 600'").returncode == 0
    before = remote(host, "cut -d' ' -f1 /proc/1/stat; stat -c %Y /run/systemd").stdout
    hosts.reboot(host)
    try:
        deadline = time.monotonic() + 30
        while remote(host, f"docker inspect -f '{{{{.State.Running}}}}' {NAME}").stdout.strip() != "true":
            assert time.monotonic() < deadline, "the container did not come back"
            time.sleep(0.5)
        assert remote(host, "cut -d' ' -f1 /proc/1/stat; stat -c %Y /run/systemd").stdout != before
    finally:
        remote(host, f"docker rm -fv {NAME}")


@pytest.mark.docker
def test_down_finds_the_hosts_and_leaves_what_merely_runs_a_lab_image() -> None:
    client = engine.client()
    reference = table.images()["host"].reference
    bystander = client.containers.create(reference, name="bystander-of-the-lab")
    try:
        found = {container.name for container in client.containers.list(all=True, filters=hosts.CONTAINERS)}
    finally:
        bystander.remove(force=True, v=True)
    assert bystander.labels[engine.LABEL] == "1", (
        "the image's label is inherited, so a label alone would not tell"
    )
    assert "bystander-of-the-lab" not in found
    mine = {host.container for host in HOSTS.values()}  # there may be another lab beside this one
    assert found & mine == {host.container for host in HOSTS.values() if " up," in hosts.status(host)}
