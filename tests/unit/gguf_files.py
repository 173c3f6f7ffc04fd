# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""GGUF headers for tests: real architectures' settings and tensors without their weights.

The shapes are those of the published models' config.json; the mix of types is llama.cpp's Q4_K_M.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

F32, F16, Q4_K, Q6_K = 0, 1, 12, 14
_BLOCK = {F32: (1, 4), F16: (1, 2), Q4_K: (256, 144), Q6_K: (256, 210)}
Tensor = tuple[str, tuple[int, ...], int]


def gguf(settings: Mapping[str, Any], tensors: Iterable[Tensor] = (), version: int = 3) -> bytes:
    """A file's header; the weights that should follow are left out."""
    found = b"".join(_text(key) + _value(value) for key, value in settings.items())
    body, offset, count = b"", 0, 0
    for name, dimensions, kind in tensors:
        body += (
            _text(name)
            + struct.pack("<I", len(dimensions))
            + struct.pack(f"<{len(dimensions)}Q", *dimensions)
        )
        body += struct.pack("<IQ", kind, offset)
        elements = 1
        for size in dimensions:
            elements *= size
        block, size = _BLOCK.get(kind, (1, 1))
        offset += -(-elements // block) * size
        offset = -(-offset // 32) * 32
        count += 1
    return b"GGUF" + struct.pack("<IQQ", version, count, len(settings)) + found + body


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    head = struct.pack("<I", 9)
    if isinstance(value[0], str):
        return head + struct.pack("<IQ", 8, len(value)) + b"".join(map(_text, value))
    kind, shape = {bool: (7, "?"), float: (6, "f"), int: (5, "i")}[type(value[0])]
    return head + struct.pack(f"<IQ{len(value)}{shape}", kind, len(value), *value)


def transformer(
    architecture: str,
    layers: int,
    embedding: int,
    heads: int,
    kv_heads: int,
    feed_forward: int,
    vocabulary: int,
    *,
    key: int = 0,
    context: int = 32768,
    experts: int = 0,
    biases: bool = False,
    tied: bool = False,
    norms: Iterable[tuple[str, int]] = (),
    more: Mapping[str, Any] | None = None,
) -> bytes:
    """A model's header as llama.cpp's converter and its Q4_K_M quantisation write it.

    norms: further ones of each layer, with their widths.
    """
    width = key or embedding // heads
    own = {
        "block_count": layers,
        "context_length": context,
        "embedding_length": embedding,
        "feed_forward_length": feed_forward,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 10000.0,
        **({"attention.key_length": key, "attention.value_length": key} if key else {}),
        **(more or {}),
    }
    settings = {"general.architecture": architecture, **{f"{architecture}.{name}": own[name] for name in own}}
    settings |= _tokenizer(vocabulary)
    tensors: list[Tensor] = [("token_embd.weight", (embedding, vocabulary), Q6_K if tied else Q4_K)]
    tensors.append(("output_norm.weight", (embedding,), F32))
    if not tied:
        tensors.append(("output.weight", (embedding, vocabulary), Q6_K))
    for layer in range(layers):
        finer = Q6_K if _finer(layer, layers) else Q4_K
        block = f"blk.{layer}."
        tensors += [
            (f"{block}attn_norm.weight", (embedding,), F32),
            (f"{block}ffn_norm.weight", (embedding,), F32),
            (f"{block}attn_q.weight", (embedding, heads * width), Q4_K),
            (f"{block}attn_k.weight", (embedding, kv_heads * width), Q4_K),
            (f"{block}attn_v.weight", (embedding, kv_heads * width), finer),
            (f"{block}attn_output.weight", (heads * width, embedding), Q4_K),
        ]
        tensors += [(f"{block}{name}.weight", (size,), F32) for name, size in norms]
        if biases:
            sizes = (("q", heads * width), ("k", kv_heads * width), ("v", kv_heads * width))
            tensors += [(f"{block}attn_{part}.bias", (size,), F32) for part, size in sizes]
        each = (experts,) if experts else ()
        suffix = "_exps" if experts else ""
        tensors += [
            (f"{block}ffn_gate{suffix}.weight", (embedding, feed_forward, *each), Q4_K),
            (f"{block}ffn_up{suffix}.weight", (embedding, feed_forward, *each), Q4_K),
            (f"{block}ffn_down{suffix}.weight", (feed_forward, embedding, *each), finer),
        ]
    return gguf(settings, tensors)


def _tokenizer(vocabulary: int) -> dict[str, Any]:
    """As many words as the model's own has, for sentencepiece."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))][:vocabulary]
    kinds = [2, 3, 3, *[6] * 256][:vocabulary]
    more = vocabulary - len(words)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": words + [f"w{index}" for index in range(more)],
        "tokenizer.ggml.scores": [0.0] * vocabulary,
        "tokenizer.ggml.token_type": kinds + [1] * more,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def _finer(layer: int, layers: int) -> bool:
    """Which layers Q4_K_M gives Q6_K."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def qwen25_14b() -> bytes:
    return transformer("qwen2", 48, 5120, 40, 8, 13824, 152064, biases=True)


def llama31_8b() -> bytes:
    return transformer("llama", 32, 4096, 32, 8, 14336, 128256, context=131072)


def mixtral_8x7b() -> bytes:
    return transformer("llama", 32, 4096, 32, 8, 14336, 32000, experts=8)


def gemma2_9b() -> bytes:
    more = {
        "attention.sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    }
    norms = [("post_attention_norm", 3584), ("post_ffw_norm", 3584)]
    return transformer(
        "gemma2", 42, 3584, 16, 8, 14336, 256000, key=256, context=8192, tied=True, norms=norms, more=more
    )  # fmt: skip


def gemma_7b() -> bytes:
    return transformer("gemma", 28, 3072, 16, 16, 24576, 256000, key=256, context=8192, tied=True)


def command_r() -> bytes:
    return transformer("command-r", 40, 8192, 64, 64, 22528, 256000, context=131072, tied=True)


def phi2() -> bytes:
    return transformer("phi2", 32, 2560, 32, 32, 10240, 51200, context=2048)


def stablelm() -> bytes:
    return transformer("stablelm", 24, 2048, 32, 32, 5632, 100352, context=4096)


def gemma3_12b() -> bytes:
    norms = [
        ("post_attention_norm", 3840),
        ("post_ffw_norm", 3840),
        ("attn_q_norm", 256),
        ("attn_k_norm", 256),
    ]
    more = {"attention.sliding_window": 1024}
    return transformer(
        "gemma3", 48, 3840, 16, 8, 15360, 262144, key=256, context=131072, tied=True, norms=norms, more=more
    )  # fmt: skip


def gemma3_4b() -> bytes:
    norms = [
        ("post_attention_norm", 2560),
        ("post_ffw_norm", 2560),
        ("attn_q_norm", 256),
        ("attn_k_norm", 256),
    ]
    more = {"attention.sliding_window": 1024}
    return transformer(
        "gemma3", 34, 2560, 8, 4, 10240, 262144, key=256, context=131072, tied=True, norms=norms, more=more
    )  # fmt: skip


def qwen3_14b() -> bytes:
    norms = [("attn_q_norm", 128), ("attn_k_norm", 128)]
    return transformer("qwen3", 40, 5120, 40, 8, 17408, 151936, key=128, context=40960, norms=norms)


def qwen3_8b() -> bytes:
    norms = [("attn_q_norm", 128), ("attn_k_norm", 128)]
    return transformer("qwen3", 36, 4096, 32, 8, 12288, 151936, key=128, context=40960, norms=norms)


def gptoss_20b() -> bytes:
    more = {"attention.sliding_window": 128}
    return transformer("gptoss", 24, 2880, 64, 8, 2880, 201088, key=64, context=131072, experts=32, more=more)


def qwen3next_80b() -> bytes:
    """Every fourth layer pays attention, the others are recurrent."""
    kv_heads = [0 if (layer + 1) % 4 else 2 for layer in range(48)]
    more = {
        "attention.head_count_kv": kv_heads,
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 4096,
        "ssm.state_size": 128,
        "ssm.group_count": 16,
    }
    return transformer(
        "qwen3next", 48, 2048, 16, 2, 512, 151936, key=256, context=262144, experts=8, more=more
    )
