# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of Ollama's files can be pulled again, and how the others come back (docs/backups.md, `regain`).

    left-out DIRECTORY                prints the weights of models that were pulled, and pulls that are under way
    join SAVED DIRECTORY CONTAINER    gives the models that are missing back; pulls those that were pulled

DIRECTORY is what the container has as /root/.ollama: models/manifests/HOST/NAMESPACE/NAME/TAG names the files of a
model, which lie in models/blobs/sha256-DIGEST. A model that is there stays as it is.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

WEIGHTS = {f"application/vnd.ollama.image.{kind}" for kind in ("model", "projector", "adapter", "tensor")}
ACCEPT = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
DEFAULT = "registry.ollama.ai"
PATIENCE = 10.0
SAY_AGAIN = 15.0


class Model:
    """A manifest below the directory `root`."""

    def __init__(self, root: Path, file: Path) -> None:
        self.file = file
        self.path = file.relative_to(root)
        self.host, space, name, tag = self.path.parts[-4:]
        self.inside = f"/v2/{space}/{name}/manifests/{tag}"
        self.full = f"{self.host}/{space}/{name}:{tag}"
        short = self.full.removeprefix(f"{DEFAULT}/")
        self.name = short.removeprefix("library/")
        self.text = file.read_bytes()
        found = json.loads(self.text)
        self.layers = [item for item in [found["config"], *found["layers"]] if item.get("digest")]

    @property
    def was_pulled(self) -> bool:
        """`ollama create` ends what it writes with a newline, `ollama pull` does not (v0.17.4, manifest/)."""
        return not self.text.endswith(b"\n")

    def blobs(self, weights_only: bool = False) -> "list[str]":
        """Paths of its files below the directory."""
        wanted = (item for item in self.layers if not weights_only or item["mediaType"] in WEIGHTS)
        return [f"models/blobs/{item['digest'].replace(':', '-')}" for item in wanted]

    def is_whole(self, root: Path) -> bool:
        return all((root / path).is_file() for path in self.blobs())


def models(root: Path) -> "list[Model]":
    """Every model whose manifest can be read; the files of others are saved whole."""
    found = []
    for file in sorted((root / "models" / "manifests").glob("*/*/*/*")):
        try:
            found.append(Model(root, file))
        except (OSError, ValueError, KeyError, TypeError):
            say(f"the manifest {file} cannot be read")
    return found


class Registries:
    """What registries say of models; one that says nothing is not asked again."""

    def __init__(self) -> None:
        self.silent = set()

    def scheme(self, model: Model) -> "str | None":
        """How the model's registry answers; None where it does not. Raises LookupError where it has no such model."""
        for scheme in ("https",) if model.host == DEFAULT else ("https", "http"):
            place = f"{scheme}://{model.host}"
            if place in self.silent:
                continue
            try:
                request = urllib.request.Request(place + model.inside, headers=ACCEPT)
                with urllib.request.urlopen(request, timeout=PATIENCE):
                    return scheme
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    raise LookupError(model.name) from error
                return scheme
            except (OSError, http.client.HTTPException):
                self.silent.add(place)
        return None


def left_out(root: Path) -> None:
    again, registries = set(), Registries()
    for model in models(root):
        if model.was_pulled:
            try:
                registries.scheme(model)
            except LookupError:
                continue  # it was taken away there: this is the last copy
            again.update(model.blobs(weights_only=True))
    again.update(str(file.relative_to(root)) for file in (root / "models" / "blobs").glob("*-partial*"))
    sys.stdout.writelines(f"{path}\n" for path in sorted(again))


def join(saved: Path, root: Path, container: str) -> None:
    mine = models(saved)
    manifests = {model.path for model in mine}
    for folder, _folders, files in os.walk(saved):
        for path in (Path(folder, file).relative_to(saved) for file in files):
            if path not in manifests:
                put(saved / path, root / path)
    registries = Registries()
    # What was pulled comes first: what was made of it has its weights.
    for model in sorted(mine, key=lambda model: not model.was_pulled):
        target = root / model.path
        if not target.exists() and model.was_pulled and not model.is_whole(root):
            pull(model, root, container, registries)
        if target.exists():
            continue
        if model.is_whole(root):
            put(model.file, target)
            say(f"{model.name} is back")
        else:
            say(f"{model.name} is not back: its weights are not there; ollama pull or create it")


def put(source: Path, target: Path) -> None:
    """Put a file in its place, whole or not at all, and over nothing."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.restored")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except OSError:
        shutil.copy2(source, beside)
    os.rename(beside, target)


def pull(model: Model, root: Path, container: str, registries: Registries) -> None:
    """Have Ollama pull a model, and say how far it is. One that cannot be had is told."""
    try:
        scheme = registries.scheme(model)
    except LookupError:
        say(f"{model.name}: {model.host} has it no more")
        return
    # Without TLS anybody may answer; then only the very files that were there are taken.
    plain = scheme == "http"
    name = ["--insecure", f"http://{model.full}"] if plain else [model.full]
    size = sum(item.get("size", 0) for item in model.layers)
    say(f"pulls {model.name}, {size / 1e9:.1f} GB")
    command = ["docker", "exec", container, "ollama", "pull", *name]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        words, told = b"", time.monotonic()
        while process.poll() is None:
            time.sleep(0.5)
            words = (words + (process.stderr.read() or b""))[-4096:]
            if time.monotonic() - told > SAY_AGAIN:
                told = time.monotonic()
                say(f"{model.name}: {arrived(model, root) / 1e9:.1f} of {size / 1e9:.1f} GB")
        words += process.stderr.read() or b""
    if process.returncode:
        lines = words.decode(errors="replace").strip().splitlines()
        say(f"{model.name} could not be pulled: {lines[-1] if lines else process.returncode}")
    elif plain and (root / model.path).read_bytes() != model.text:
        subprocess.run(
            ["docker", "exec", container, "ollama", "rm", model.full], capture_output=True, check=False
        )
        say(
            f"{model.name}: {model.host}, which has no TLS, has another one now; pull it by hand if you trust it"
        )
    else:
        say(f"{model.name} is pulled")


def arrived(model: Model, root: Path) -> int:
    """Bytes of its files that are there; what is under way is a sparse file."""
    found = 0
    for path in model.blobs():
        for file in (root / path, root / f"{path}-partial"):
            if file.is_file():
                found += file.stat().st_blocks * 512
    return found


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if sys.argv[1] == "left-out":
    left_out(Path(sys.argv[2]))
else:
    join(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
