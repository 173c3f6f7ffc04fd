# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets: which there are, what a good one looks like, and how a new one is made. Values never leave a caller."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ._missing import Missing
from .problems import Problem, show
from .service_spec import Secret

# What guides, examples and upstream defaults leave in files.
_PLACEHOLDERS = re.compile(
    r"change[-_ ]?(me|this)|replace[-_ ]?(me|this)|placeholder|example|your[-_ ]|^sk-1234$"
    r"|^(password|secret|admin|test|todo|none|null)$|^<.*>$|x{6,}|\*{3,}",
    re.IGNORECASE,
)
_SHORTEST = 16
_FEWEST_CHARACTERS = 6  # different ones: sixteen random hexadecimal digits have fewer once in 20 million
_TSIG_BYTES = 32  # as long as the hash of hmac-sha256
_RSA_BITS = 4096
# Made by somebody else, as a provider's key is: never generated here.
GIVEN = "given"
_PAIRS = ("ed25519", "rsa")
_BASE64 = ("base64", "tsig")
_GIVE = "put it into the vault yourself, with ansible-vault edit: somebody else makes it"
_MAKE = "ansible-playbook playbooks/secrets.yml with this inventory makes it"

# The platform's own: what hosts compare a vault with. No service reads it.
FINGERPRINT_KEY = Secret(
    name="hearth_fingerprint_key",
    kind="hex",
    length=64,
    rotate="never",
    why="Hosts remember by it which secrets they run with; another one would make them forget.",
)


def expand(secret: Secret, variables: Mapping[str, Any]) -> list[Secret]:
    """A secret for each item of its `each` list (items are {name: …} or plain names), or the secret itself."""
    if secret.each is None:
        return [secret]
    made = []
    for name in _names(secret, variables):
        proof = {**secret.prove, "user": name} if secret.prove.get("guard") else secret.prove
        made.append(replace(secret, name=secret.name.format(name=variable_part(name)), prove=proof))
    return made


def _names(secret: Secret, variables: Mapping[str, Any]) -> list[str]:
    items = (variables.get(secret.each) or []) if secret.each else []
    return [str(item.get("name") if isinstance(item, Mapping) else item) for item in items]


def check_each(host: str, secret: Secret, variables: Mapping[str, Any]) -> Iterator[Problem]:
    """Items of a secret's `each` list that have no secret of their own: they would be known by somebody else's."""
    first: dict[str, str] = {}
    for index, name in enumerate(_names(secret, variables)):
        where, variable = (
            f"{secret.each}[{index}].name",
            f"vault_{secret.name.format(name=variable_part(name))}",
        )
        if not name.strip():
            yield Problem(
                host, where, show(name), "is empty, and its secret is called by it", "give it a name"
            )
        elif variable in first:
            expected = f"would share {variable} with {first[variable]}"
            yield Problem(host, where, name, expected, "rename one of them")
        first.setdefault(variable, name)


def variable_part(name: str) -> str:
    """A name as it stands inside a variable's name: `team-a` becomes `team_a`."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def previous(name: str) -> str:
    """The inventory variable that holds a secret's old value while it is being rotated."""
    return f"vault_{name}_previous"


def generate(secret: Secret) -> str:
    """A new random value of the secret's kind; a key pair as PKCS#8 in PEM."""
    if secret.kind in _PAIRS:
        return _private_key(secret.kind)
    # Here and not above: loading it takes longer than resolving the platform, and most runs make no secret.
    try:
        from passlib import pwd
        from passlib.utils import getrandbytes, rng
    except ImportError:
        pwd = rng = getrandbytes = Missing("passlib")
    if secret.kind in _BASE64:
        size = _TSIG_BYTES if secret.kind == "tsig" else max(secret.length, _SHORTEST)
        return base64.b64encode(getrandbytes(rng, size)).decode()
    length = max(secret.length - len(secret.prefix), _SHORTEST)
    alphabet = {"chars": "0123456789abcdef"} if secret.kind == "hex" else {"charset": "ascii_62"}
    return secret.prefix + pwd.genword(length=length, rng=rng, **alphabet)


