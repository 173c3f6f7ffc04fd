# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What models need, against what llama.cpp and Ollama printed for the same ones, and laws that always hold."""

from __future__ import annotations

import functools
import io
import random

import gguf_files
import pytest
from ansible_collections.hearth.llm.plugins.module_utils.gguf import GgufError, read_header
from ansible_collections.hearth.llm.plugins.module_utils.model_fit import CACHE_TYPES, fit, working_memory
from ansible_collections.hearth.llm.plugins.module_utils.model_shape import Shape, shape

MIB, GIB = 2**20, 2**30
# A 16 GB card, empty: an RTX 5060 Ti's 16311 MiB without what the driver keeps.
CARD = 15900 * MIB
LLAMA = {"general.architecture": "llama", "llama.embedding_length": 64}
MODELS = (
    "qwen25_14b",
    "llama31_8b",
    "mixtral_8x7b",
    "gemma2_9b",
    "gemma3_12b",
    "gptoss_20b",
    "qwen3next_80b",
)


def of(data: bytes) -> Shape:
    return shape(read_header(io.BytesIO(data)))


@functools.cache
def model(name: str) -> Shape:
    return shape(read_header(io.BytesIO(getattr(gguf_files, name)())))


def test_qwen25_14b_is_what_llama_cpp_printed_for_it():
    """ollama/ollama#9091: CUDA0 model buffer 8148.38 MiB, CPU model buffer 417.66 MiB, KV buffer 1536.00 MiB."""
    found = fit(model("qwen25_14b"), [CARD], 8192)
    assert found.weights / MIB == pytest.approx(8148.38, abs=0.02)
    assert model("qwen25_14b").input / MIB == pytest.approx(417.66, abs=0.01)
    assert found.cache == 1536 * MIB


def test_qwen25_14b_has_the_graph_that_ollama_printed_for_it():
    """intel/ipex-llm#13277, Ollama at 4096 tokens: kv 768.0 MiB, graph.full 348.0 MiB, graph.partial 916.1 MiB."""
    found = fit(model("qwen25_14b"), [CARD], 4096)
    whole, part = working_memory(model("qwen25_14b"), 4096, 1, found.cache)
    assert found.cache == 768 * MIB
    assert whole / MIB == pytest.approx(348.0, abs=0.05)
    assert part / MIB == pytest.approx(916.1, abs=0.05)


@pytest.mark.parametrize(
    ("name", "context", "whole", "part"),
    [
        ("qwen25_14b", 8192, 708839424, 960581632),
        ("qwen25_14b", 32768, 2772436992, 3443546112),
        ("llama31_8b", 300, 158822400, 594677760),
        ("llama31_8b", 32768, 2248148992, 2375026688),
        ("mixtral_8x7b", 300, 43315200, 833643456),
        ("mixtral_8x7b", 32768, 2248148992, 2285895680),
        ("gemma2_9b", 8192, 531628032, 1284268032),
        ("gemma2_9b", 32768, 1172312064, 1449003008),
        ("gemma_7b", 32768, 1170214912, 1445726208),
        ("command_r", 32768, 4429189120, 5507123200),
        ("phi2", 4096, 297797632, 292556800),
        ("stablelm", 300, 19255200, 125337600),
    ],
)
def test_the_graph_is_what_ollamas_own_function_says(name, context, whole, part):
    """GraphSize of ollama v0.17.4 (fs/ggml/ggml.go), run on these headers."""
    assert working_memory(model(name), context, 1, 0) == (whole, part)


@pytest.mark.parametrize(
    ("name", "card", "context"),
    [("qwen25_14b", 10 * GIB, 2816), ("gemma2_9b", 8 * GIB, 2560), ("llama31_8b", CARD, 55040)],
)
def test_room_is_left_for_the_larger_graph_before_ollama_knows_that_all_fits(name, card, context):
    assert fit(model(name), [card], 8192).fitting_context == context


