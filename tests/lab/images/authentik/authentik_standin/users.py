"""Users: passwords, groups with their parents, and who is an administrator."""

import base64
import hashlib
import hmac
import secrets

from .store import Objects, Row

GROUP = "authentik_core.group"
# Django's format, so that a hash made elsewhere (AUTHENTIK_BOOTSTRAP_PASSWORD_HASH) works.
ALGORITHM = "pbkdf2_sha256"
ITERATIONS = 100_000


def hash_password(password: str) -> str:
    salt = secrets.token_hex(11)
    return f"{ALGORITHM}${ITERATIONS}${salt}${_digest(password, salt, ITERATIONS)}"


def check_password(password: str, user: Row) -> bool:
    """False too where the user has no password, as service accounts."""
    try:
        algorithm, iterations, salt, digest = user.get("password_hash", "").split("$")
    except ValueError:
        return False
    return algorithm == ALGORITHM and hmac.compare_digest(digest, _digest(password, salt, int(iterations)))


def _digest(password: str, salt: str, iterations: int) -> str:
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), iterations)
    return base64.b64encode(digest).decode()


def all_groups(objects: Objects, user: Row) -> list[Row]:
    """The user's groups and all their parents, by name."""
    found: dict[str, Row] = {}
    todo = list(user["groups"])
    while todo:
        pk = todo.pop()
        group = objects.get(GROUP, pk)
        if group and pk not in found:
            found[pk] = group
            todo += group["parents"]
    return sorted(found.values(), key=lambda group: group["name"])


def is_superuser(objects: Objects, user: Row) -> bool:
    return any(group["is_superuser"] for group in all_groups(objects, user))


def uid(user: Row) -> str:
    """The stable, opaque name that clients get as `sub`."""
    return hashlib.sha256(f"{user['pk']}-{user['uuid']}".encode()).hexdigest()
