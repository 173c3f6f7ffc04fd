"""A trusted and a compute host that save to each other, used by people, then lost one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ...e2e.conftest import LAB
from .people import People, platform_of_two


@pytest.fixture(scope="session")
def people() -> Iterator[People]:
    """The platform, deployed, with backups set up, and what a person did on it."""
    with platform_of_two(LAB / "inventories" / "backups") as found:
        yield found