@pytest.mark.parametrize(
    ("name", "context", "parallel", "cache_type", "mib"),
    [
        ("llama31_8b", 8192, 1, "f16", 1024),
        ("llama31_8b", 8192, 4, "f16", 4096),
        ("llama31_8b", 8192, 1, "q8_0", 544),
        ("llama31_8b", 8192, 1, "q4_0", 288),
        ("mixtral_8x7b", 32768, 1, "f16", 4096),
        # Every layer keeps everything: llama.cpp runs it.
        ("gemma2_9b", 8192, 1, "f16", 2688),
        # 8 layers keep everything, 40 keep 1024 tokens and a batch.
        ("gemma3_12b", 8192, 1, "f16", 8 * 64 + 40 * 12),
        # 12 layers keep everything (2 KiB a token), 12 keep 4096 tokens and a batch.
        ("gptoss_20b", 32768, 1, "f16", 12 * 64 + 12 * 9),
    ],
)
def test_the_cache_of_real_architectures(name, context, parallel, cache_type, mib):
    assert fit(model(name), [CARD], context, parallel, cache_type).cache == mib * MIB


def test_a_window_longer_than_the_context_keeps_the_context():
    assert fit(model("gemma3_12b"), [CARD], 1024).cache == 48 * 8 * MIB


def test_recurrent_layers_have_a_state_that_does_not_grow():
    short, long = (fit(model("qwen3next_80b"), [CARD], context).cache for context in (4096, 8192))
    # Only every fourth of the 48 layers grows: 2 heads, 256 wide, keys and values.
    assert long - short == 12 * 4096 * 2 * 2 * 256 * 2


def test_experts_count_with_their_weights():
    assert model("mixtral_8x7b").layers[0].weights > 6 * model("llama31_8b").layers[0].weights


def test_a_tied_output_is_on_the_card_and_in_the_host():
    assert model("gemma3_12b").input == pytest.approx(model("gemma3_12b").output, rel=0.001)


def test_a_cache_type_without_flash_attention_takes_no_effect():
    assert fit(model("gemma2_9b"), [CARD], 8192, cache_type="q8_0").cache_type == "f16"
    assert fit(model("llama31_8b"), [CARD], 8192, cache_type="q8_0").cache_type == "q8_0"


def test_the_context_is_cut_to_what_the_model_was_trained_with():
    assert fit(model("gemma2_9b"), [CARD], 32768).context == 8192


@pytest.mark.parametrize(
    ("context", "fits", "layers"),
    [(8192, True, 49), (16384, True, 49), (24320, True, 49), (24576, False, 48), (32768, False, 41)],
)
def test_qwen25_14b_on_a_16_gb_card(context, fits, layers):
    """The worked example of docs/models.md."""
    found = fit(model("qwen25_14b"), [CARD], context)
    assert (found.fits, found.layers_on_cards, found.layers) == (fits, layers, 49)
    assert (found.spilled == 0) is fits
    assert found.fitting_context == 24320


def test_two_cards_carry_what_one_cannot():
    found = fit(model("mixtral_8x7b"), [24 * GIB, 8 * GIB], 4096)
    assert found.fits
    assert not fit(model("mixtral_8x7b"), [24 * GIB], 4096).fits


@pytest.mark.parametrize("architecture", ["qwen3next", "nemotron_h", "lfm2", "qwen3vl"])
def test_some_models_take_one_request_at_a_time(architecture):
    only = of(gguf_files.transformer(architecture, 4, 64, 4, 4, 128, 300))
    assert fit(only, [CARD], 4096, 4) == fit(only, [CARD], 4096, 1)
    assert fit(only, [CARD], 4096, 4).parallel == 1


def test_a_model_that_makes_vectors_takes_one_request_and_some_keep_nothing():
    def embeds(architecture):
        more = {"pooling_type": 2}
        return of(gguf_files.transformer(architecture, 4, 64, 4, 4, 128, 300, more=more))

    assert fit(embeds("qwen2"), [CARD], 4096, 4) == fit(embeds("qwen2"), [CARD], 4096, 1)
    assert fit(embeds("qwen2"), [CARD], 4096).cache > 0
    assert [fit(embeds(name), [CARD], 4096).cache for name in ("bert", "nomic-bert")] == [0, 0]


def test_blocks_of_nemotron_that_are_only_a_width_keep_nothing():
    kinds = "M-M*-M"
    more = {
        "attention.head_count_kv": [8 if kind == "*" else 0 for kind in kinds],
        "feed_forward_length": [128 if kind == "-" else 0 for kind in kinds],
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 128,
        "ssm.state_size": 16,
        "ssm.group_count": 2,
    }
    layers = of(gguf_files.transformer("nemotron_h", 6, 64, 8, 8, 128, 300, more=more)).layers
    assert "".join("*" if layer.cache else "M" if layer.state else "-" for layer in layers) == kinds