def _private_key(kind: str) -> str:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    except ImportError:
        serialization = ed25519 = rsa = Missing("cryptography")  # type: ignore[assignment]
    made = (
        ed25519.Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    )
    form = serialization.PrivateFormat.PKCS8
    encoding = serialization.Encoding.PEM
    return made.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def public_key(private: str) -> str:
    """The public half of a key pair, as a line for OpenSSH: `ssh-ed25519 AAAA…`. Raises ValueError."""
    from cryptography.hazmat.primitives import serialization

    public: Any = serialization.load_pem_private_key(private.encode(), None).public_key()
    form = serialization.PublicFormat.OpenSSH
    return public.public_bytes(serialization.Encoding.OpenSSH, form).decode()


def presented(secret: Mapping[str, Any], value: Any, site: str) -> Any:
    """What a template gets: the value, or its hash where the service needs no more (kinds bcrypt and sha512).

    The salt is made of the site and the secret's name, so that a hash is the same from run to run.
    """
    if not isinstance(value, str):
        return value
    if secret["kind"] == "bcrypt":
        from .htpasswd import bcrypt_hash

        return bcrypt_hash(secret["name"], value, site)
    if secret["kind"] == "sha512":
        from hashlib import sha256

        from passlib.hash import sha512_crypt

        salt = sha256(f"hearth.llm sha512\0{site}\0{secret['name']}".encode()).hexdigest()[:16]
        return sha512_crypt.using(salt=salt, rounds=100_000).hash(value)
    return value


def check(host: str, secret: Secret, value: Any) -> list[Problem]:
    """Whether a value may be used: there, not a placeholder, long enough, of its kind. The value is never shown."""
    variable = f"vault_{secret.name}"
    given = secret.kind == GIVEN
    if value is None or value == "":
        return [Problem(host, variable, None, "is missing", _GIVE if given else _MAKE)]
    if not isinstance(value, str):
        expected = f"must be text, is {type(value).__name__}"
        return [Problem(host, variable, "***", expected, "quote it in the vault")]
    wrong = _wrong_with(secret, value)
    return [Problem(host, variable, "***", wrong, _GIVE if given else f"remove it; {_MAKE}")] if wrong else []


def _wrong_with(secret: Secret, value: str) -> str | None:
    """Why a text may not be used; None where it may."""
    if secret.kind in _PAIRS:
        return _wrong_with_pair(secret.kind, value)
    bare = value.removeprefix(secret.prefix)
    ending = "" if bare == value and secret.prefix else bare
    rules = (
        (_PLACEHOLDERS.search(value), "is a placeholder, not a secret"),
        (
            len(value) < _SHORTEST,
            f"is too short: {len(value)} characters, expected at least {_SHORTEST}",
        ),
        (len(set(bare)) < _FEWEST_CHARACTERS, "is too regular: it has very few different characters"),
        (secret.prefix and not ending, f"must begin with {secret.prefix}"),
        (secret.kind == "hex" and not re.fullmatch(r"[0-9a-fA-F]+", bare), "must be hexadecimal"),
        (secret.kind in _BASE64 and not _is_base64(bare), "must be base64"),
        (secret.kind == "bcrypt" and len(value.encode()) > 72, "is too long: bcrypt takes 72 bytes"),
        ("\n" in value or "\0" in value, "must be one line of text"),
    )
    return next((text for broken, text in rules if broken), None)


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False


def _wrong_with_pair(kind: str, value: str) -> str | None:
    try:
        public = public_key(value)
    except (ValueError, TypeError):
        return "must be a private key in PEM without a passphrase"
    wanted = {"ed25519": "ssh-ed25519 ", "rsa": "ssh-rsa "}[kind]
    return None if public.startswith(wanted) else f"must be a key of the kind {kind}"
