# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a model decides how much memory it takes: its layers, their caches and windows, from a GGUF's header.

What each architecture keeps is read off ollama v0.17.4 (fs/ggml/ggml.go, kvcache, model/models). One that is not known
here counts as if every layer kept the whole context: too much rather than too little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .gguf import Counted, GgufError, Header

# Run by Ollama's own engine; the others by llama.cpp, whose memory Ollama estimates instead of measuring it.
_OWN_ENGINE = {
    "bert", "deepseek2", "deepseekocr", "gemma3", "gemma3n", "gptoss", "gpt-oss", "llama4", "mistral3", "mllama",
    "nemotron_h", "nemotron_h_moe", "nomic-bert", "olmo3", "qwen25vl", "qwen3", "qwen3moe", "qwen35", "qwen35moe",
    "qwen3next", "qwen3vl", "qwen3vlmoe", "glm4moelite", "glmocr", "lfm2", "lfm2moe",
}  # fmt: skip
# Only these give back what lies before a layer's window. Value: the layers with a window, where the header has no list
# of them, by (number of the layer, from 0) modulo a period.
_WINDOWED: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "gemma3": (6, (0, 1, 2, 3, 4)),
    "gemma3n": (5, (0, 1, 2, 3)),
    "gptoss": (2, (0,)),
    "gpt-oss": (2, (0,)),
    "olmo3": (4, (0, 1, 2)),
}
# Its window is 128 tokens, and Ollama keeps more, to go on from an earlier prompt.
_LEAST_WINDOW = {"gptoss": 4096, "gpt-oss": 4096}
# Keys and values of one width, and still no flash attention.
_NO_FLASH = {"gemma2"}
_ALWAYS_FLASH = {"qwen35", "qwen35moe", "qwen3next"}
# What turns words into vectors is looked up by the processor.
_INPUT = ("token_embd", "position_embd", "token_embd_norm", "token_norm_embd", "token_types")
# They read all of a text at once and keep nothing of it.
_NO_CACHE = {"bert", "nomic-bert"}
# A block of theirs is one of three: attention, a state, or only a width to go through, which keeps nothing.
_SPLIT_BLOCKS = {"nemotron_h", "nemotron_h_moe"}
# More than any model has: beyond it the number is damage.
_MOST_LAYERS = 4096
_MOST_DIGITS = 6
# Ollama's engine keeps this many earlier states of a recurrent layer beside the one in use.
_CHECKPOINTS = 24


@dataclass(frozen=True)
class Layer:
    """weights: bytes. cache: elements of keys and values for one token. window: tokens that it keeps of each request,
    0 for the whole context. state: bytes for each request, however long that is (recurrent layers).
    """

    weights: int
    cache: int = 0
    window: int = 0
    state: int = 0


@dataclass(frozen=True)
class Shape:
    """A model as its memory sees it.

    feed_forward: width of a layer's inside, of all experts that work on a token together. output: bytes beside the
    layers that a card needs too. input: bytes that always stay in the host's memory. heads, kv_heads: of attention, the
    most and the fewest of a layer; key: elements of one key. flash: whether attention can work in pieces, which a cache
    of another type than f16 needs. own_engine: see _OWN_ENGINE. embeds: makes vectors. sees:
    takes images, with a part of its own. gate: bytes of the first layer's gates of all experts, 0 without experts.
    """

    architecture: str
    trained_context: int
    embedding: int
    feed_forward: int
    vocabulary: int
    heads: int
    kv_heads: int
    key: int
    flash: bool
    own_engine: bool
    embeds: bool
    layers: tuple[Layer, ...]
    output: int
    input: int
    sees: bool = False
    gate: int = 0


def shape(header: Header) -> Shape:
    """The shape of the model that a GGUF header describes. Raises GgufError where it lacks something."""
    count, embedding = _number(header, "block_count"), _number(header, "embedding_length")
    if not count or not embedding:
        raise GgufError(f"no language model: {header.architecture or 'its header'} has no layers")
    if count > _MOST_LAYERS:
        raise GgufError(
            f"damaged: {header.architecture}.block_count is {count}, expected {_MOST_LAYERS} at most"
        )
    heads = _each(header, "attention.head_count", count, 1)
    kv_heads = _each(header, "attention.head_count_kv", count, 1)
    fewest = min(heads)
    width = embedding // fewest if fewest else 0
    key = _number(header, "attention.key_length", width)
    value = _number(header, "attention.value_length", width)
    own_engine = header.architecture in _OWN_ENGINE
    weights, output, input_ = _weights(header, count)
    windows, state = _windows(header, count), _state(header, own_engine)
    # From here on layers look into an earlier one's cache.
    keeping = count - _number(header, "attention.shared_kv_layers", 0)
    if header.architecture in _NO_CACHE:
        keeping = 0
    through = _through(header, count)
    layers = tuple(
        Layer(weights[index], kv_heads[index] * (key + value) if index < keeping else 0, windows[index])
        if heads[index] and kv_heads[index] and not through[index]
        else Layer(weights[index], state=0 if through[index] else state)
        for index in range(count)
    )
    embeds = f"{header.architecture}.pooling_type" in header.settings
    return Shape(
        architecture=header.architecture,
        trained_context=_number(header, "context_length", 0),
        embedding=embedding,
        feed_forward=_feed_forward(header),
        vocabulary=_vocabulary(header),
        heads=max(heads),
        kv_heads=min(kv_heads),
        key=key,
        flash=_flash(header.architecture, embeds, key, value),
        own_engine=own_engine,
        embeds=embeds,
        layers=layers,
        output=output,
        input=input_,
        sees="v" in {name.partition(".")[0] for name in header.tensors}
        or bool(header.own("vision.block_count")),
        gate=header.tensors.get("blk.0.ffn_gate_exps.weight", 0),
    )


