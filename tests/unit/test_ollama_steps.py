# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be done for a host's models."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import ollama
from ansible_collections.hearth.llm.plugins.modules import ollama_model
from wanted_model import BLOB, wanted


def do(item, installed=None, shown=None):
    """The verbs for one model, on a host that has `installed`."""
    found = ollama.steps([wanted(item)], installed or {}, shown or {})
    return found[0]["do"] if found else []


def planned(items, installed=None, shown=None):
    """The verbs for each model that has some, in order."""
    found = ollama.steps([wanted(item) for item in items], installed or {}, shown or {})
    return [(step["model"], step["do"]) for step in found]


def shown(name, blob=BLOB, **parameters):
    text = "\n".join(f"{key}  {value}" for key, value in parameters.items())
    return {name: {"modelfile": f"FROM /root/.ollama/models/blobs/sha256-{blob}\n", "parameters": text}}


def test_a_missing_model_is_pulled_and_one_that_is_there_left_alone():
    assert do("tiny") == ["pull"]
    assert do("tiny", {"tiny:latest": "1234"}) == []
    assert do("Tiny:1B", {"tiny:1b": "1234"}) == []


def test_a_model_with_another_digest_is_pulled_again():
    item = {"name": "tiny", "digest": "a" * 12}
    assert do(item, {"tiny:latest": "a" * 64}) == []
    assert do(item, {"tiny:latest": "b" * 64}) == ["pull"]


def test_a_model_from_elsewhere_gets_its_name_by_a_copy():
    item = {"name": "tiny", "from": "http://box:5000/library/tiny:latest"}
    assert do(item) == ["pull", "copy"]
    assert do(item, {"box:5000/library/tiny:latest": "1"}) == ["copy"]
    assert do(item, {"tiny:latest": "1"}) == []


def test_a_model_of_ones_own_is_made_again_when_its_parameters_change():
    item = {"name": "long", "from": "tiny", "parameters": {"num_ctx": 512}}
    assert do(item) == ["pull", "create"]
    assert do(item, {"tiny:latest": "1"}) == ["create"]
    assert do(item, {"long:latest": "1"}, shown("long", num_ctx=512)) == []
    assert do(item, {"tiny:latest": "1", "long:latest": "2"}, shown("long", num_ctx=256)) == ["create"]


def test_a_model_that_the_list_makes_is_made_first_and_never_pulled():
    house = {"name": "house", "source": "gguf", "path": "house.gguf"}
    long = {"name": "long", "from": "house", "parameters": {"num_ctx": 512}}
    copy = {"name": "copy", "from": "long:latest"}
    every = [("house", ["create"]), ("long", ["create"]), ("copy", ["copy"])]
    assert planned([copy, long, house]) == every
    there = {"house:latest": "1", "long:latest": "2", "copy:latest": "2"}
    asked = {**shown("house"), **shown("long", num_ctx=512), **shown("house:latest")}
    assert planned([copy, long, house], there, asked) == []
    # Another file: what is made from it comes anew with it.
    assert planned([copy, long, house], there, {**asked, **shown("house", blob="b" * 64)}) == every


def test_models_that_name_each_other_come_to_an_end():
    assert planned([{"name": "a", "from": "b"}, {"name": "b", "from": "a"}]) == [
        ("a", ["copy"]),
        ("b", ["copy"]),
    ]


def test_another_base_is_noticed_while_it_is_there():
    copy = {"name": "chat", "from": "qwen:14b"}
    made = {**copy, "parameters": {"num_ctx": 512}}
    there = {"chat:latest": "a" * 64, "qwen:7b": "a" * 64, "qwen:14b": "b" * 64}
    assert do(copy, there) == ["copy"]
    assert do(copy, {**there, "chat:latest": "b" * 64}) == []
    asked = shown("chat", num_ctx=512)
    assert do(made, there, {**asked, **shown("qwen:14b", blob="c" * 64)}) == ["create"]
    assert do(made, there, {**asked, **shown("qwen:14b")}) == []
    # With a digest that the base no longer has, the copy is the one that was asked for.
    assert do({**copy, "digest": "a" * 12}, there) == []


def test_a_damaged_model_is_made_again_and_the_others_are_looked_at():
    class Damaged:
        def installed(self):
            return {"long:latest": "a" * 64, "tiny:latest": "b" * 64}

        def show(self, name):
            raise ollama.OllamaError("open /root/.ollama/models/blobs/sha256-aaa: no such file", self.status)

    client = Damaged()
    long = {"name": "long", "from": "tiny", "parameters": {"num_ctx": 512}}
    models = {model["name"]: model for model in map(wanted, ["new", long])}
    client.status = 500
    found = ollama_model._look(client, models, 1)
    assert [(step["model"], step["do"], step["why"]) for step in found] == [
        ("new", ["pull"], "missing"),
        ("long", ["pull", "create"], "damaged"),
    ]
    client.status = 0  # it does not answer any more
    with pytest.raises(ollama.OllamaError):
        ollama_model._look(client, models, 1)


def test_parameters_without_another_name_are_set_on_the_pulled_model():
    item = {"name": "tiny", "parameters": {"num_ctx": 512}}
    assert do(item) == ["pull", "create"]
    assert do(item, {"tiny:latest": "1"}, shown("tiny")) == ["create"]
    assert do(item, {"tiny:latest": "1"}, shown("tiny", num_ctx=512)) == []


def test_a_file_makes_a_model_once():
    item = {"name": "house", "source": "gguf", "path": "house.gguf"}
    assert do(item) == ["create"]
    assert do(item, {"house:latest": "1"}, shown("house")) == []
    assert do(item, {"house:latest": "1"}, shown("house", blob="b" * 64)) == ["create"]


def test_removals_come_first_because_they_make_room():
    models = [
        wanted("new"),
        wanted({"name": "old", "state": "absent"}),
        wanted({"name": "gone", "state": "absent"}),
    ]
    found = ollama.steps(models, {"old:latest": "1"}, {})
    assert [(step["model"], step["do"]) for step in found] == [("old", ["delete"]), ("new", ["pull"])]
