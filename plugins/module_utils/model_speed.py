# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast a model server answers, by a short generation, and where its models are. Runs on the hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import chat
from .gpu_check import on_card
from .models import canonical
from .ollama import Client, OllamaError

# Enough words to be timed, few enough that a processor is through with them in half a minute.
_TOKENS = 48
_QUESTION = "Write one sentence about the sea."


def measure(client: Client, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each model in memory, where there is none for the first of `wanted`, which is loaded for it.

    A row is {model, size, on_card (a share), context, tokens_per_second (null for one that only makes vectors), error}.
    Raises OllamaError where Ollama itself does not answer.
    """
    names = [str(item["name"]) for item in client.loaded()] or list(wanted[:1])
    rows: list[dict[str, Any]] = []
    for name in names:
        speed, error = None, None
        try:
            speed = client.speed(name, _QUESTION, _TOKENS)
        except OllamaError as problem:
            error = str(problem)
        rows.append({"model": name, "tokens_per_second": speed, "error": error})
    loaded = {canonical(str(item["name"])): item for item in client.loaded()}
    return [{**row, **_place(loaded.get(canonical(row["model"])))} for row in rows]


def measure_openai(url: str) -> list[dict[str, Any]]:
    """The row of the one model that a vLLM serves, under the first of its names; see `measure`.

    url: of its API's root (…/v1). By the clock, from the question to the last word. Where the model is and how large it
    does not say: `on_card` is not in the row. Raises ChatError where it does not answer.
    """
    served = chat.models(url)
    if not served:
        return []
    first = served[0]
    answer = chat.ask(url, first["id"], _QUESTION, max_tokens=_TOKENS)
    speed = round(answer.tokens / answer.seconds, 1) if answer.tokens and answer.seconds else None
    return [
        {
            "model": first["id"],
            "tokens_per_second": speed,
            "error": None,
            "size": None,
            "context": first.get("max_model_len"),
        }
    ]


def _place(item: dict[str, Any] | None) -> dict[str, Any]:
    if item is None:
        return {"size": None, "on_card": None, "context": None}
    return {
        "size": item.get("size"),
        "on_card": round(on_card(item), 3),
        "context": item.get("context_length"),
    }
