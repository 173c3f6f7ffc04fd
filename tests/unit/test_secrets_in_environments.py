"""What Docker's inspection reveals of secrets is what docs/trust-zones.md says, and no more."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT.glob("roles/*/templates/env.*.j2")


def test_every_secret_in_an_environment_is_listed_with_what_it_opens() -> None:
    text = "\n".join(path.read_text() for path in ENVIRONMENTS)
    # secrets[…] is a client secret of the sign-on, under the application's own name.
    found = set(re.findall(r"\bsecrets\.(\w+)", text)) | set(
        re.findall(r"secret: (\w+_oidc_secret)", _services())
    )
    table = (
        (ROOT / "docs" / "trust-zones.md").read_text().partition("| secret | of |")[2].partition("\n\n")[0]
    )
    assert found == {
        name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }


def _services() -> str:
    return "\n".join(path.read_text() for path in ROOT.glob("roles/*/service.yml"))
