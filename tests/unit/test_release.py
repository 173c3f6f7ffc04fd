"""What `ansible-galaxy collection build` packs."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# ansible-galaxy leaves these out by itself.
ALWAYS = ("__pycache__/", "*.pyc")
IGNORED = [
    line
    for line in (ROOT / ".gitignore").read_text().splitlines()
    if line and not line.startswith("#") and line not in ALWAYS
]


@pytest.mark.parametrize("made_here", IGNORED)
def test_nothing_that_was_made_here_is_released(made_here: str) -> None:
    assert made_here.rstrip("/") in yaml.safe_load((ROOT / "galaxy.yml").read_text())["build_ignore"]
