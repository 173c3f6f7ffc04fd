# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings models to an Ollama: the work behind hearth.llm.ollama_model, run as a job of its own on the host.

A model that cannot be had is reported and the next one tried. What served before serves on: Ollama replaces a model
only once the new one is complete, and one whose digest turns out wrong is put back from a copy made before.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .jobs import Journal
from .models import canonical
from .ollama import (
    Client,
    OllamaError,
    free_bytes,
    is_transient,
    missing_bytes,
    registry_layers,
    remedy,
)

_TRIES = 3
_KEPT = "hearth-previous/"


@dataclass
class Work:
    """Everything that a run of steps needs.

    wanted: models by name. files: where on this host the GGUF of a sha256 lies; each is removed once Ollama has it.
    models_dir: the directory behind the container's /root/.ollama, None where unknown. pause: seconds between tries.
    """

    client: Client
    wanted: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, str]
    models_dir: str | None
    journal: Journal
    pause: float = 5.0
    layers: Callable[[str], dict[str, int] | None] = registry_layers
    done: dict[str, list[str]] = field(default_factory=lambda: {"pulled": [], "created": [], "removed": []})

    def run(self, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Do the steps; returns {changed, pulled, created, removed, refused: [{model, message, remedy}], seconds}."""
        begun = time.monotonic()
        refused = []
        for step in steps:
            model = self.wanted[step["model"]]
            try:
                for verb in step["do"]:
                    getattr(self, f"_{verb}")(model)
            except OllamaError as error:
                message = str(error)
                refused.append({"model": model["name"], "message": message, "remedy": remedy(message)})
                self.journal.say(f"{model['name']}: {message}", "failed")
        for path in self.files.values():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        changed = any(self.done.values())
        return {
            "changed": changed,
            **self.done,
            "refused": refused,
            "seconds": round(time.monotonic() - begun, 1),
        }

    def _delete(self, model: Mapping[str, Any]) -> None:
        self.client.delete(model["name"])
        self.done["removed"].append(model["name"])
        self.journal.say(f"{model['name']} removed", "removed")

    def _pull(self, model: Mapping[str, Any]) -> None:
        begun = time.monotonic()
        layers = self.layers(model["reference"])
        if layers is not None:
            self._room(missing_bytes(layers, self.client.has_blob, self.models_dir))
        kept = self._keep(model)
        try:
            amounts = self._pull_patiently(model, layers)
        except OllamaError:
            if kept is not None:
                with contextlib.suppress(OllamaError):
                    self._put_back(model, kept)
            raise
        self._prove(model, kept)
        self.done["pulled"].append(model["name"])
        size = sum((layers or amounts).values())
        took = time.monotonic() - begun
        self.journal.say(f"{model['name']} pulled, {size / 1e6:,.1f} MB in {took:.0f} s", "pulled")

    def _pull_patiently(self, model: Mapping[str, Any], layers: Mapping[str, int] | None) -> dict[str, int]:
        """Pull, and take it up again where it broke off for a reason that may pass; returns bytes by layer."""
        for left in range(_TRIES - 1, -1, -1):
            try:
                return self._pull_once(model, layers)
            except OllamaError as error:
                if not left or not is_transient(str(error)):
                    raise
                self.journal.say(
                    f"{model['name']}: {error}; taking it up again in {self.pause:.0f} s", "retry"
                )
                time.sleep(self.pause)
        raise AssertionError("unreachable")

    def _pull_once(self, model: Mapping[str, Any], layers: Mapping[str, int] | None) -> dict[str, int]:
        totals, arrived = dict(layers or {}), {}
        for item in self.client.pull(model["reference"], model["reference"].startswith("http://")):
            layer = str(item.get("digest", "")).removeprefix("sha256:")
            if layer and item.get("total"):
                totals.setdefault(layer, item["total"])
                arrived[layer] = item.get("completed", 0)
                self.journal.amount(model["name"], sum(arrived.values()), sum(totals.values()))
        return totals

    def _keep(self, model: Mapping[str, Any]) -> str | None:
        """Where a digest is wanted, a copy under another name of what the pull would replace; its name, if any.

        A copy for the same digest is from a run that was killed: what it pulled would have been refused, and the older
        one is the good one. A copy for another digest is older than what has served since.
        """
        name = canonical(model["reference"])
        installed = self.client.installed()
        if not model["digest"] or name.lower() not in installed:
            return None
        # A name of its own would be too long for some: Ollama takes 80 characters.
        copies = f"{_KEPT}{hashlib.sha256(name.lower().encode()).hexdigest()[:12]}:"
        kept = copies + model["digest"][:12]
        for copy in installed:
            if copy.startswith(copies) and copy != kept:
                self.client.delete(copy)
        if kept not in installed:
            self.client.copy(name, kept)
        return kept

    def _put_back(self, model: Mapping[str, Any], kept: str) -> None:
        """What the copy holds under the model's own name, unless it is still there; the copy goes."""
        name, installed = canonical(model["reference"]), self.client.installed()
        if installed.get(name.lower()) != installed.get(kept):
            self.client.copy(kept, name)
        self.client.delete(kept)

    def _prove(self, model: Mapping[str, Any], kept: str | None) -> None:
        """Compare what arrived with the digest; what has another one is taken away again."""
        name, wanted = canonical(model["reference"]), model["digest"]
        arrived = self.client.installed().get(name.lower(), "")
        right = arrived.startswith(wanted)
        if kept is not None and right:
            self.client.delete(kept)
        elif kept is not None:
            self._put_back(model, kept)
        elif not right:
            self.client.delete(name)
        if not right:
            raise OllamaError(f"the registry sent {arrived[:12]}, wanted {wanted[:12]}")

    def _copy(self, model: Mapping[str, Any]) -> None:
        self.client.copy(canonical(model["reference"]), model["name"])
        self._made(model)

    def _create(self, model: Mapping[str, Any]) -> None:
        if model["source"] == "gguf":
            self._bring(model)
            source: dict[str, Any] = {"files": {"model.gguf": f"sha256:{model['blob']}"}}
        else:
            base = canonical(model["reference"])
            if base.lower() not in self.client.installed():  # Ollama would pull it, from wherever
                raise OllamaError(f"its base {base} is not there")
            source = {"from": base}
        for _item in self.client.create(model["name"], source, model["definition"]):
            pass
        self._made(model)

    def _made(self, model: Mapping[str, Any]) -> None:
        if model["name"] not in self.done["pulled"]:
            self.done["created"].append(model["name"])
        self.journal.say(f"{model['name']} created", "created")

    def _bring(self, model: Mapping[str, Any]) -> None:
        """See to it that Ollama has the GGUF."""
        blob = model["blob"]
        if self.client.has_blob(blob):
            return
        self._room(model["size"])
        if blob not in self.files:
            free = free_bytes(self.models_dir) or 0
            raise OllamaError(
                f"its file of {model['size'] / 1e9:.1f} GB was not sent: it can be here twice while Ollama takes it "
                f"in, {free / 1e9:.1f} GB free in {self.models_dir}"
            )
        self.client.upload(
            blob, self.files[blob], lambda done: self.journal.amount(model["name"], done, model["size"])
        )

    def _room(self, needed: int) -> None:
        free = free_bytes(self.models_dir)
        if free is not None and needed > free:
            raise OllamaError(
                f"needs {needed / 1e9:.1f} GB more, {free / 1e9:.1f} GB free in {self.models_dir}"
            )
