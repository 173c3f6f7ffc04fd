# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a model fits on cards: weights, key/value cache and working memory, and what would spill to the processor.

Ollama decides by the same sums, layer by layer, so the answer is what it will do: the rules are those of ollama v0.17.4
(llm/server.go, fs/ggml/ggml.go, ml/device.go). Everything is in bytes. docs/models.md compares it with loaded models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .model_shape import Layer, Shape

# Bytes of one element of the cache: q8_0 keeps 32 of them in 34 bytes, q4_0 in 18.
CACHE_TYPES: Mapping[str, float] = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
# Tokens of a prompt that are worked on together.
BATCH = 512
# One request at a time, whatever OLLAMA_NUM_PARALLEL says, as for models that make vectors (server/sched.go, load).
_ONE_REQUEST = {
    "mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next", "lfm2", "lfm2moe", "nemotron_h",
    "nemotron_h_moe", "nemotron_h_omni",
}  # fmt: skip
# What a model that sees gets at least (server/sched.go, GetRunner).
_LEAST_FOR_IMAGES = 2048
# Ollama leaves so much of each card to CUDA's own structures.
PER_CARD = 457 * 2**20
# A cache's length is rounded up to a multiple of this, and a context that is proposed is one.
_STEP = 256
# Ollama's own engine measures its graph: vectors of each width for each token of a batch, and bytes for each pair of
# tokens of a batch and of the context; found with qwen3 and gemma3 (docs/models.md).
_OWN_VECTORS = 3
_OWN_PAIR = 2.5


@dataclass(frozen=True)
class Fit:
    """How a model fits.

    fits: all of it is on cards. needed: bytes that one card must have for that: weights, cache and working.
    available: bytes that the cards have for it. on_cards: bytes that it takes there, working memory on each card that
    it needs. spilled: bytes of weights and cache that are the processor's. layers_on_cards: of `layers`, the output
    counted as one. host: bytes of the host's memory that it takes. cache_type: the one that takes effect.
    fitting_context: the longest context, for each parallel request, with which all of it would be on the cards; 0
    where none would.
    """

    fits: bool
    needed: int
    available: int
    weights: int
    cache: int
    working: int
    on_cards: int
    spilled: int
    host: int
    layers: int
    layers_on_cards: int
    cache_type: str
    context: int
    parallel: int
    fitting_context: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit(
    model: Shape,
    cards: Sequence[int],
    context: int,
    parallel: int = 1,
    cache_type: str = "f16",
    extra: int = 0,
    batch: int = BATCH,
) -> Fit:
    """How the model fits on cards with so many free bytes each; without cards all of it is the processor's.

    context: tokens for each of `parallel` requests. extra: bytes of what comes with the model on the first card (a
    vision projector). batch: tokens of a prompt that are worked on together. Raises ValueError for an unknown cache
    type, a context or a number of requests below 1.
    """
    if cache_type not in CACHE_TYPES:
        raise ValueError(f"cache type {cache_type!r}: expected one of {', '.join(CACHE_TYPES)}")
    if context < 1 or parallel < 1:
        raise ValueError(f"a context of {context} for {parallel} requests: expected both to be 1 or more")
    if model.embeds or model.architecture in _ONE_REQUEST:
        parallel = 1
    if model.sees:
        context = max(context, _LEAST_FOR_IMAGES)
    if model.trained_context:
        context = min(context, model.trained_context)
    if not model.flash:
        cache_type = "f16"  # Ollama takes the other ones only with flash attention
    load = _Load(model, context, parallel, cache_type, batch)
    rooms = [max(0, card - PER_CARD - (extra if index == 0 else 0)) for index, card in enumerate(cards)]
    placed, used, working = load.place(rooms)
    spilled = sum(load.parts) - used
    return Fit(
        fits=placed == len(load.parts),
        needed=sum(load.parts) + load.working + extra,
        available=sum(rooms),
        weights=sum(layer.weights for layer in model.layers) + model.output + extra,
        cache=sum(load.caches),
        working=load.working,
        on_cards=used + working + (extra if placed else 0),
        spilled=spilled,
        host=model.input + spilled + (0 if placed else load.whole),
        layers=len(load.parts),
        layers_on_cards=placed,
        cache_type=cache_type,
        context=context,
        parallel=parallel,
        fitting_context=_fitting_context(model, rooms, parallel, cache_type, batch),
    )


