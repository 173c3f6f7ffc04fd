"""The host itself fails in the middle of a change: its disk, its engine, its network, its power."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import contextmanager

import pytest

from ..lab import table
from .conftest import HOST, MACHINE, STATE, finished

pytestmark = pytest.mark.lab


def local(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def full(platform, path: str):
    """A small disk at `path`, holding what was there, and filled to the last byte."""
    platform.host(
        f"mkdir -p {path} /small && mount -t tmpfs -o size=3m,mode=0755 tmpfs /small"
        f" && cp -a {path}/. /small/ && mount --move /small {path}"
        f" && dd if=/dev/zero of={path}/filler bs=4k 2>/dev/null; df {path} | grep -q 100%"
    )
    try:
        yield
    finally:
        # What was written meanwhile is the newer truth.
        platform.host(
            f"rm -f {path}/filler; mkdir -p /kept; rm -rf /kept/*; cp -a {path}/. /kept/; umount {path};"
            f" cp -a /kept/. {path}/; rm -rf /kept /small"
        )


@pytest.mark.parametrize("path", ["/opt/stacks", STATE])
def test_a_full_disk(zero, path):
    before = zero.containers(HOST)
    with full(zero, path):
        run = zero.words(word="bad", more="    # " + 20000 * "x")
        assert run.code != 0
        assert "No space left on device" in run.output or "GiB left" in run.output, run.output
        zero.quiet()
        assert zero.version() == "zero"
        zero.answers()
    assert zero.containers(HOST) == before or zero.version() == "zero"
    zero.heals("good")


def restart_docker(platform):
    platform.host("systemctl restart docker")


def pause(_platform):
    """Unreachable and stopped dead, as a machine that hangs; then it goes on."""
    local("docker", "pause", MACHINE.container)
    time.sleep(15)
    local("docker", "unpause", MACHINE.container)


def unplug(_platform):
    network = table.network()[0]
    local("docker", "network", "disconnect", network, MACHINE.container)
    time.sleep(15)
    local("docker", "network", "connect", "--ip", MACHINE.address, network, MACHINE.container)


def cut_ssh(platform):
    """Every connection dies, and for a while no new one comes in."""
    platform.host(
        "systemd-run --quiet sh -c 'systemctl stop ssh.socket ssh; pkill -f ^sshd; sleep 12; systemctl start ssh'"
    )


def reboot(platform):
    platform.reboot(HOST)


TROUBLES = {
    "docker is restarted": restart_docker,
    "the host hangs": pause,
    "the cable is pulled": unplug,
    "ssh dies": cut_ssh,
    "the host is rebooted": reboot,
}


@pytest.mark.parametrize("step", ["checked", "up", "healthy"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_in_the_middle_of_a_change(zero, trouble, step):
    process = zero.start("--tags", "words", *zero.chosen(word="new", sign="ollama"))
    zero.wait_for_step(step)
    helper = threading.Thread(target=TROUBLES[trouble], args=(zero,))
    helper.start()
    run = finished(process)
    helper.join()
    boot_is_over(zero)
    zero.quiet()
    print(f"{trouble} at {step}: exit {run.code}, {zero.unfinished() or 'all ended'}")
    assert not zero.unfinished(), run.output
    zero.answers(patience=60)
    zero.answers("ollama", patience=60)
    version = zero.version()
    assert version in ("zero", "new")
    if run.code == 0:
        assert version == "new"
    zero.heals("good")


def boot_is_over(platform, patience: float = 90.0) -> None:
    """Until systemd has done what a boot does, the recovery of changes included."""
    until = time.monotonic() + patience
    while True:
        try:
            platform.host("systemctl is-system-running --wait >/dev/null; docker info >/dev/null")
            return
        except AssertionError:
            assert time.monotonic() < until, "the host does not come back"
            time.sleep(1)


def test_a_host_that_is_unreachable_from_the_start_costs_nothing(zero):
    local("docker", "pause", MACHINE.container)
    try:
        run = zero.words(word="new")
    finally:
        local("docker", "unpause", MACHINE.container)
    assert run.code != 0
    assert zero.version() == "zero"
    zero.heals("good")
