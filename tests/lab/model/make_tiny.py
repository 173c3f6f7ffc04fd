"""Writes tiny.gguf: a llama-architecture model of random weights, for tests that need an answer but not its meaning.

Needs the package gguf; run `python tests/lab/model/make_tiny.py`. The file is committed, so that only those who change
the model need this. The seed is fixed: the same code writes the same weights.
"""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

LAYERS, WIDTH, HEADS, FEED_FORWARD, CONTEXT = 2, 64, 4, 128, 2048
PRINTABLE = [chr(code) for code in range(32, 127)]


def vocabulary() -> tuple[list[str], list[float], list[TokenType]]:
    """Tokens in sentencepiece's order: the three special ones, every byte, then printable characters."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
    # Sentencepiece spells the space as U+2581.
    tokens += ["\u2581" if character == " " else character for character in PRINTABLE]
    types += [TokenType.NORMAL] * len(PRINTABLE)
    return tokens, [0.0] * len(tokens), types


def write(path: Path) -> None:
    """Write the whole model file."""
    random = np.random.default_rng(seed=7)
    tokens, scores, types = vocabulary()

    def weights(*shape: int) -> np.ndarray:
        return random.normal(0.0, 0.05, shape).astype(np.float16)

    writer = GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    output = weights(len(tokens), WIDTH)
    # Only printable characters are ever likely, so that an answer is text.
    output[: len(tokens) - len(PRINTABLE)] = 0
    output[len(tokens) - len(PRINTABLE) :] *= 40
    writer.add_tensor("token_embd.weight", weights(len(tokens), WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    writer.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        prefix = f"blk.{layer}"
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{prefix}.{norm}.weight", np.ones(WIDTH, dtype=np.float32))
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{prefix}.{part}.weight", weights(WIDTH, WIDTH))
        for part in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"{prefix}.{part}.weight", weights(FEED_FORWARD, WIDTH))
        writer.add_tensor(f"{prefix}.ffn_down.weight", weights(WIDTH, FEED_FORWARD))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(Path(__file__).with_name("tiny.gguf"))
