# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Weighs models against cards: finds each one's header, asks model_fit, and says it in words.

A row is plain data: {model, source, fits, message, remedy} and, where the model's header could be had, what Fit has.
source: file (a GGUF), installed (Ollama has it), registry (its header was fetched), manifest (only the size of its
weights is known). fits is null where nobody can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import model_registry as registry
from .gguf import GgufError, Header
from .model_fit import BATCH, PER_CARD, Fit, fit
from .model_shape import shape
from .ollama_modelfile import ModelfileError, definition

_GIB = 2**30


@dataclass(frozen=True)
class Settings:
    """What Ollama is started with: tokens of context for each of so many parallel requests, and the cache's type."""

    context: int
    parallel: int = 1
    cache_type: str = "f16"


def weigh(
    model: Mapping[str, Any], cards: Sequence[int], settings: Settings, directory: Path | None = None
) -> dict[str, Any]:
    """One model's row.

    model: as models.Model, its files' paths on this machine; cards: free bytes of each; directory: behind Ollama's
    /root/.ollama. What the model says of context and batch wins over what the registry's says, and that over settings.
    """
    try:
        asked = _asked(model)
        header, extra, source, given = _find(model, directory)
    except (registry.Unknown, GgufError, ModelfileError, OSError, UnicodeError) as error:
        return _row(model, "", None, f"nothing is known of its size: {error}", _tell_nothing(model))
    if header is None:
        return _by_weights_alone(model, extra, cards)
    context, batch = (
        next((item[key] for item in (asked, given) if _counts(item.get(key))), otherwise)
        for key, otherwise in (("num_ctx", settings.context), ("num_batch", BATCH))
    )
    try:
        of = shape(header)
        found = fit(of, cards, context, settings.parallel, settings.cache_type, extra, batch)
    except GgufError as error:
        return _row(model, source, None, f"nothing is known of its size: {error}", _tell_nothing(model))
    message, remedy = ("fits", "") if found.fits else describe(found, len(cards))
    if of.sees:
        message += "; working on an image takes more, which is not counted"
    return {**_row(model, source, found.fits, message, remedy), **found.as_dict()}


def _asked(model: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a model is to have, typed, those of its Modelfile included."""
    text = model.get("modelfile") or ""
    if text and "\n" not in text:
        text = Path(text).read_text(encoding="utf-8")
    found: dict[str, Any] = definition(text, model.get("parameters") or {}).get("parameters", {})
    return found


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _find(
    model: Mapping[str, Any], directory: Path | None
) -> tuple[Header | None, int, str, Mapping[str, Any]]:
    """Its header, bytes of what comes with it, where that is from, and what the registry's model sets itself.

    Without a header: the weights' bytes.
    """
    if model.get("source") == "gguf":
        return registry.file_header(str(model["path"])), 0, "file", {}
    reference = str(model.get("reference") or model["name"])
    if directory is not None:
        try:
            found = registry.blobs_on_disk(directory, reference)
            weights = registry.of_kind(found, "model")
            if weights:
                given = _given(found, lambda blob: registry.params_on_disk(directory, blob))
                return registry.header_on_disk(directory, weights[0]), _beside(found), "installed", given
        except registry.Unknown:
            pass  # not there yet
    found = registry.blobs(reference)
    weights = registry.of_kind(found, "model")
    if not weights:
        raise registry.Unknown(f"{reference} has no weights")
    try:
        given = _given(found, lambda blob: registry.params(reference, blob))
        return registry.header(reference, weights[0]), _beside(found), "registry", given
    except registry.Unknown:
        return None, weights[0].size + _beside(found), "manifest", {}


def _given(found: Sequence[registry.Blob], read: Callable[[registry.Blob], dict[str, Any]]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for blob in registry.of_kind(found, "params"):
        given.update(read(blob))
    return given


def _beside(found: Sequence[registry.Blob]) -> int:
    return sum(blob.size for blob in registry.of_kind(found, "projector", "adapter"))


def _by_weights_alone(model: Mapping[str, Any], weights: int, cards: Sequence[int]) -> dict[str, Any]:
    room = sum(max(0, card - PER_CARD) for card in cards)
    fits = False if weights > room else None
    message = f"its weights alone take {_gib(weights)}, the {_cards(len(cards))} {_gib(room)}"
    remedy = _smaller("no context helps: ") if fits is False else _tell_nothing(model)
    return {**_row(model, "manifest", fits, message, remedy), "weights": weights, "available": room}


def describe(found: Fit, cards: int) -> tuple[str, str]:
    """What does not fit and by how much, and what helps."""
    if not cards:
        return (
            f"no card: all of it ({_gib(found.host)}) is the processor's",
            "take it off the list, or add a card",
        )
    requests = f" for each of {found.parallel} requests" if found.parallel > 1 else ""
    message = (
        f"needs {_gib(found.needed)} with {found.context} tokens of context{requests}, "
        f"the {_cards(cards)} {_gib(found.available)} for it: "
        f"{found.layers - found.layers_on_cards} of {found.layers} layers ({_gib(found.spilled)}) "
        "would run on the processor"
    )
    if found.fitting_context:
        remedy = f"a context of {found.fitting_context} fits (num_ctx in its parameters); or accept it: spill: true"
        return message, remedy
    return message, _smaller("no context helps: ")


def _smaller(why: str) -> str:
    return f"{why}take a smaller model or another quantisation; or accept it: spill: true"


def _tell_nothing(model: Mapping[str, Any]) -> str:
    return f"weigh it once it is there: ollama ps shows where {model['name']} runs"


def _cards(count: int) -> str:
    return "card has" if count == 1 else f"{count} cards have"


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"


def _row(
    model: Mapping[str, Any], source: str, fits: bool | None, message: str, remedy: str
) -> dict[str, Any]:
    return {"model": model["name"], "source": source, "fits": fits, "message": message, "remedy": remedy}
