"""The lab's hosts: containers that behave as servers, on a network of their own with fixed addresses."""

import contextlib
import shlex
import subprocess

import docker
from docker.models.containers import Container

from . import engine, ssh, table
from .output import LabError, progress, say, wait_until
from .table import Host

LABELS = ["--label", f"{engine.LABEL}=1"]
FILTER = {"label": f"{engine.LABEL}=1"}
# A container inherits its image's labels: a platform that `make up` runs here from the lab's images carries ours too,
# and is no host.
CONTAINERS = {**FILTER, "name": "^/?hearth-lab-"}
BOOT_SECONDS = 90
# Which checkout made a host, by the fingerprint of its key.
CHECKOUT = f"{engine.LABEL}.checkout"

# A privileged container needs CAP_SYS_RESOURCE, which not every machine may give. These flags do without, and are
# enough for systemd and a nested engine on overlay2 with limits that hold.
FLAGS = shlex.split(
    "--cap-add ALL --cap-drop SYS_RESOURCE"
    " --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
    " --device /dev/fuse --tmpfs /run --tmpfs /tmp --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:rw"
)
NO_ENGINE = ["systemd.mask=docker.service", "systemd.mask=docker.socket", "systemd.mask=containerd.service"]


def up(host: Host) -> None:
    """Start the host if it does not run, and return when ssh and its Docker engine answer.

    A host of an older image, or of another checkout, is made anew: its data belongs to secrets that this one does not
    have. Only the images in its volume stay.
    """
    client = engine.client()
    with progress(f"host {host.name} ({host.address})"):
        container = _find(client, host)
        if container is not None and container.status != "running":
            container.start()
        if container is not None and not _is_ours(client, container):
            if host.engine:
                _wait_for_engine(host)
                _empty(host)
            container.remove(force=True, v=True)
            container = None
        if container is None:
            _create(host)
        _settle(host)


def reboot(host: Host) -> None:
    """Restart the container, so that systemd boots again as after a power cut that left the disk intact."""
    container = _find(engine.client(), host)
    if container is None:
        raise LabError(f"host {host.name} is not up")
    with progress(f"rebooting {host.name}"):
        container.restart(timeout=30)
        _settle(host)


def down(hosts: list[Host], keep_images: bool) -> None:
    """Remove these hosts and their volumes.

    With `keep_images` the volume stays, emptied of containers, networks and volumes, so that the next `up` has a
    fresh host without loading its images again.
    """
    client = engine.client()
    for host in hosts:
        container = _find(client, host)
        if container is not None:
            if keep_images and host.engine and container.status == "running":
                _empty(host)
            container.remove(force=True, v=True)
        if not keep_images:
            _remove_volume(client, host)
        say(f"removed {host.name}")


def remove_everything(images: bool) -> None:
    """Remove whatever carries the lab's label, known to hosts.yml or not, and the lab's ssh keys.

    Lab 0, the one without a number, takes the numbered ones with it.
    """
    client = engine.client()
    own = FILTER | ({"name": f"^/?{table.PREFIX.rstrip('-')}"} if table.NUMBER else {})
    for container in client.containers.list(all=True, filters=CONTAINERS | own):
        container.remove(force=True, v=True)
    for volume in client.volumes.list(filters=own):
        volume.remove(force=True)
    for network in client.networks.list(filters=own):
        network.remove()
    if images:
        _remove_images(client)
    ssh.forget()
    say("removed the lab's containers, volumes, network and keys" + (", and its images" if images else ""))


def ensure_network() -> None:
    """The lab's network; made once."""
    name, subnet = table.network()
    client = engine.client()
    if any(network.name == name for network in client.networks.list(filters=FILTER)):
        return
    pool = docker.types.IPAMPool(subnet=subnet)
    client.networks.create(
        name, ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={engine.LABEL: "1"}
    )


def status(host: Host) -> str:
    """One line about the host as it is now."""
    container = _find(engine.client(), host)
    if container is None or container.status != "running":
        return f"{host.name:9} {host.address:12} {container.status if container else 'absent'}"
    state = execute(host, "systemctl is-system-running || true").strip()
    running = execute(host, "docker ps -q | wc -l").strip() if host.engine else "-"
    return f"{host.name:9} {host.address:12} up, systemd {state}, containers {running}"