def _weights(header: Header, count: int) -> tuple[list[int], int, int]:
    """Bytes of each layer, of what else goes to a card, and of what never does."""
    layers, output, words = [0] * count, 0, 0
    for name, size in header.tensors.items():
        part, _dot, rest = name.partition(".")
        number = rest.partition(".")[0]
        if part == "blk" and len(number) > _MOST_DIGITS:
            raise GgufError(f"damaged: a tensor is called {name[:80]!r}")
        if part == "blk" and number.isdecimal() and int(number) < count:
            layers[int(number)] += size
        elif part in _INPUT:
            words += size
        else:
            output += size
    if not any(layers):
        raise GgufError("no language model: none of its tensors belongs to a layer")
    # Without an output of its own a model uses the table of words once more, and that copy is on the card.
    tied = "output.weight" not in header.tensors
    return layers, output + (header.tensors.get("token_embd.weight", 0) if tied else 0), words


def _windows(header: Header, count: int) -> list[int]:
    """Tokens that each layer keeps of a request; 0 for all of them."""
    window = _number(header, "attention.sliding_window", 0)
    if not window or header.architecture not in _WINDOWED:
        return [0] * count
    window = max(window, _LEAST_WINDOW.get(header.architecture, 0))
    listed = header.own("attention.sliding_window_pattern")
    if isinstance(listed, list) and len(listed) == count:
        return [window if item else 0 for item in listed]
    period, local = _WINDOWED[header.architecture]
    return [window if index % period in local else 0 for index in range(count)]


def _through(header: Header, count: int) -> Sequence[bool]:
    """The blocks that keep nothing."""
    if header.architecture not in _SPLIT_BLOCKS or not isinstance(header.own("feed_forward_length"), list):
        return [False] * count
    return [width > 0 for width in _each(header, "feed_forward_length", count, 0)]


def _state(header: Header, own_engine: bool) -> int:
    """Bytes that a recurrent layer keeps of a request, always in 32 bits."""
    kernel, inner = _number(header, "ssm.conv_kernel", 0), _number(header, "ssm.inner_size", 0)
    width, groups = _number(header, "ssm.state_size", 0), _number(header, "ssm.group_count", 0)
    short = _number(header, "shortconv.l_cache", 0)  # lfm2
    convolved = max(kernel - 1, 0) * (inner + 2 * groups * width)
    convolved += max(short - 1, 0) * _number(header, "embedding_length")
    return 4 * (convolved + width * inner) * (1 + (_CHECKPOINTS if own_engine else 0))


def _flash(architecture: str, embeds: bool, key: int, value: int) -> bool:
    if architecture in _ALWAYS_FLASH:
        return True
    return not embeds and architecture not in _NO_FLASH and key == value != 0


def _feed_forward(header: Header) -> int:
    found = header.own("feed_forward_length", 0)
    widths = found if isinstance(found, list) else [_number(header, "feed_forward_length", 0)]
    experts = _number(header, "expert_feed_forward_length", 0) * _number(header, "expert_used_count", 1)
    return max([experts, *(width for width in widths if isinstance(width, int))])


def _vocabulary(header: Header) -> int:
    tokens = header.settings.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Counted):
        return tokens.length
    return len(tokens) if isinstance(tokens, list) else _number(header, "vocab_size", 0)


def _number(header: Header, key: str, default: int | None = None) -> int:
    found = header.own(key, default)
    if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
        return found
    raise GgufError(f"{header.architecture or '?'}.{key} is {found!r}, expected a number")


def _each(header: Header, key: str, count: int, default: int) -> Sequence[int]:
    """One number for each layer: newer models write a list, older ones a number for all."""
    found: Any = header.own(key, default)
    if not isinstance(found, list):
        return [_number(header, key, default)] * count
    if len(found) < count or not all(isinstance(item, int) and item >= 0 for item in found):
        raise GgufError(f"{header.architecture}.{key} is no list of {count} numbers")
    return found[:count]
