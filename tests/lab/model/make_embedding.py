"""Writes embedding.gguf: a BERT of random weights whose vectors compare spelling, for tests that search documents.

Its vocabulary is pairs of letters, each with a random direction; the one layer hardly changes them, and the mean of a
text's pieces is its vector. Texts that share words are therefore near each other, which is all that the tests need.

Needs the package gguf; run `python tests/lab/model/make_embedding.py`. The seed is fixed: the same code writes the same
weights.
"""

from itertools import product
from pathlib import Path
from string import ascii_lowercase, digits

import numpy as np
from gguf import GGUFWriter, PoolingType, TokenType

WIDTH, HEADS, FEED_FORWARD, CONTEXT = 64, 4, 64, 512
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PUNCTUATION = ".,;:!?'\"()[]{}<>-_/\\@#$%^&*+=|~`"


def vocabulary() -> list[str]:
    """The special tokens, then every piece twice: where a word begins (spelt with U+2581) and where it goes on."""
    single = [*ascii_lowercase, *digits, *PUNCTUATION]
    pairs = ["".join(pair) for pair in product(ascii_lowercase, repeat=2)]
    return [*SPECIAL, *[start + piece for piece in (*single, *pairs) for start in ("\u2581", "")]]


def write(path: Path) -> None:
    """Write the whole model file."""
    random = np.random.default_rng(seed=7)
    tokens = vocabulary()

    def weights(*shape: int, scale: float) -> np.ndarray:
        return random.normal(0.0, scale, shape).astype(np.float16)

    writer = GGUFWriter(str(path), "bert")
    writer.add_name("embedding")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [TokenType.CONTROL] * len(SPECIAL) + [TokenType.NORMAL] * (len(tokens) - len(SPECIAL))
    )
    writer.add_token_type_count(2)
    for add, token in (
        (writer.add_pad_token_id, "[PAD]"),
        (writer.add_unk_token_id, "[UNK]"),
        (writer.add_bos_token_id, "[CLS]"),
        (writer.add_sep_token_id, "[SEP]"),
        (writer.add_eos_token_id, "[SEP]"),
    ):
        add(SPECIAL.index(token))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(WIDTH, dtype=np.float32))

    def linear(name: str, out: int, into: int) -> None:
        writer.add_tensor(f"{name}.weight", weights(out, into, scale=0.01))
        writer.add_tensor(f"{name}.bias", np.zeros(out, dtype=np.float32))

    writer.add_tensor("token_embd.weight", weights(len(tokens), WIDTH, scale=1.0))
    writer.add_tensor("token_types.weight", np.zeros((2, WIDTH), dtype=np.float32))
    writer.add_tensor("position_embd.weight", np.zeros((CONTEXT, WIDTH), dtype=np.float16))
    norm("token_embd_norm")
    for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
        linear(f"blk.0.{part}", WIDTH, WIDTH)
    norm("blk.0.attn_output_norm")
    linear("blk.0.ffn_up", FEED_FORWARD, WIDTH)
    linear("blk.0.ffn_down", WIDTH, FEED_FORWARD)
    norm("blk.0.layer_output_norm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(Path(__file__).with_name("embedding.gguf"))