def execute(host: Host, script: str) -> str:
    """Run a shell script inside the host, past ssh; its standard output, or its standard error as a LabError."""
    result = _run(host, script)
    if result.returncode != 0:
        raise LabError(f"{host.name}: `{script}` failed: {result.stderr.strip()}")
    return result.stdout


def _run(host: Host, script: str) -> subprocess.CompletedProcess[str]:
    command = ["docker", "exec", host.container, "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _find(client: docker.DockerClient, host: Host) -> Container | None:
    try:
        return client.containers.get(host.container)
    except docker.errors.NotFound:
        return None


def _is_ours(client: docker.DockerClient, container: Container) -> bool:
    """Whether this checkout made the host, and of today's image."""
    same_image = container.attrs["Image"] == _host_image(client)
    return same_image and container.labels.get(CHECKOUT) == ssh.fingerprint()


def _host_image(client: docker.DockerClient) -> str:
    return client.images.get(table.images()["host"].reference).id


def _create(host: Host) -> None:
    """`docker run` itself: the API has no name for `systempaths=unconfined`, which the command expands."""
    network = table.network()[0]
    image = table.images()["host"].reference
    if host.engine:
        subprocess.run(
            ["docker", "volume", "create", *LABELS, host.volume], check=True, stdout=subprocess.DEVNULL
        )
    volume = ["-v", f"{host.volume}:/var/lib/docker"] if host.engine else []
    identity = ["--name", host.container, "--hostname", host.name, "--network", network, "--ip", host.address]
    init = ["/sbin/init", *([] if host.engine else NO_ENGINE)]
    ours = ["--label", f"{CHECKOUT}={ssh.fingerprint()}"]
    command = ["docker", "run", "-d", *LABELS, *ours, *identity, *FLAGS, *volume, image, *init]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise LabError(f"starting {host.name} failed: {result.stderr.strip()}")


def _settle(host: Host) -> None:
    """Wait for the boot to end, let the lab's key in, and learn the host's."""
    wait_until(
        lambda: _run(host, "systemctl is-active ssh").returncode == 0, f"{host.name}: sshd", BOOT_SECONDS
    )
    line = shlex.quote(ssh.public_key().strip())
    execute(host, f"mkdir -p -m 0700 /root/.ssh && printf '%s\\n' {line} > /root/.ssh/authorized_keys")
    ssh.trust(host, execute(host, "cat /etc/ssh/ssh_host_ed25519_key.pub"))
    execute(host, _further_addresses(host))
    if host.engine:
        _wait_for_engine(host)
    result = subprocess.run(ssh.command(host, "true"), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise LabError(f"{host.name} does not let the lab's key in: {result.stderr.strip()}")


def _further_addresses(host: Host) -> str:
    """The script that gives a host its addresses beside the one that Docker knows; they are gone after a boot."""
    # To its own IPv6 address a host goes by lo.
    lines = ["set -e", "sysctl -qw net.ipv6.conf.lo.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0"]
    lines += [
        f"ip address replace {address} dev eth0{' nodad' if ':' in address else ''}" for address in host.also
    ]
    lines += [f"ip route replace {network} dev eth0" for network in table.beside()]
    return "\n".join(lines)


def _wait_for_engine(host: Host) -> None:
    wait_until(lambda: _run(host, "docker info").returncode == 0, f"{host.name}: its engine", BOOT_SECONDS)


def _empty(host: Host) -> None:
    execute(
        host,
        "docker ps -aq | xargs -r docker rm -fv && docker volume ls -q | xargs -r docker volume rm -f"
        " && docker network prune -f",
    )


def _remove_images(client: docker.DockerClient) -> None:
    """Remove the lab's images, children first; what another container uses stays, with what it is built on."""
    for image in client.images.list(filters=FILTER):
        try:
            client.images.remove(image.id, force=True)
        except docker.errors.APIError as error:
            if error.status_code not in (404, 409):  # gone with a child already, or in use
                raise


def _remove_volume(client: docker.DockerClient, host: Host) -> None:
    with contextlib.suppress(docker.errors.NotFound):
        client.volumes.get(host.volume).remove(force=True)
