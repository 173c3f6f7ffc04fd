"""What the tests of the lab share: an engine with the images that the lab built."""

from __future__ import annotations

import docker
import pytest
import yaml

from . import engine
from .paths import state


@pytest.fixture(scope="session")
def client() -> docker.DockerClient:
    """The engine. Skips only where the registries answer: upstream's own images are used there, and none is built."""
    if not engine.answers() or not state("images.yml").exists():
        pytest.fail("there is no lab: python -m tests.lab engine, then python -m tests.lab images")
    if "image_mirror" not in yaml.safe_load(state("images.yml").read_text()):
        pytest.skip("upstream's own images are used here: the lab has built none")
    return engine.client()
