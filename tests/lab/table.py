"""The two tables, images.yml and hosts.yml, as typed values."""

import os
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

from .output import LabError
from .paths import HERE, IMAGES

T = TypeVar("T")

# More than one lab may run side by side on one machine, each with its number and its own network 10.77.<number>.0/24.
NUMBER = int(os.environ.get("HEARTH_LAB") or 0)
PREFIX = f"hearth-lab-{NUMBER}-" if NUMBER else "hearth-lab-"


@dataclass(frozen=True)
class Shape:
    """What the original image promises to compose files and healthchecks; asserted by test_images.py."""

    entrypoint: list[str]
    cmd: list[str]
    user: str
    workdir: str
    ports: list[str]
    paths: list[str]
    present: list[str]
    absent: list[str]


@dataclass(frozen=True)
class Package:
    """Where an image's software comes from."""

    registry: str
    name: str
    version: str


@dataclass(frozen=True)
class Image:
    """A row of images.yml. `reference` is the image's name in the lab, `also` further variables that pick its tag."""

    name: str
    reference: str
    tag: str
    row: dict[str, Any] = field(repr=False)
    parents: list[str] = field(default_factory=list)
    debootstrap: str | None = None
    upstream: str | None = None
    package: Package | None = None
    variable: str | None = None
    also: list[str] = field(default_factory=list)
    shape: Shape | None = None

    @property
    def registry(self) -> str | None:
        """The registry's host in the upstream reference."""
        return self.upstream.split("/", 1)[0] if self.upstream else None


@dataclass(frozen=True)
class Host:
    """A row of hosts.yml: `address` is IPv4 on the lab's network, `also` further ones on the same wire, with their
    prefix; `engine` says whether it runs Docker.
    """

    name: str
    address: str
    images: list[str]
    engine: bool = True
    also: list[str] = field(default_factory=list)

    @property
    def container(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def volume(self) -> str:
        return f"{PREFIX}{self.name}-docker"


def mirror() -> str:
    """The registry name that replaces the upstream ones; never contacted."""
    return str(_images_file()["mirror"])


def images() -> dict[str, Image]:
    """All rows of images.yml by name, parents before children."""
    data = _images_file()
    return {name: _image(name, row, data["mirror"]) for name, row in data["images"].items()}


def hosts() -> dict[str, Host]:
    """All rows of hosts.yml by name."""
    rows = _hosts_file()["hosts"].items()
    return {name: Host(name=name, **(row | {"address": _here(row["address"])})) for name, row in rows}


def network() -> tuple[str, str]:
    """The lab network's name and subnet."""
    row = _hosts_file()["network"]
    return PREFIX.rstrip("-"), _here(row["subnet"])


def beside() -> list[str]:
    """Networks on the same wire that hosts reach without an address in them."""
    return list(_hosts_file()["network"]["beside"])


def _here(address: str) -> str:
    """hosts.yml tells of lab 0; the third number of an address is the lab's."""
    first, second, _lab, last = address.split(".", 3)
    return f"{first}.{second}.{NUMBER}.{last}"


def select(rows: dict[str, T], names: list[str], kind: str) -> dict[str, T]:
    """The named rows, or all of them when no name is given."""
    unknown = [name for name in names if name not in rows]
    if unknown:
        raise LabError(f"unknown {kind}: {', '.join(unknown)}. Known: {', '.join(rows)}")
    return {name: rows[name] for name in names} if names else rows


def _images_file() -> dict[str, Any]:
    return yaml.safe_load((IMAGES / "images.yml").read_text())


def _hosts_file() -> dict[str, Any]:
    return yaml.safe_load((HERE / "hosts.yml").read_text())


def _image(name: str, row: dict[str, Any], mirror_name: str) -> Image:
    upstream = row.get("upstream")
    path = f"{upstream.split('/', 1)[1]}:{row['tag']}" if upstream else row["tag"]
    return Image(
        name=name,
        reference=f"{mirror_name}/{path}",
        tag=str(row["tag"]).rsplit(":", 1)[-1],
        row=row,
        parents=row.get("from", []),
        debootstrap=row.get("debootstrap"),
        upstream=upstream,
        package=Package(**row["package"]) if "package" in row else None,
        variable=row.get("variable"),
        also=row.get("also", []),
        shape=Shape(**row["shape"]) if "shape" in row else None,
    )
