# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets: which there are, what a good one looks like, and how a new one is made. Values never leave a caller."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ._missing import Missing
from .problems import Problem
from .service_spec import Secret

# What guides, examples and upstream defaults leave in files.
_PLACEHOLDERS = re.compile(
    r"change[-_ ]?(me|this)|replace[-_ ]?(me|this)|placeholder|example|your[-_ ]|^sk-1234$"
    r"|^(password|secret|admin|test|todo|none|null)$|^<.*>$|x{6,}|\*{3,}",
    re.IGNORECASE,
)
_SHORTEST = 16
_ALPHABETS = {"hex": "0123456789abcdef"}
KINDS = ("password", "key", "hex")


def expand(secret: Secret, variables: Mapping[str, Any]) -> list[Secret]:
    """A secret for each item of its `each` list (items are {name: …} or plain names), or the secret itself."""
    if secret.each is None:
        return [secret]
    made = []
    for item in variables.get(secret.each) or []:
        name = item.get("name") if isinstance(item, Mapping) else item
        made.append(Secret(**{**secret.__dict__, "name": secret.name.format(name=variable_part(str(name)))}))
    return made


def variable_part(name: str) -> str:
    """A name as it stands inside a variable's name: `team-a` becomes `team_a`."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def generate(secret: Secret) -> str:
    """A new random value of the secret's kind and length (characters, prefix included), from passlib's generator."""
    # Here and not above: loading it takes longer than resolving the platform, and most runs make no secret.
    try:
        from passlib import pwd
        from passlib.utils import rng
    except ImportError:
        pwd = rng = Missing("passlib")
    length = max(secret.length - len(secret.prefix), _SHORTEST)
    if secret.kind in _ALPHABETS:
        return secret.prefix + pwd.genword(length=length, chars=_ALPHABETS[secret.kind], rng=rng)
    return secret.prefix + pwd.genword(length=length, charset="ascii_62", rng=rng)


def check(host: str, secret: Secret, value: Any) -> list[Problem]:
    """Whether a value may be used: there, not a placeholder, long enough, of its kind. The value is never shown."""
    variable = f"vault_{secret.name}"
    make = "ansible-playbook playbooks/secrets.yml with this inventory makes it"
    if value is None or value == "":
        return [Problem(host, variable, None, "is missing", make)]
    if not isinstance(value, str):
        return [
            Problem(
                host, variable, "***", f"must be text, is {type(value).__name__}", "quote it in the vault"
            )
        ]
    if _PLACEHOLDERS.search(value):
        return [Problem(host, variable, "***", "is a placeholder, not a secret", f"remove it; {make}")]
    if len(value) < _SHORTEST:
        expected = f"is too short: {len(value)} characters, expected at least {_SHORTEST}"
        return [Problem(host, variable, "***", expected, f"remove it; {make}")]
    if not value.startswith(secret.prefix):
        return [Problem(host, variable, "***", f"must begin with {secret.prefix}", f"remove it; {make}")]
    if secret.kind == "hex" and not re.fullmatch(r"[0-9a-fA-F]+", value.removeprefix(secret.prefix)):
        return [Problem(host, variable, "***", "must be hexadecimal", f"remove it; {make}")]
    if "\n" in value or "\0" in value:
        return [Problem(host, variable, "***", "must be one line of text", f"remove it; {make}")]
    return []
