# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a GGUF file says of its model: its settings, and how many bytes each tensor takes.

The format is that of ggml's docs/gguf.md, versions 2 and 3, little endian. Standard library only. Only the header is
read, once and forwards, so a file that is still on its way from a registry serves as well as one on the disk.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, BinaryIO

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
# No header that a model has ever had says more: beyond it a count or a length is damage and not worth the memory.
_MOST_ENTRIES = 1 << 24
_MOST_TEXT = 1 << 26
_MOST_DIMENSIONS = 4
# Longer lists (a vocabulary) are counted and not kept.
_KEPT_ITEMS = 4096
_ALIGNMENT = 32
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_TEXT, _LIST = 8, 9
# Types of a tensor: number → elements of a block, bytes of a block (ggml.h, GGML_TYPE_*). 4 is MXFP4 in files that
# Ollama made before ggml had it.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 4: (32, 17), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36),
}  # fmt: skip


class GgufError(ValueError):
    """Not a GGUF file, or a damaged one; the text says what is wrong with it."""


@dataclass(frozen=True)
class Counted:
    """A list too long to keep: only how many items it has."""

    length: int


@dataclass(frozen=True)
class Header:
    """settings: key → value as in the file; tensors: name → bytes; size: bytes that the whole file must have."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, int] = field(default_factory=dict)
    size: int = 0

    @property
    def architecture(self) -> str:
        return str(self.settings.get("general.architecture", ""))

    def own(self, key: str, default: Any = None) -> Any:
        """A setting below the architecture's own name: `block_count` is `llama.block_count`."""
        return self.settings.get(f"{self.architecture}.{key}", default)


def read_header(file: BinaryIO, size: int | None = None) -> Header:
    """The header of the GGUF file that is open at its beginning.

    size: bytes of the whole file where that is known, to notice one that was cut off. Raises GgufError.
    """
    reader = _Reader(file)
    if reader.take(4) != _MAGIC:
        raise GgufError("no GGUF file: it does not begin with GGUF")
    version = reader.number("<I")
    if version >> 16:
        raise GgufError("a big-endian GGUF file, which is for other machines than x86-64 and Arm")
    if version not in _VERSIONS:
        raise GgufError(f"GGUF version {version}, expected {' or '.join(map(str, _VERSIONS))}")
    tensor_count, setting_count = reader.count("tensors"), reader.count("settings")
    settings = dict(reader.setting() for _index in range(setting_count))
    tensors, ends = {}, [0]
    for _index in range(tensor_count):
        name, tensor, offset = reader.tensor()
        tensors[name] = tensor
        ends.append(offset + tensor)
    header = Header(settings, tensors, _padded(reader.position, settings) + max(ends))
    parts = settings.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise GgufError(f"one of {parts} parts of a model: join them with llama-gguf-split --merge")
    if size is not None and size < header.size:
        raise GgufError(f"cut off: {size} bytes, and its header speaks of {header.size}")
    return header


def _padded(position: int, settings: Mapping[str, Any]) -> int:
    alignment = settings.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise GgufError(f"damaged: general.alignment is {alignment!r}")
    return -(-position // alignment) * alignment


class _Reader:
    """Takes values off a stream. No length is believed before it is checked."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0

    def take(self, size: int) -> bytes:
        found = self._file.read(size)
        if len(found) != size:
            raise GgufError("cut off within its header")
        self.position += size
        return found

    def number(self, shape: str) -> Any:
        return struct.unpack(shape, self.take(struct.calcsize(shape)))[0]

    def count(self, what: str, most: int = _MOST_ENTRIES) -> int:
        found = self.number("<Q")
        if found > most:
            raise GgufError(f"damaged: its header speaks of {found} {what}")
        return int(found)

    def bytes(self) -> bytes:
        return self.take(self.count("characters of a text", _MOST_TEXT))

    def text(self) -> str:
        return self.bytes().decode("utf-8", "replace")

    def setting(self) -> tuple[str, Any]:
        key, kind = self.text(), self.number("<I")
        if kind == _TEXT:
            return key, self.text()
        if kind == _LIST:
            return key, self.list(key)
        if kind not in _SCALARS:
            raise GgufError(f"damaged: setting {key[:80]!r} has the unknown type {kind}")
        return key, self.number(_SCALARS[kind])

    def list(self, key: str) -> list[Any] | Counted:
        kind, length = self.number("<I"), self.count("items of a list")
        if kind == _TEXT:
            texts = [self.bytes() for _index in range(length)]
            return (
                [item.decode("utf-8", "replace") for item in texts]
                if length <= _KEPT_ITEMS
                else Counted(length)
            )
        if kind not in _SCALARS:  # lists of lists are allowed by the format, and no model has one
            raise GgufError(f"damaged: list {key[:80]!r} has items of the unknown type {kind}")
        shape = _SCALARS[kind]
        data = self.take(length * struct.calcsize(shape))
        if length > _KEPT_ITEMS:
            return Counted(length)
        return list(struct.unpack(f"<{length}{shape[1]}", data))

    def tensor(self) -> tuple[str, int, int]:
        """Its name, its bytes, and where they begin behind the header."""
        name, dimensions = self.text(), self.number("<I")
        if dimensions > _MOST_DIMENSIONS:
            raise GgufError(f"damaged: tensor {name[:80]!r} has {dimensions} dimensions")
        elements = prod(self.number("<Q") for _index in range(dimensions))
        kind, offset = self.number("<I"), self.number("<Q")
        if kind not in _BLOCKS:
            raise GgufError(f"tensor {name[:80]!r} has the type {kind}, which is not known here")
        per_block, size = _BLOCKS[kind]
        return name, -(-elements // per_block) * size, offset
