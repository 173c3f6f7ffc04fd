# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a model consists of, and the header of its file, before it is pulled or where Ollama keeps it.

Manifests are Docker's (ollama v0.17.4, server/images.go); below Ollama's directory they lie in
models/manifests/HOST/NAMESPACE/NAME/TAG and files in models/blobs/sha256-DIGEST.
"""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .gguf import Header, read_header

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_KIND = "application/vnd.ollama.image."
_DEFAULT_HOST, _DEFAULT_SPACE = "registry.ollama.ai", "library"
# Also what a registry that answers nothing costs a deploy.
_PATIENCE = 10.0
# A few numbers and words to stop at.
_MOST_PARAMS = 1 << 16


class Unknown(Exception):
    """What was asked for cannot be had from here; the text says why."""


@dataclass(frozen=True)
class Blob:
    """One file of a model. kind: model, projector, adapter, template, params, … ; empty for the configuration."""

    digest: str
    size: int
    kind: str


@dataclass(frozen=True)
class Reference:
    """Where a model comes from, as `ollama pull` takes it: [http://HOST/NAMESPACE/]NAME[:TAG]."""

    scheme: str
    host: str
    space: str
    name: str
    tag: str

    @classmethod
    def of(cls, text: str) -> Reference:
        scheme, _sep, rest = text.rpartition("://")
        parts = rest.split("/")
        name, _colon, tag = parts[-1].partition(":")
        return cls(
            scheme or "https",
            parts[0] if len(parts) > 2 else _DEFAULT_HOST,
            parts[-2] if len(parts) > 1 else _DEFAULT_SPACE,
            name,
            tag or "latest",
        )

    def url(self, what: str) -> str:
        return f"{self.scheme}://{self.host}/v2/{self.space}/{self.name}/{what}"


def blobs(reference: str, timeout: float = _PATIENCE) -> list[Blob]:
    """What a registry says a model consists of. Raises Unknown.

    The host may be without the container's way to the registry, or the registry may want a token.
    """
    asked = Reference.of(reference)
    request = urllib.request.Request(asked.url(f"manifests/{asked.tag}"), headers={"Accept": _MANIFEST})
    try:
        with urllib.request.build_opener().open(request, timeout=timeout) as response:
            return _read_manifest(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unknown(f"{asked.host} does not tell what {reference} is made of ({error})") from error


def blobs_on_disk(directory: Path, reference: str) -> list[Blob]:
    """What Ollama's own manifest says of a model that it has. Raises Unknown."""
    try:
        return _read_manifest(manifest_place(directory, reference).read_bytes())
    except (OSError, ValueError) as error:
        raise Unknown(f"{reference} is not in {directory}") from error


def manifest_place(directory: Path, reference: str) -> Path:
    """Where Ollama keeps the manifest of a model that it pulled."""
    asked = Reference.of(reference)
    return directory / "models" / "manifests" / asked.host / asked.space / asked.name / asked.tag


def header(reference: str, blob: Blob, timeout: float = _PATIENCE) -> Header:
    """The header of a model's file, which is all of it that is fetched (some MB). Raises Unknown and GgufError."""
    url = Reference.of(reference).url(f"blobs/sha256:{blob.digest}")
    try:
        with urllib.request.build_opener().open(url, timeout=timeout) as response:
            return read_header(response, blob.size)
    except (OSError, http.client.HTTPException) as error:
        raise Unknown(f"the file of {reference} cannot be had ({error})") from error


def header_on_disk(directory: Path, blob: Blob) -> Header:
    """The header of a model's file where Ollama keeps it. Raises Unknown and GgufError."""
    try:
        with open(directory / "models" / "blobs" / f"sha256-{blob.digest}", "rb") as file:
            return read_header(file, blob.size)
    except OSError as error:
        raise Unknown(f"the model's file cannot be read ({error})") from error


def params(reference: str, blob: Blob, timeout: float = _PATIENCE) -> dict[str, Any]:
    """What a registry's model sets itself (num_ctx, …). Raises Unknown."""
    url = Reference.of(reference).url(f"blobs/sha256:{blob.digest}")
    try:
        with urllib.request.build_opener().open(url, timeout=timeout) as response:
            return _read_params(response.read(_MOST_PARAMS))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unknown(f"what {reference} sets cannot be had ({error})") from error


def params_on_disk(directory: Path, blob: Blob) -> dict[str, Any]:
    """What a model that Ollama has sets itself. Raises Unknown."""
    try:
        with open(directory / "models" / "blobs" / f"sha256-{blob.digest}", "rb") as file:
            return _read_params(file.read(_MOST_PARAMS))
    except (OSError, ValueError) as error:
        raise Unknown(f"what the model sets cannot be read ({error})") from error


def _read_params(text: bytes) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no dictionary")
    return found


def of_kind(found: Iterable[Blob], *kinds: str) -> list[Blob]:
    return [blob for blob in found if blob.kind in kinds]


def file_header(path: str) -> Header:
    """The header of a GGUF file. Raises OSError and GgufError."""
    file: BinaryIO
    with open(path, "rb") as file:
        return read_header(file, Path(path).stat().st_size)


def _read_manifest(text: bytes) -> list[Blob]:
    """Raises ValueError for anything that is no manifest."""
    try:
        manifest: Any = json.loads(text)
        items = [*manifest["layers"], manifest["config"]]
        return [
            Blob(
                str(item["digest"]).removeprefix("sha256:"),
                int(item["size"]),
                str(item.get("mediaType", "")).partition(_KIND)[2],
            )
            for item in items
            if item.get("digest")
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no manifest of a model") from error
