"""The READMEs' tables say what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "meta").is_dir())


def test_the_variable_tables_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_readme_with_a_table_of_its_variables(role: str) -> None:
    text = (ROOT / "roles" / role / "README.md").read_text()
    assert "<!-- variables -->\n| variable |" in text
    assert "<!-- /variables -->" in text
