# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a role's templates to the files of a stack, on the controller.

Conventions (docs/architecture.md): compose.yaml.j2, env.<x>.j2 → .env.<x>, config/**, secrets/**. A template that
renders to white space makes no file; one called *.files.j2 makes as many as it likes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = re.compile(r"^=== (\S+)\n", re.MULTILINE)

Render = Callable[[str, Mapping[str, Any]], str]


@dataclass(frozen=True)
class File:
    """A file of a stack: path below the stack's directory, bytes, mode (octal text), owner (uid:gid)."""

    path: str
    content: bytes
    mode: str
    owner: str = "0:0"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def secret(self) -> bool:
        """Whether its content may never be shown."""
        return self.path.startswith((".env.", "secrets/"))


def render_stack(templates: Path, service: Mapping[str, Any], render: Render) -> tuple[list[File], str]:
    """All files of a stack and its config hash.

    templates: the role's templates directory; service: the resolved service, without `config_hash`;
    render: (template text, variables to add) → text. compose.yaml comes last, because it carries the hash of the rest.
    """
    files = [
        file for source in _sources(templates) for file in _render_one(templates, source, service, render)
    ]
    digest = config_hash(files, service.get("reload", {}).get("paths", ()))
    compose = (templates / "compose.yaml.j2").read_text(encoding="utf-8")
    text = render(compose, {"service": {**service, "config_hash": digest}})
    return [File("compose.yaml", text.encode(), "0644"), *files], digest


def config_hash(files: Iterable[File], reloaded: Iterable[str]) -> str:
    """The hash of all that a container reads only at its start: config/ and secrets/ without the reloaded paths."""
    reloaded = tuple(reloaded)
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda item: item.path):
        if file.path.startswith(("config/", "secrets/")) and not (
            reloaded and file.path.startswith(reloaded)
        ):
            whole.update(f"{file.path}\0{file.sha256}\0".encode())
    return whole.hexdigest()[:16]


def _sources(templates: Path) -> list[Path]:
    found = sorted(templates.glob("env.*.j2"))
    for folder in ("config", "secrets"):
        found += sorted(path for path in (templates / folder).rglob("*") if path.is_file())
    return found


def _render_one(templates: Path, source: Path, service: Mapping[str, Any], render: Render) -> Iterator[File]:
    relative = source.relative_to(templates).as_posix()
    content = source.read_bytes()
    if relative.endswith(".j2"):
        relative = relative.removesuffix(".j2")
        content = render(content.decode(), {"service": service}).encode()
    if relative.endswith(".files"):
        for path, part in _split(source, content.decode()):
            yield _file(f"{relative.rpartition('/')[0]}/{path}", part.encode(), service)
    elif content.strip():
        yield _file(relative, content, service)


def _split(source: Path, text: str) -> Iterator[tuple[str, str]]:
    """The files of a template that makes several: each begins after a line `=== path`, beside the template."""
    before, *parts = _FILE.split(text)
    if before.strip():
        raise ValueError(f"{source}: there is text before the first line `=== path`")
    yield from zip(parts[::2], parts[1::2], strict=True)


def _file(relative: str, content: bytes, service: Mapping[str, Any]) -> File:
    if relative.startswith("env."):
        return File("." + relative, content, "0600")
    if relative.startswith("secrets/"):
        return File(relative, content, "0400", service["secrets_owner"])
    return File(relative, content, "0644")
