# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operator may write in ollama_models, and what is said about the rest."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils.models import (
    canonical,
    guess_kind,
    parse_models,
    read_models,
)


def only(value):
    models, problems = read_models(value)
    assert problems == []
    return models[0]


def wrong(value):
    models, problems = read_models(value)
    assert models == []
    return [(problem["where"], problem["value"]) for problem in problems]


def test_a_name_alone_is_a_model_from_the_registry():
    model = only(["qwen2.5:0.5b"])
    assert (model.name, model.kind, model.source, model.reference, model.state) == (
        "qwen2.5:0.5b",
        "chat",
        "registry",
        "qwen2.5:0.5b",
        "present",
    )


def test_plain_data_makes_the_same_model_again():
    written = [{"name": "a", "from": "http://box:5000/library/tiny:latest", "parameters": {"seed": 1}}]
    items, models = parse_models(written)[0], read_models(written)[0]
    assert type(models[0])(**items[0]) == models[0]


def test_a_registry_without_tls_is_known_by_its_address():
    assert only([{"name": "a", "from": "http://box:5000/library/tiny:latest"}]).insecure
    assert not only([{"name": "a", "from": "box:5000/library/tiny:latest"}]).insecure


@pytest.mark.parametrize(
    "name",
    [
        "nomic-embed-text",
        "nomic-embed-text:v1.5",
        "all-minilm:33m",
        "bge-m3",
        "embeddinggemma",
        "me/e5-large",
    ],
)
def test_an_embedding_model_is_known_by_its_name(name):
    assert guess_kind(name) == "embedding"


@pytest.mark.parametrize("name", ["qwen2.5:0.5b", "llama3.2", "gemma3:1b", "embers-7b", "phi4-mini"])
def test_other_names_are_chat_models(name):
    assert guess_kind(name) == "chat"


def test_kind_can_be_said():
    assert only([{"name": "vectors", "kind": "embedding"}]).kind == "embedding"


def test_a_misspelt_key_gets_a_suggestion():
    problems = read_models([{"name": "a", "paramters": {}}])[1]
    assert problems[0]["where"] == "[0].paramters"
    assert problems[0]["remedy"] == "did you mean parameters?"


def test_an_unknown_source_gets_a_suggestion():
    problems = read_models(["a", {"name": "b", "source": "regsitry"}])[1]
    assert (problems[0]["where"], problems[0]["value"]) == ("[1].source", "regsitry")
    assert problems[0]["remedy"] == "did you mean registry?"


def test_all_problems_come_at_once():
    assert wrong([{"name": "a", "kind": "voice", "source": "disk", "digest": "xyz"}, {"name": "b c"}, 7]) == [
        ("[0].kind", "voice"),
        ("[0].source", "disk"),
        ("[0].digest", "xyz"),
        ("[1].name", "b c"),
        ("[2]", 7),
    ]


@pytest.mark.parametrize("value", ["qwen", {"name": "qwen"}, 5])
def test_anything_but_a_list_is_a_problem(value):
    assert wrong(value) == [("", value)]


def test_nothing_is_an_empty_list():
    assert read_models(None) == ([], [])


def test_the_same_model_twice_is_a_problem_whatever_the_spelling():
    models, problems = read_models(["tiny", {"name": "library/Tiny:latest"}])
    assert [model.name for model in models] == ["tiny"]
    assert problems[0]["where"] == "[1].name"


def test_a_newline_at_the_end_is_no_part_of_a_name():
    assert [
        where for where, _value in wrong(["a\n", {"name": "b", "from": "c\n", "digest": "a" * 12 + "\n"}])
    ] == [
        "[0]",
        "[1].from",
        "[1].digest",
    ]


def test_a_gguf_needs_its_path_and_all_of_its_digest():
    assert wrong([{"name": "a", "source": "gguf"}]) == [("[0].path", None)]
    assert wrong([{"name": "a", "source": "gguf", "path": "a.gguf", "digest": "abcdef012345"}]) == [
        ("[0].digest", "abcdef012345")
    ]


def test_a_path_without_source_gguf_is_a_problem():
    assert wrong([{"name": "a", "path": "a.gguf"}]) == [("[0].path", "a.gguf")]


def test_a_registry_address_belongs_into_from():
    assert wrong([{"name": "http://box:5000/library/tiny"}]) == [("[0].name", "http://box:5000/library/tiny")]


@pytest.mark.parametrize(
    "more", [{"modelfile": "SYSTEM hi\n"}, {"parameters": {"num_ctx": 1}, "digest": "abcdef012345"}]
)
def test_what_is_made_of_a_pulled_model_has_a_name_of_its_own(more):
    assert wrong([{"name": "a", **more}]) == [("[0].from", None)]
    assert wrong([{"name": "a", "from": "a:latest", **more}]) == [("[0].from", "a:latest")]
    assert only([{"name": "a", "from": "b", **more}]).reference == "b"


@pytest.mark.parametrize("value", [["seed"], {"stop": []}, {"stop": [1]}, {"seed": None}, {"seed": {"a": 1}}])
def test_parameters_are_simple_values(value):
    assert wrong([{"name": "a", "parameters": value}]) == [("[0].parameters", value)]


def test_a_model_to_remove_needs_nothing_but_its_name():
    assert only([{"name": "a", "source": "gguf", "state": "absent"}]).state == "absent"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiny", "tiny:latest"),
        ("library/tiny", "tiny:latest"),
        ("registry.ollama.ai/library/tiny:1b", "tiny:1b"),
        ("me/tiny", "me/tiny:latest"),
        ("http://box:5000/library/tiny", "box:5000/library/tiny:latest"),
    ],
)
def test_names_are_compared_as_ollama_lists_them(name, expected):
    assert canonical(name) == expected
