# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A model of an inventory as the job on a host is given it."""

from __future__ import annotations

from ansible_collections.hearth.llm.plugins.module_utils.models import read_models
from ansible_collections.hearth.llm.plugins.module_utils.ollama_modelfile import definition

BLOB = "a" * 64


def wanted(item):
    models, problems = read_models([item])
    assert problems == []
    model = {**models[0].as_dict(), "definition": definition("", models[0].parameters)}
    return {**model, "blob": BLOB, "size": 10} if model["source"] == "gguf" else model
