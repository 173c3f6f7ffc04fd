"""Images from this machine's engine into a host's: `docker save` into `docker load`, nothing on disk between."""

import subprocess

from . import engine, hosts, table
from .output import LabError, progress, say
from .table import Host

CHUNK = 1 << 20


def load(host: Host, references: list[str]) -> None:
    """Load the images that the host lacks under the same id; one stream, so that shared layers travel once."""
    missing = [reference for reference in references if _id_in(host, reference) != _id_here(reference)]
    if not missing:
        return
    size = sum(engine.client().images.get(reference).attrs["Size"] for reference in missing)
    moved = 0
    say(f"loading into {host.name}: {', '.join(missing)}")
    with progress(f"images into {host.name}", lambda: f"{moved >> 20} of at most {size >> 20} MiB"):
        save = subprocess.Popen(["docker", "save", *missing], stdout=subprocess.PIPE)
        command = ["docker", "exec", "-i", host.container, "docker", "load", "-q"]
        into = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert save.stdout is not None
        assert into.stdin is not None
        while chunk := save.stdout.read(CHUNK):
            into.stdin.write(chunk)
            moved += len(chunk)
        into.stdin.close()
        if save.wait() != 0 or into.wait() != 0:
            raise LabError(f"loading images into {host.name} failed")
    hosts.execute(host, "docker image prune -f")


def references(names: list[str]) -> list[str]:
    """The lab's names of these rows of images.yml."""
    return (
        [image.reference for image in table.select(table.images(), names, "image").values()] if names else []
    )


def _id_here(reference: str) -> str:
    return engine.client().images.get(reference).id


def _id_in(host: Host, reference: str) -> str:
    return hosts.execute(
        host, f"docker image inspect -f '{{{{.Id}}}}' {reference} 2>/dev/null || true"
    ).strip()
