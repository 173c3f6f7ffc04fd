"""Models that somebody pulled or made by hand are saved without the weights that can be pulled, and come back."""

from __future__ import annotations

import json

import pytest

from .people import MODEL_MADE, MODEL_PULLED, MODELS, People

pytestmark = pytest.mark.lab

MANIFESTS = "/srv/docker/ollama/models/models/manifests"


def weights(people: People, path: str) -> str:
    """The file of a model's weights."""
    manifest = json.loads(people.ssh("gpu-1", f"cat {MANIFESTS}/{path}"))
    (digest,) = (item["digest"] for item in manifest["layers"] if item["mediaType"].endswith(".model"))
    return digest.replace(":", "-")


def test_models_are_saved_without_what_can_be_pulled_and_come_back_beside_those_that_are_there(
    people: People,
) -> None:
    people.brings_models()
    pulled = weights(people, MODEL_PULLED.replace("tiny:", "tiny/"))
    made = weights(people, "registry.ollama.ai/library/heron/latest")
    people.play("backup").succeeded()
    saved = people.ssh("gpu-1", "hearth-backup restic edge ls latest --tag service=ollama")
    assert pulled not in saved
    assert made in saved

    people.ssh("gpu-1", f"docker exec ollama ollama rm {MODEL_PULLED} tiny {MODEL_MADE}")
    assert people.models() == {"embedding:latest"}
    people.play("restore", "-e", "service=ollama", "-e", "confirm=ollama").succeeded()
    assert people.models() == MODELS
    assert people.completes(people.vault("litellm_client_team")) == 200

    drill = people.ssh("gpu-1", "hearth-backup drill ollama 2>&1")
    assert "ollama: found what was noted when it was saved" in drill