class _Load:
    """What loading a model with one context asks for."""

    def __init__(self, model: Shape, context: int, parallel: int, cache_type: str, batch: int) -> None:
        self.caches = [layer_cache(layer, context, parallel, cache_type, batch) for layer in model.layers]
        self.parts = [layer.weights + cache for layer, cache in zip(model.layers, self.caches, strict=True)]
        # What Ollama cannot measure it leaves room for: one layer more.
        self.spare = 0 if model.own_engine else self.parts[0]
        self.parts.append(model.output)
        self.whole, split = working_memory(model, context, parallel, sum(self.caches), batch)
        # Ollama reserves the larger one before it knows which it will be (llm/server.go, llamaServer.Load).
        self.working = max(self.whole, split)

    def place(self, rooms: Sequence[int]) -> tuple[int, int, int]:
        """How many parts find room, their bytes, and those of the working memory beside them.

        On as few cards as can be, the one with the most room first; as much as there is room for where that is not all.
        """
        largest = sorted(rooms, reverse=True)
        for count in range(1, len(largest) + 1):
            found = self._fill(largest[:count], self.parts)
            if found[0] == len(self.parts):
                return found
        # What does not fit is begun from the end, with the output left out: it is the part that is needed least often.
        return self._fill(largest, self.parts[:-1])

    def _fill(self, rooms: Sequence[int], parts: Sequence[int]) -> tuple[int, int, int]:
        left = [room - self.working - self.spare for room in rooms]
        placed, used, cards = 0, 0, set()
        index = 0
        for part in reversed(parts):
            while index < len(left) and part > left[index]:
                index += 1
            if index == len(left):
                break
            left[index] -= part
            placed, used = placed + 1, used + part
            cards.add(index)
        return placed, used, self.working * len(cards)


def layer_cache(layer: Layer, context: int, parallel: int, cache_type: str, batch: int = BATCH) -> int:
    """Bytes of one layer's keys and values, or of its state, for so many requests."""
    tokens = parallel * context
    if layer.window:
        # With more than one request each keeps the token before its window, too.
        kept = layer.window + (1 if parallel > 1 else 0)
        if kept < context:
            tokens = parallel * kept + min(batch, context)
    tokens = -(-tokens // _STEP) * _STEP
    return int(tokens * layer.cache * CACHE_TYPES[cache_type]) + layer.state * parallel


def working_memory(
    model: Shape, context: int, parallel: int, cache: int, batch: int = BATCH
) -> tuple[int, int]:
    """Bytes that working on a batch takes on a card: where all of the model is on it, and where a part is."""
    batch = context if model.embeds and not model.own_engine else min(batch, context)
    tokens = context * parallel
    if model.own_engine:
        vectors = 4 * batch * _OWN_VECTORS * (model.embedding + model.feed_forward)
        scores = 0 if model.flash else 4 * batch * tokens * model.heads
        whole = vectors + int(_OWN_PAIR * batch * tokens) + scores + 4 * parallel * model.vocabulary
        return whole, whole
    whole, split = _graph(model, batch, tokens)
    if not whole:
        guess = model.heads // max(model.kv_heads, 1) * cache // 6
        return guess, guess
    return whole, split


def _graph(model: Shape, batch: int, tokens: int) -> tuple[int, int]:
    """Bytes of llama.cpp's graph as Ollama counts it, term by term (GraphSize): with all of a model, and with a part.

    Nothing for an architecture that it has no terms for.
    """
    wide, heads, keys = model.embedding, model.heads, model.key * model.heads
    scores = tokens * (1 + heads)
    words = 4 * batch * (wide + model.vocabulary)
    # In part, the output stays with the processor, and its weights are unpacked for a batch.
    unpacked = words + wide * model.vocabulary * 105 // 128
    whole = split = 0
    if model.architecture == "llama":
        whole = 4 * batch * (1 + 4 * wide + scores)
        kept = wide // max(heads, 1) * model.kv_heads
        split = 4 * batch * (1 + wide + max(tokens, wide)) + wide * wide * 9 // 16
        split = 4 * batch * wide + max(unpacked, split + 4 * tokens * (batch * heads + kept))
        if model.gate:
            experts = 2 * model.feed_forward + model.kv_heads + wide + tokens + kept
            split = 4 * (tokens * batch * heads + tokens * kept + batch * 1024 + kept * batch)
            return max(words, whole), max(3 * model.gate + 4 * batch * experts, split)
    elif model.architecture == "qwen2":
        whole = 4 * batch * (1 + 2 * wide + scores)
        split = max(unpacked, whole + 4 * wide * (1 + tokens))
    elif model.architecture in ("gemma", "gemma2"):
        whole = 4 * batch * (2 + 2 * wide + 2 * keys + scores)
        split = max(unpacked, whole - 4 * batch + 32 * model.key * tokens + wide * keys * 9 // 16)
    elif model.architecture == "command-r":
        whole = 4 * batch * (2 + 4 * wide + scores)
        split = 4 * batch * (1 + 2 * wide + scores) + 4 * wide * tokens + wide * wide * 9 // 16
        split = max(unpacked, split)
    elif model.architecture == "phi2":
        whole = 4 * batch * (1 + 4 * wide + scores)
        split = max(unpacked + 4 * batch * wide, 4 * batch * (2 + 3 * wide + scores))
    elif model.architecture == "stablelm":
        whole = 4 * batch * (2 + 3 * wide + scores)
        return whole, max(words + 4 * batch * wide, whole)
    else:
        return 0, 0
    return max(words, whole), split


def _fitting_context(model: Shape, rooms: Sequence[int], parallel: int, cache_type: str, batch: int) -> int:
    def fits(context: int) -> bool:
        load = _Load(model, context, parallel, cache_type, batch)
        return load.place(rooms)[0] == len(load.parts)

    low, high = 0, (model.trained_context or 1 << 20) // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * _STEP) else (low, middle - 1)
    return low * _STEP
