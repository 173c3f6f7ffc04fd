# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""htpasswd files that come out the same every time they are rendered."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

try:
    import bcrypt
except ImportError:  # said when it is needed: most platforms have no such users
    bcrypt = None  # type: ignore[assignment]

_LONGEST = 72  # bytes; bcrypt ignores the rest
# Traefik computes the hash on each request: 50 ms. What Hearth generates is beyond guessing anyway.
_COST = 10
_BCRYPT = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
)


def htpasswd(passwords: Mapping[str, str], site: str) -> str:
    """The file's text: a line `name:bcrypt hash` for each user, in order of names.

    passwords: user → password; site: what tells this platform from others, such as its domain. The salt is made of site
    and name: unique among users, the same from run to run, and silent about the password (a fast hash of the password
    as salt would be a shortcut for guessing). Raises ValueError, without the password, and ImportError.
    """
    return "".join(f"{name}:{bcrypt_hash(name, passwords[name], site)}\n" for name in sorted(passwords))


def bcrypt_hash(name: str, password: str, site: str) -> str:
    """One user's hash, the same every time."""
    if bcrypt is None:
        raise ImportError("htpasswd needs the Python package bcrypt where Ansible runs: pip install bcrypt")
    if not name or ":" in name or not name.isprintable():
        raise ValueError(f"user {name!r}: expected a name without `:` and line breaks")
    secret = password.encode()
    if not secret or len(secret) > _LONGEST or b"\0" in secret:
        raise ValueError(
            f"the password of {name} has {len(secret)} bytes; expected 1 to {_LONGEST}, without NUL"
        )
    digest = hashlib.sha256(f"hearth.llm htpasswd\0{site}\0{name}".encode()).digest()[:16]
    salt = base64.b64encode(digest).decode().rstrip("=").translate(_BCRYPT)
    return bcrypt.hashpw(secret, f"$2b${_COST:02d}${salt}".encode()).decode()
