# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts a stack's files where they belong, and the previous ones back.

A `listing` is what both need: [{path, mode, owner}], with the contents below a source directory.
Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._durable import (
    FileFacts,
    facts,
    give,
    ids,
    is_ours,
    leftovers,
    look_at_files,
    our_paths,
    settle,
    sync_folder,
    write_half,
    write_whole,
)

Listing = Sequence[Mapping[str, Any]]


def stage(files: Iterable[Mapping[str, Any]], target: str) -> None:
    """Write a plan's files (with base64 `content`) below `target`. Raises ValueError for a path that is not ours."""
    for file in files:
        if not is_ours(file["path"]):
            raise ValueError(
                f"{file['path']}: a stack's files are compose.yaml, .env.*, config/ and secrets/"
            )
        half = _write_half(target, file, base64.b64decode(file["content"]))
        settle(half, os.path.join(target, file["path"]))


def wanted_facts(files: Iterable[Mapping[str, Any]], staged: str) -> dict[str, FileFacts]:
    """Hash, mode and owner that each file of a listing should have."""
    return {
        file["path"]: FileFacts(
            facts(os.path.join(staged, file["path"])).sha256,
            f"{int(file['mode'], 8):04o}",
            "{}:{}".format(*ids(file["owner"])),
        )
        for file in files
    }


def changes(wanted: Mapping[str, FileFacts], found: Mapping[str, FileFacts]) -> list[str]:
    """The paths that are to be written or removed, sorted."""
    return sorted(path for path in {*wanted, *found} if wanted.get(path) != found.get(path))


def keep(stack_dir: str, target: str) -> list[dict[str, str]]:
    """Copy the files that are there below `target`; returns their listing."""
    listing = []
    for path in our_paths(stack_dir):
        info = facts(os.path.join(stack_dir, path))
        listing.append({"path": path, "mode": info.mode, "owner": info.owner})
        with open(os.path.join(stack_dir, path), "rb") as file:
            content = file.read()
        copy = os.path.join(target, path)
        os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
        write_whole(copy, content, 0o600)
    return listing


def place(listing: Listing, source: str, stack_dir: str) -> None:
    """Make the stack's directory hold exactly these files; what already does is not touched, directories stay."""
    os.makedirs(stack_dir, mode=0o755, exist_ok=True)
    for half in list(leftovers(stack_dir)):
        os.unlink(half)
    found = look_at_files(stack_dir)
    wanted = wanted_facts(listing, source)
    halves = []
    # All are written before the first takes its place: a disk that is full replaces nothing.
    for file in listing:
        if found.get(file["path"]) != wanted[file["path"]]:
            with open(os.path.join(source, file["path"]), "rb") as content:
                halves.append((_write_half(stack_dir, file, content.read()), file["path"]))
    for half, path in halves:
        settle(half, os.path.join(stack_dir, path))
    for path in set(found) - set(wanted):
        os.unlink(os.path.join(stack_dir, path))
        sync_folder(os.path.dirname(os.path.join(stack_dir, path)))


def remove(stack_dir: str) -> None:
    """Take away all files that are ours, and the directories that this leaves empty."""
    place([], stack_dir, stack_dir)
    for top in (os.path.join(stack_dir, "config"), os.path.join(stack_dir, "secrets")):
        for folder, _folders, _files in os.walk(top, topdown=False):
            _remove_if_empty(folder)
    _remove_if_empty(stack_dir)


def make_directories(directories: Iterable[Mapping[str, str]]) -> list[str]:
    """Create data directories, or give them the owner and mode they should have; returns those that it touched."""
    touched = []
    for item in directories:
        path, mode, owner = item["path"], int(item["mode"], 8), ids(item["owner"])
        missing = not os.path.isdir(path)
        os.makedirs(path, mode=0o755, exist_ok=True)
        info = os.stat(path)
        if (info.st_uid, info.st_gid) != owner:
            give(path, owner, path)
        if stat.S_IMODE(os.stat(path).st_mode) != mode:
            os.chmod(path, mode)
        if missing or (info.st_uid, info.st_gid) != owner or stat.S_IMODE(info.st_mode) != mode:
            touched.append(path)
    return touched


def contents(folder: str) -> dict[str, bytes]:
    """The stack files below a directory, by path; what cannot be read is left out."""
    found = {}
    for path in our_paths(folder):
        try:
            with open(os.path.join(folder, path), "rb") as file:
                found[path] = file.read()
        except OSError:
            continue
    return found


def _write_half(target: str, file: Mapping[str, Any], content: bytes) -> str:
    owner = ids(file["owner"])
    _make_parents(target, file["path"], owner)
    return write_half(os.path.join(target, file["path"]), content, int(file["mode"], 8), owner)


def _make_parents(target: str, path: str, owner: tuple[int, int]) -> None:
    """Make the directories above a file: secrets/ for its files' owner alone, the others for everybody to enter."""
    os.makedirs(target, mode=0o755, exist_ok=True)
    folder = target
    secret = path.startswith("secrets/")
    for part in path.split("/")[:-1]:
        folder = os.path.join(folder, part)
        if not os.path.isdir(folder):
            os.mkdir(folder)
            os.chmod(folder, 0o700 if secret else 0o755)
        if secret:
            info = os.stat(folder)
            if (info.st_uid, info.st_gid) != owner:
                give(folder, owner, folder)


def _remove_if_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        return