def test_a_larger_batch_takes_more():
    small, large = (fit(model("llama31_8b"), [CARD], 8192, batch=batch) for batch in (512, 2048))
    assert large.working > 3 * small.working
    assert (
        fit(model("gemma3_12b"), [CARD], 8192, batch=1024).cache
        > fit(model("gemma3_12b"), [CARD], 8192).cache
    )


def test_a_model_that_sees_has_at_least_2048_tokens():
    sees = of(gguf_files.transformer("qwen25vl", 4, 64, 4, 4, 128, 300, more={"vision.block_count": 2}))
    assert sees.sees
    assert fit(sees, [CARD], 512).context == 2048
    assert not model("gemma3_12b").sees


def test_without_a_card_everything_is_in_the_hosts_memory():
    found = fit(model("llama31_8b"), [], 8192)
    assert (found.fits, found.on_cards, found.layers_on_cards, found.fitting_context) == (False, 0, 0, 0)
    whole, _part = working_memory(model("llama31_8b"), 8192, 1, found.cache)
    assert found.host == found.weights + found.cache + whole + model("llama31_8b").input


def test_a_projector_takes_its_room_on_the_first_card():
    with_eyes = fit(model("llama31_8b"), [CARD], 8192, extra=GIB)
    assert with_eyes.needed == fit(model("llama31_8b"), [CARD], 8192).needed + GIB


def test_an_unknown_cache_type_is_refused():
    with pytest.raises(ValueError, match="cache type 'q5_1': expected one of f16, q8_0, q4_0"):
        fit(model("llama31_8b"), [CARD], 8192, cache_type="q5_1")


@pytest.mark.parametrize(("context", "parallel"), [(0, 1), (8192, 0)])
def test_a_context_of_nothing_is_refused(context, parallel):
    with pytest.raises(ValueError, match="expected both to be 1 or more"):
        fit(model("llama31_8b"), [CARD], context, parallel)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gguf_files.gguf({"general.architecture": "clip"}), "clip.block_count is None"),
        (gguf_files.transformer("llama", 0, 64, 1, 1, 64, 8), "llama has no layers"),
        (
            gguf_files.gguf({"general.architecture": "x", "x.block_count": 2, "x.embedding_length": 8}),
            "none of its tensors",
        ),
        (
            gguf_files.transformer("x", 4, 64, 1, 1, 64, 8, more={"attention.head_count_kv": [1, 2]}),
            "no list of 4 numbers",
        ),
        (gguf_files.gguf({**LLAMA, "llama.block_count": 2**32 - 1}, [("blk.0.w", (64,), 0)]), "4096 at most"),
        (
            gguf_files.gguf({**LLAMA, "llama.block_count": 1}, [("blk." + "9" * 5000, (64,), 0)]),
            "damaged: a tensor",
        ),
    ],
)
def test_a_header_that_is_no_language_model_is_refused(data, said):
    with pytest.raises(GgufError, match=said):
        shape(read_header(io.BytesIO(data)))


@pytest.mark.parametrize("seed", range(200))
def test_laws_that_always_hold(seed):
    """More context, requests or weights never need less; more room never places less; sums add up."""
    chance = random.Random(seed)
    name = chance.choice(MODELS)
    cards = [chance.randint(0, 40) * GIB for _card in range(chance.randint(0, 3))]
    context, parallel = chance.randint(1, 200_000), chance.randint(1, 8)
    kind = chance.choice(list(CACHE_TYPES))
    found = fit(model(name), cards, context, parallel, kind)

    assert found.fits == (found.layers_on_cards == found.layers) == (found.spilled == 0)
    assert found.weights + found.cache + found.working == found.needed
    assert 0 <= found.on_cards <= found.available
    assert found.needed <= found.available or not found.fits
    assert fit(model(name), cards, context + 4096, parallel, kind).needed >= found.needed
    assert fit(model(name), cards, context, parallel + 1, kind).needed >= found.needed
    assert fit(model(name), cards, context, parallel, "f16").cache >= found.cache
    if found.fits:
        assert fit(model(name), [card + GIB for card in cards], context, parallel, kind).fits
    assert_the_fitting_context_is_the_longest(name, cards, parallel, kind, found.fitting_context)


def assert_the_fitting_context_is_the_longest(name, cards, parallel, kind, longest):
    if longest:
        assert fit(model(name), cards, longest, parallel, kind).fits
    if longest + 256 <= model(name).trained_context:
        assert not fit(model(name), cards, longest + 256, parallel, kind).fits
