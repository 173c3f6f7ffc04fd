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
def own_disk(platform, *paths: str):
    """A disk of their own for `paths`, with what was there. Yields the command that makes it full to the last byte."""
    platform.host("mkdir -p /own && mount -t tmpfs -o size=3g tmpfs /own")
    for path in paths:
        platform.host(
            f"mkdir -p {path} /own{path} && cp -a {path}/. /own{path}/ && mount --bind /own{path} {path}"
        )
    try:
        yield "mount -o remount,size=$(df -k --output=used /own | tail -1 | tr -d ' ')k /own"
    finally:
        # What was written meanwhile is the newer truth.
        platform.quiet()
        platform.host("mount -o remount,size=3g /own")
        for path in paths:
            platform.host(f"umount {path} && find {path} -mindepth 1 -delete && cp -a /own{path}/. {path}/")
        platform.host("umount /own && rmdir /own")


@pytest.mark.parametrize("moment", ["staged:done", "checked:begin"])
def test_the_disk_of_the_stacks_gets_full(zero, moment):
    """No file is replaced, no container is touched."""
    before = zero.containers(HOST)
    with own_disk(zero, "/opt/stacks") as fill, zero.killer(moment, f"sh:{fill}"):
        run = zero.words(word="bad", more="    # " + 20000 * "x")
        assert run.code != 0
        assert "No space left on device" in run.output, run.output
        assert zero.version() == "zero"
        zero.answers()
    assert zero.containers(HOST) == before
    zero.heals("good")


@pytest.mark.parametrize(
    "moment", ["staged:begin", "checked:begin", "kept:done", "up:begin", "healthy:begin"]
)
def test_the_disk_of_the_journal_gets_full(zero, moment):
    """What was proven stays, anything else is put back, although none of it can be written down."""
    with own_disk(zero, STATE) as fill, zero.killer(moment, f"sh:{fill}") as done:
        run = zero.words(word="new")
        zero.quiet()
        zero.answers()
        version = zero.version()
    print(f"full at {done}: exit {run.code}, {version} runs")
    assert version in ("zero", "new")
    if run.code == 0:
        assert version == "new"
    zero.heals("good")


@pytest.mark.parametrize("moment", ["checked:begin", "placed:begin", "up:begin", "healthy:begin"])
def test_the_whole_disk_gets_full(zero, moment):
    """Neither files nor journal can be written any more."""
    with (
        own_disk(zero, "/opt/stacks", STATE) as fill,
        zero.killer(moment, f"sh:{fill}") as done,
    ):
        run = zero.words(word="new")
        zero.quiet()
        zero.answers()
        zero.answers("ollama")
        version = zero.version()
    print(f"full at {done}: exit {run.code}, {version} runs")
    assert version in ("zero", "new")
    if run.code == 0:
        assert version == "new"
    zero.heals("good")


def test_a_disk_that_is_full_from_the_start_is_found_before_anything_is_touched(zero):
    before = zero.containers(HOST)
    with own_disk(zero, "/opt/stacks") as fill:
        zero.host(fill)
        run = zero.words(word="new")
    assert run.code != 0
    assert "GiB left" in run.output
    assert zero.containers(HOST) == before
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


def test_a_host_that_hangs_from_the_start_costs_nothing(zero):
    local("docker", "pause", MACHINE.container)
    try:
        run = zero.words(word="new")
    finally:
        local("docker", "unpause", MACHINE.container)
    assert run.code != 0
    assert zero.version() == "zero"
    zero.heals("good")
