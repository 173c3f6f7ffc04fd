# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every encrypted value and file of an inventory under a new password; `ansible-vault rekey` takes whole files only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecret, is_encrypted

# An inline value: the header and the lines of hexadecimal digits below it, all indented alike.
_INLINE = re.compile(
    r"^(?P<indent>[ \t]+)\$ANSIBLE_VAULT;[^\n]*\n(?:(?P=indent)[0-9a-f]+(?:\n|$))+", re.MULTILINE
)


@dataclass
class Found:
    """New contents by file, how many values were and are under the new password, and what was left, by file."""

    contents: dict[Path, bytes] = field(default_factory=dict)
    turned: int = 0
    already: int = 0
    left: dict[Path, int] = field(default_factory=dict)


class Rekey:
    """From the secrets of `old` to `new`. Values under other passwords are left as they are."""

    def __init__(self, old: VaultLib, new: VaultSecret, only: str | None = None) -> None:
        self._old = VaultLib([pair for pair in old.secrets if only in (None, pair[0])])
        self._new = VaultLib([("default", new)])
        self._secret = new
        self._only = only

    def look(self, folder: Path) -> Found:
        """What each file below a folder would hold; nothing is written."""
        found = Found()
        for path in _files(folder):
            before = path.read_bytes()
            after = self._turned(path, before, found)
            if after != before:
                found.contents[path] = after
        return found

    def _turned(self, path: Path, raw: bytes, found: Found) -> bytes:
        if is_encrypted(raw):
            return self._value(path, raw.decode(), found).encode()
        if b"$ANSIBLE_VAULT;" not in raw:
            return raw

        def replaced(match: re.Match[str]) -> str:
            whole, indent = match.group(), match["indent"]
            cipher = "\n".join(line.strip() for line in whole.splitlines()) + "\n"
            turned = self._value(path, cipher, found)
            if turned == cipher:
                return whole
            lines = [f"{indent}{line}" for line in turned.splitlines()]
            return "\n".join(lines) + ("\n" if whole.endswith("\n") else "")

        return _INLINE.sub(replaced, raw.decode()).encode()

    def _value(self, path: Path, cipher: str, found: Found) -> str:
        """One value under the new password, with the vault id that it had."""
        header = cipher.split("\n", 1)[0].split(";")
        label = header[3] if len(header) == 4 else None
        if self._only is not None and (label or "default") != self._only:
            found.left[path] = found.left.get(path, 0) + 1
            return cipher
        try:
            plain = self._old.decrypt(cipher)
        except AnsibleError:
            return self._not_ours(path, cipher, found)
        turned: str = self._old.encrypt(plain, secret=self._secret, vault_id=label).decode()
        if self._new.decrypt(turned) != plain:
            raise AnsibleError(f"{path}: what was encrypted anew does not decrypt to the same")
        found.turned += 1
        return turned

    def _not_ours(self, path: Path, cipher: str, found: Found) -> str:
        try:
            self._new.decrypt(cipher)
        except AnsibleError:
            found.left[path] = found.left.get(path, 0) + 1
        else:
            found.already += 1
        return cipher


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not path.is_symlink() and not hidden:
            yield path
