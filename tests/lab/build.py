"""Lab images, built from packages by the Dockerfiles under images/ and named as `image_mirror` names them.

An image carries a label with the hash of everything it is made of; while that matches, it is not rebuilt.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import docker
import yaml

from . import engine, registries, table
from .output import LabError, progress, say
from .paths import IMAGES, state
from .table import Image

CONTENT_LABEL = "hearth.lab.content"
PARALLEL_BUILDS = 2
DEBIAN = "http://deb.debian.org/debian"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def ensure(names: list[str]) -> bool:
    """Decide where the platform's images come from, build those that are needed, and write `.lab/images.yml`.

    True where the images are the lab's own, false where hosts pull them from upstream.
    """
    deployable = [name for name, image in table.images().items() if image.upstream]
    wanted = table.select(table.images(), names or deployable, "image")
    if from_upstream():
        state("images.yml").write_text("{}\n")
        say("the upstream registries can be reached: hosts pull their images from there, nothing is built")
        return False
    for image in wanted.values():
        if image.package:
            package = image.package
            say(
                f"{image.name}: built from {package.registry} package {package.name} {package.version}"
                f" (upstream registry {image.registry} not reachable)"
            )
    build(list(wanted))
    write_variables()
    return True


def from_upstream() -> bool:
    """Whether every registry of the table can be reached.

    One that cannot be makes the lab build all images: `image_mirror` is one setting for the whole platform.
    """
    return all(
        registries.reachable(name)
        for name in sorted({i.registry for i in table.images().values() if i.registry})
    )


def write_variables() -> None:
    """`.lab/images.yml`: the variables that make the roles deploy the lab's images."""
    variables = {
        variable: image.tag
        for image in table.images().values()
        for variable in (image.variable, *image.also)
        if variable
    }
    text = yaml.safe_dump({"image_mirror": table.mirror()} | variables, sort_keys=False)
    state("images.yml").write_text(f"# Written by `python -m tests.lab images`.\n{text}")


def build(names: list[str]) -> None:
    """Build the named images and what they start from, two at a time, each after its parents."""
    rows = table.images()
    client = engine.client()
    todo = {name: content_hash(rows[name], rows) for name in _with_parents(names, rows)}
    built = {name for name, content in todo.items() if _content_of(client, rows[name]) == content}
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(PARALLEL_BUILDS) as pool:
        while len(built) < len(todo):
            for name, content in todo.items():
                if (
                    name not in built
                    and name not in running.values()
                    and built.issuperset(rows[name].parents)
                ):
                    running[pool.submit(_build_one, client, rows[name], content)] = name
            finished = wait(running, return_when=FIRST_COMPLETED).done
            for future in finished:
                future.result()
                built.add(running.pop(future))
    say(f"images ready: {', '.join(todo)}")


def content_hash(image: Image, rows: dict[str, Image]) -> str:
    """A hash over the image's folder, its row (less its shape and further variables) and its parents' hashes."""
    digest = hashlib.sha256()
    row = {key: value for key, value in image.row.items() if key not in ("shape", "also")}
    digest.update(json.dumps(row, sort_keys=True).encode())
    for path in _files(image):
        digest.update(f"\0{path.relative_to(IMAGES)}\0".encode() + path.read_bytes())
    for parent in image.parents:
        digest.update(content_hash(rows[parent], rows).encode())
    return digest.hexdigest()


def _with_parents(names: list[str], rows: dict[str, Image]) -> list[str]:
    needed: set[str] = set()

    def need(name: str) -> None:
        needed.add(name)
        for parent in rows[name].parents:
            need(parent)

    for name in names:
        need(name)
    return [name for name in rows if name in needed]


def _content_of(client: docker.DockerClient, image: Image) -> str | None:
    try:
        return client.images.get(image.reference).labels.get(CONTENT_LABEL)
    except docker.errors.ImageNotFound:
        return None


def _build_one(client: docker.DockerClient, image: Image, content: str) -> None:
    if image.debootstrap:
        _bootstrap(image, content)
    else:
        _docker_build(client, image, content)


def _docker_build(client: docker.DockerClient, image: Image, content: str) -> None:
    """A build by the classic builder, which every engine has; its output goes to `.lab/build-NAME.log`."""
    arguments = {"TAG": image.tag} | ({"VERSION": image.package.version} if image.package else {})
    step = "starting"
    log_path = state(f"build-{image.name}.log")
    with log_path.open("w") as log, progress(f"building {image.reference}", lambda: f"({step})"):
        for event in client.api.build(
            fileobj=_context(image),
            custom_context=True,
            tag=image.reference,
            buildargs=arguments,
            labels={engine.LABEL: "1", CONTENT_LABEL: content},
            rm=True,
            forcerm=True,
            decode=True,
        ):
            if "error" in event:
                raise LabError(
                    f"building {image.name} failed: {event['error']}\nThe whole output is in {log_path}"
                )
            text = event.get("stream", "")
            log.write(text)
            if text.startswith("Step "):
                step = text.strip()[:90]


def _bootstrap(image: Image, content: str) -> None:
    """A minimal Debian from its packages, for machines that can pull no base image."""
    missing = [tool for tool in ("debootstrap",) if shutil.which(tool) is None]
    if missing:
        engine.install_packages(*missing)
    with tempfile.TemporaryDirectory(prefix="hearth-lab-") as folder, progress(f"building {image.reference}"):
        log_path = state(f"build-{image.name}.log")
        with log_path.open("w") as log:
            command = ["debootstrap", "--variant=minbase", str(image.debootstrap), folder, DEBIAN]
            if subprocess.run(command, stdout=log, stderr=log, check=False).returncode != 0:
                raise LabError(f"debootstrap {image.debootstrap} failed; its output is in {log_path}")
        with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
            changes = [f"--change=LABEL {engine.LABEL}=1 {CONTENT_LABEL}={content}"]
            command = ["docker", "import", *changes, "-", image.reference]
            subprocess.run(command, stdin=tar.stdout, stdout=subprocess.DEVNULL, check=True)


def _context(image: Image) -> io.BytesIO:
    """The image's folder as a build context, with this machine's CA bundle added as ca.crt.

    Package registries may be reached through a proxy whose certificate only this machine knows.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in _files(image):
            info = tar.gettarinfo(path, arcname=str(path.relative_to(IMAGES / image.name)))
            # Times and owners of a checkout would defeat the build cache.
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "root", "root"
            tar.addfile(info, io.BytesIO(path.read_bytes()))
        bundle = Path(os.environ.get("SSL_CERT_FILE", CA_BUNDLE)).read_bytes()
        info = tarfile.TarInfo("ca.crt")
        info.size = len(bundle)
        tar.addfile(info, io.BytesIO(bundle))
    buffer.seek(0)
    return buffer


def _files(image: Image) -> list[Path]:
    return sorted(path for path in (IMAGES / image.name).rglob("*") if path.is_file())
