# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that survive a power cut: written whole or not at all, and the part of a stack's directory that is ours.

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Ends in none of the suffixes that services watch their configuration directories for (.yml, .toml, .conf, ...).
TEMPORARY = ".hearth~"


@dataclass(frozen=True)
class FileFacts:
    """A file of a stack as it lies there: sha256 in hexadecimal, mode as octal text ("0644"), owner as "uid:gid"."""

    sha256: str
    mode: str
    owner: str


def write_whole(path: str, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replace `path` by rename, so that a reader or a crash sees the old bytes or the new ones, nothing between."""
    settle(write_half(path, data, mode, owner), path)


def write_half(path: str, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> str:
    """Write what `path` is to be beside it, safe on the disk; returns that file's path, for `settle`."""
    folder, name = os.path.split(path)
    half = os.path.join(folder, f".{name.lstrip('.')}{TEMPORARY}")
    if os.path.lexists(half):
        os.unlink(half)
    handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        if owner and owner != (os.geteuid(), os.getegid()):
            give(file.fileno(), owner, path)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    return half


def settle(half: str, path: str) -> None:
    """Put what `write_half` wrote in its place."""
    os.replace(half, path)
    sync_folder(os.path.dirname(path))


def give(target: int | str, owner: tuple[int, int], path: str) -> None:
    """Make a file (its path or handle) belong to an account. Raises OSError with the remedy where that needs root."""
    try:
        os.chown(target, *owner)
    except PermissionError as error:
        reason = f"{path} has to belong to {owner[0]}:{owner[1]}, and only root can give files away"
        raise OSError(f"{reason}; connect as root, or set ansible_become: true") from error


def write_json(path: str, value: Any) -> None:
    write_whole(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")


def read_json(path: str) -> Any:
    """The parsed file, or None where it is missing or no JSON."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def append_line(path: str, value: Any) -> None:
    """Add one JSON line and have it on the disk before returning."""
    new = not os.path.exists(path)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, json.dumps(value, ensure_ascii=False).encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
    if new:
        sync_folder(os.path.dirname(path))


def read_lines(path: str) -> list[dict[str, Any]]:
    """The JSON lines of a file; a last line that a crash cut short is left out."""
    found = []
    try:
        with open(path, "rb") as file:
            for line in file:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    break
    except OSError:
        pass
    return found


def sync_folder(path: str) -> None:
    handle = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def try_lock(path: str, shared: bool = False) -> int | None:
    """Take the lock file's lock and return its handle, or None while someone else holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def is_ours(path: str) -> bool:
    """Whether a path below a stack's directory belongs to Hearth (docs/architecture.md)."""
    if os.path.isabs(path) or path != os.path.normpath(path) or path.endswith(TEMPORARY):
        return False
    top, _slash, rest = path.partition("/")
    if rest:
        return top in ("config", "secrets")
    return path == "compose.yaml" or (path.startswith(".env.") and len(path) > len(".env."))


def our_paths(stack_dir: str) -> Iterator[str]:
    """The paths, relative to the stack's directory, of the regular files that are ours, sorted."""
    found = []
    if not os.path.isdir(stack_dir):
        return
    for name in os.listdir(stack_dir):
        full = os.path.join(stack_dir, name)
        if is_ours(name) and os.path.isfile(full):
            found.append(name)
        elif name in ("config", "secrets") and not os.path.islink(full):
            for folder, _folders, files in os.walk(full):
                found += [os.path.relpath(os.path.join(folder, file), stack_dir) for file in files]
    yield from sorted(path for path in found if is_ours(path))


def leftovers(stack_dir: str) -> Iterator[str]:
    """Full paths of the halves that a crash left below a stack's directory."""
    for top in (".", "config", "secrets"):
        for folder, folders, files in os.walk(os.path.join(stack_dir, top)):
            if top == ".":
                folders.clear()
            yield from (os.path.join(folder, file) for file in files if file.endswith(TEMPORARY))


def facts(path: str) -> FileFacts:
    """Hash, mode and owner of one file. Raises OSError."""
    with open(path, "rb") as file:
        info = os.fstat(file.fileno())
        digest = hashlib.sha256(file.read()).hexdigest()
    return FileFacts(digest, f"{stat.S_IMODE(info.st_mode):04o}", f"{info.st_uid}:{info.st_gid}")


def look_at_files(stack_dir: str) -> dict[str, FileFacts]:
    """Every file of a stack that is ours, by its path relative to the stack's directory."""
    found = {}
    for path in our_paths(stack_dir):
        try:
            found[path] = facts(os.path.join(stack_dir, path))
        except OSError:  # gone, or not ours to read: either way not as it should be
            found[path] = FileFacts("", "", "")
    return found


def ids(owner: str) -> tuple[int, int]:
    """(uid, gid) of "uid:gid". Raises ValueError.

    "0:0" is the account that the engine runs as: root on a host, the operator on a machine of their own.
    """
    uid, _colon, gid = owner.partition(":")
    found = int(uid), int(gid or uid)
    return (os.geteuid(), os.getegid()) if found == (0, 0) else found
