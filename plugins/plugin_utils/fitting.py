# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Weighs the models of a host's services against its cards, before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils import cards
from ..module_utils.model_weighing import Settings, weigh
from ..module_utils.ollama_modelfile import ModelfileError, definition
from ..module_utils.problems import Problem
from .on_host import run_module


def misfits(
    action: ActionBase, task_vars: dict[str, Any], service: Mapping[str, Any], look: Mapping[str, Any]
) -> tuple[list[Problem], list[str]]:
    """Models that do not fit the cards of a service, and what could not be known of others.

    A GGUF is read here, where it lies; the others on the host, in one call: where Ollama has them, else in the registry
    that it would pull from.
    """
    asked, models = service["cards"], service["models"]
    if not cards.wanted(service) or asked["context"] is None or not models:
        return [], []
    host, room = service["host"], cards.room(service, look["gpus"], look["system"]["memory"])
    settings = Settings(int(asked["context"]), int(asked["parallel"] or 1), asked["cache_type"] or "f16")
    folder = Path(task_vars.get("inventory_dir") or action._loader.get_basedir())
    models, problems = _read(models, host, asked["models"], folder)
    rows = {model["name"]: weigh(model, room, settings) for model in models if model["source"] == "gguf"}
    others = [_as_written(model) for model in models if model["source"] != "gguf"]
    if others:
        arguments = {
            "models": others,
            "cards": [f"{size // 2**20}m" for size in room],
            "context": settings.context,
            "parallel": settings.parallel,
            "cache_type": settings.cache_type,
            "directory": _directory(service, look),
        }
        answer = run_module(action, "model_fit", arguments, task_vars)
        rows.update({row["model"]: row for row in answer["models"]})
    ordered = [rows[model["name"]] for model in models]
    problems += cards.misfits(host, asked["models"], models, ordered)
    told = [f"{host} {row['model']}: {row['message']}" for row in ordered if row["fits"] is None]
    return problems, [] if problems else told


def _read(
    models: Sequence[Mapping[str, Any]], host: str, variable: str, folder: Path
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """The models with the parameters of their Modelfiles, and with absolute paths; Modelfiles that cannot be used."""
    found, problems = [], []
    for model in models:
        text = model["modelfile"]
        try:
            if text and "\n" not in text:
                text = (folder / Path(text).expanduser()).read_text(encoding="utf-8")
            parameters = definition(text, model["parameters"]).get("parameters", {})
        except (OSError, ModelfileError) as error:
            where, remedy = (
                f"{variable}: {model['name']}.modelfile",
                f"mend it; relative paths start in {folder}",
            )
            problems.append(Problem(host, where, None, str(error), remedy))
            parameters = {}
        path = str(folder / Path(model["path"]).expanduser()) if model["path"] else ""
        found.append({**model, "parameters": parameters, "modelfile": "", "path": path})
    return found, problems


def _as_written(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model as the inventory had it, as far as its weight goes."""
    return {"name": model["name"], "from": model["reference"], "parameters": dict(model["parameters"])}


def _directory(service: Mapping[str, Any], look: Mapping[str, Any]) -> str | None:
    """Where the service keeps its models on the host, a volume's directory included."""
    place = service["mounts"].get("models")
    if place is None or place.startswith("/"):
        return place
    root = look["engine"]["root"]
    return f"{root}/volumes/{place}/_data" if root else None
