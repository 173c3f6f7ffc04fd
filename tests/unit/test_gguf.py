# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A GGUF header is read exactly, and a damaged one ends in one clear error instead of a crash or a wrong size."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils.gguf import Counted, GgufError, read_header
from gguf_files import F32, Q4_K, gguf, llama31_8b

MODELS = Path(__file__).parents[1] / "lab" / "model"
SMALL = gguf(
    {"general.architecture": "llama", "llama.block_count": 2, "flag": True, "half": 0.5, "names": ["a", "b"]},
    [("blk.0.attn_q.weight", (256, 4), Q4_K), ("output_norm.weight", (7,), F32)],
)


def read(data: bytes, size: int | None = None):
    return read_header(io.BytesIO(data), size)


@pytest.mark.parametrize("name", ["tiny.gguf", "embedding.gguf"])
def test_a_file_of_the_gguf_package_is_as_long_as_its_header_says(name):
    size = (MODELS / name).stat().st_size
    with open(MODELS / name, "rb") as file:
        header = read_header(file, size)
    # The last tensor is padded in the file.
    assert size - 32 < header.size <= size
    assert header.own("block_count") >= 1


def test_settings_and_tensors_are_read():
    header = read(SMALL)
    assert header.architecture == "llama"
    assert header.own("block_count") == 2
    assert header.settings["flag"] is True
    assert header.settings["half"] == 0.5
    assert header.settings["names"] == ["a", "b"]
    assert header.tensors == {"blk.0.attn_q.weight": 4 * 144, "output_norm.weight": 28}


def test_a_vocabulary_is_counted_and_not_kept():
    assert read(llama31_8b()).settings["tokenizer.ggml.tokens"] == Counted(128256)


def test_a_file_that_was_cut_off_within_its_weights_is_noticed():
    whole = read(SMALL).size
    assert read(SMALL, whole).size == whole
    with pytest.raises(GgufError, match=f"cut off: {whole - 1} bytes, and its header speaks of {whole}"):
        read(SMALL, whole - 1)


@pytest.mark.parametrize("end", range(0, len(SMALL), 3))
def test_a_header_that_was_cut_off_anywhere_is_refused(end):
    with pytest.raises(GgufError):
        read(SMALL[:end])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04 not at all", "does not begin with GGUF"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(16), "version 1, expected 2 or 3"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "speaks of 1152921504606846976 tensors"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 40), "characters of a text"),
        (gguf({}, [("t", (256,), 99)]), "type 99, which is not known here"),
        (gguf({}, [("t", (1,) * 5, F32)]), "has 5 dimensions"),
        (gguf({"split.count": 3}), "one of 3 parts .* llama-gguf-split --merge"),
        (gguf({"general.alignment": 0}), "general.alignment is 0"),
    ],
)
def test_what_is_wrong_is_said(data, said):
    with pytest.raises(GgufError, match=said):
        read(data)


def test_a_list_of_lists_is_refused_however_deep():
    nested = struct.pack("<IQ", 9, 1) * 100_000
    data = b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"x" + struct.pack("<I", 9) + nested
    with pytest.raises(GgufError, match="items of the unknown type 9"):
        read(data)


@pytest.mark.parametrize("seed", range(300))
def test_random_damage_is_an_error_or_a_header_and_nothing_else(seed):
    chance = random.Random(seed)
    data = bytearray(SMALL)
    for _flip in range(chance.randint(1, 8)):
        data[chance.randrange(4, len(data))] = chance.randrange(256)
    try:
        header = read(bytes(data))
    except GgufError:
        return
    assert all(size >= 0 for size in header.tensors.values())
