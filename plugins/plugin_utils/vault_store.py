# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of an inventory that hold its secrets: where each is, and how several change at once.

Three forms, all below group_vars/all: a file with an inline `!vault` value per secret (what Hearth writes), an
operator's file that is encrypted as a whole, and an operator's sops file. Names, dates and generations stand in clear
in Hearth's own file, in the variable `hearth_secrets`.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import AnsibleVaultError, VaultLib, is_encrypted, match_encrypt_secret

from . import vault_text
from .vault_text import VAULT_TAG, TextError

METADATA = "hearth_secrets"
_HALF = ".vault-"
_HEADING = (
    "# Written by playbooks/secrets.yml and playbooks/rotate-secrets.yml; explained in docs/secrets.md.\n"
)


class Store:
    """The secrets of one inventory."""

    def __init__(self, inventory: Path, vault: VaultLib) -> None:
        self._folder = inventory / "group_vars" / "all"
        self._files = [VaultFile(path, vault) for path in _files(inventory)]
        self._vault = vault
        self._own = VaultFile(self._own_path(), vault)

    def _own_path(self) -> Path:
        """vault.yml, or a file beside it where the operator's own vault is encrypted as a whole."""
        path = self._folder / "vault.yml"
        return self._folder / "vault_hearth.yml" if VaultFile(path, self._vault).whole else path

    @property
    def target(self) -> Path:
        """The file that gets new secrets."""
        return self._target().path

    def _target(self) -> VaultFile:
        return next((file for file in self._files if file.sops), self._own)

    def place(self, variable: str) -> Path | None:
        """The file that has a variable, if one of these has it. Raises AnsibleActionFail where two have it."""
        holders = [file.path for file in self._files if variable in file.names()]
        if len(holders) > 1:
            there = " and in ".join(map(str, holders))
            raise AnsibleActionFail(f"{variable} is in {there}; remove one of them. Nothing was written")
        return holders[0] if holders else None

    def value(self, variable: str) -> str | None:
        """The value as it is on disk now, decrypted; None where no file has it."""
        file = next((file for file in self._files if variable in file.names()), None)
        return file.value(variable) if file else None

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Name → {made, generation} of the secrets that Hearth made."""
        return self._own.mapping(METADATA)

    def write(self, changes: Mapping[str, str | None], metadata: Mapping[str, Mapping[str, Any]]) -> None:
        """Give variables new values (None: remove them). Each file changes whole or not at all.

        Names and dates go first: a generation that is one too high means nothing, a value without one would be old.
        """
        per_file: dict[Path, dict[str, str | None]] = {}
        for variable, value in changes.items():
            place = self.place(variable) or self._beside(variable) or self.target
            per_file.setdefault(place, {})[variable] = value
        notes = {METADATA: {name: dict(item) for name, item in metadata.items()}}
        own_changes = per_file.pop(self._own.path, {})
        self._own.write(own_changes, notes)
        for path, values in per_file.items():
            VaultFile(path, self._vault).write(values, {})
        self._files = [VaultFile(path, self._vault) for path in _files(self._folder.parents[1])]
        self._own = VaultFile(self._own_path(), self._vault)

    def _beside(self, variable: str) -> Path | None:
        """An old value goes where the new one is."""
        return self.place(variable.removesuffix("_previous")) if variable.endswith("_previous") else None


class VaultFile:
    """One file with variables; encrypted as a whole, by sops, or value by value."""

    def __init__(self, path: Path, vault: VaultLib) -> None:
        self.path = path
        self._vault = vault
        raw = self._raw = path.read_bytes() if path.is_file() else b""
        self.whole = is_encrypted(raw)
        self.sops = path.name.endswith((".sops.yml", ".sops.yaml"))
        self._text = self._plain(raw)
        try:
            self._entries = vault_text.entries(self._text)
        except TextError as error:
            raise AnsibleActionFail(f"{path} {error}. Nothing was written") from None

    def _plain(self, raw: bytes) -> str:
        if self.whole:
            try:
                return self._vault.decrypt(raw).decode()
            except AnsibleError as error:
                remedy = "is the vault password the right one? Nothing was written"
                raise AnsibleActionFail(f"{self.path} cannot be decrypted: {remedy}") from error
        return sops(["decrypt", str(self.path)]) if self.sops else raw.decode()

    def names(self) -> list[str]:
        return list(self._entries)

    def value(self, variable: str) -> str | None:
        entry = self._entries[variable]
        if entry.tag != VAULT_TAG or entry.value is None:
            return entry.value
        try:
            return self._vault.decrypt(entry.value.strip()).decode()
        except AnsibleError as error:
            remedy = "is the vault password the right one? Nothing was written"
            raise AnsibleActionFail(f"{variable} in {self.path} cannot be decrypted: {remedy}") from error

    def mapping(self, variable: str) -> dict[str, Any]:
        """A variable with names and dates, as it stands there in clear."""
        entry = self._entries.get(variable)
        if entry is None:
            return {}
        lines = self._text.splitlines()[entry.begin : entry.end]
        found = yaml.safe_load("\n".join(lines))[variable]
        return {str(name): dict(item) for name, item in (found or {}).items()}

    def write(self, values: Mapping[str, str | None], notes: Mapping[str, Any]) -> None:
        """Raises AnsibleActionFail where another run has written to the file since it was read."""
        with _alone_in(self.path.parent):
            if (self.path.read_bytes() if self.path.is_file() else b"") != self._raw:
                remedy = "another run, or somebody. Nothing was written; run it again"
                raise AnsibleActionFail(f"{self.path} was changed while this run used it, by {remedy}")
            self._write(values, notes)

    def _write(self, values: Mapping[str, str | None], notes: Mapping[str, Any]) -> None:
        if self.sops:
            self._write_sops(values)
            return
        text = self._text or f"---\n{_HEADING}"
        for name, note in notes.items():
            text = vault_text.put(text, name, vault_text.plain_block(name, note))
        for variable, value in values.items():
            if value is None:
                text = vault_text.drop(text, variable)
                continue
            after = variable.removesuffix("_previous") if variable.endswith("_previous") else None
            block = vault_text.plain_block(variable, value) if self.whole else self._block(variable, value)
            text = vault_text.put(text, variable, block, after)
        if text != self._text:
            replace_whole(self.path, self._encrypt(text).encode() if self.whole else text.encode())

    def _block(self, variable: str, value: str) -> str:
        return vault_text.vault_block(variable, self._encrypt(value))

    def _encrypt(self, text: str) -> str:
        """Encrypted under the vault id that the file uses already, else the one that Ansible was told to use."""
        if not self._vault.secrets:
            remedy = "give one with --vault-password-file, --vault-id or --ask-vault-pass"
            raise AnsibleActionFail(f"There is no vault password to keep secrets with; {remedy}")
        labels = list(self._labels())
        known = [label for label, _secret in self._vault.secrets or ()]
        wanted = next((label for label in labels if label in known), None)
        try:
            label, secret = match_encrypt_secret(
                self._vault.secrets, encrypt_vault_id=wanted or C.DEFAULT_VAULT_ENCRYPT_IDENTITY
            )
            return self._vault.encrypt(text, secret=secret, vault_id=label).decode()
        except (AnsibleVaultError, AnsibleError) as error:
            raise AnsibleActionFail(f"The vault could not encrypt: {error}") from error

    def _labels(self) -> Iterator[str]:
        """The vault ids in the headers of what is there."""
        texts = [entry.value or "" for entry in self._entries.values() if entry.tag == VAULT_TAG]
        if self.whole:
            texts = [self.path.read_text(encoding="utf-8")]
        for text in texts:
            header = text.split("\n", 1)[0].strip().split(";")
            if len(header) == 4:
                yield header[3]

    def _write_sops(self, values: Mapping[str, str | None]) -> None:
        """On a copy, which then takes the file's place; values go by standard input."""
        handle, half = tempfile.mkstemp(dir=self.path.parent, prefix=_HALF, suffix=self.path.suffix)
        os.write(handle, self.path.read_bytes())
        os.close(handle)
        try:
            for variable, value in values.items():
                where = f'["{variable}"]'
                if value is not None:
                    sops(["set", "--value-stdin", half, where], json.dumps(value))
                elif variable in self._entries:
                    sops(["unset", half, where])
            replace_whole(self.path, Path(half).read_bytes())
        finally:
            Path(half).unlink(missing_ok=True)


def sops(arguments: list[str], given: str = "") -> str:
    """What sops answers. Raises AnsibleActionFail."""
    try:
        done = subprocess.run(["sops", *arguments], input=given, text=True, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise AnsibleActionFail("The inventory has a sops file, and the program sops is not there") from error
    if done.returncode:
        raise AnsibleActionFail(f"sops {arguments[0]} failed: {done.stderr.strip()}. Nothing was written")
    return done.stdout


def _files(inventory: Path) -> list[Path]:
    """The files that Ansible reads for the group `all` of this inventory."""
    folder = inventory / "group_vars"
    found = [folder / "all.yml", folder / "all.yaml", folder / "all"]
    if (folder / "all").is_dir():
        found += sorted(path for path in (folder / "all").rglob("*") if path.suffix in (".yml", ".yaml", ""))
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One run at a time changes the files of a folder; it ends with the process at the latest."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file, whole or not at all, and clear away what a killed run left half written."""
    for left in path.parent.glob(f"{_HALF}*"):
        left.unlink(missing_ok=True)
    handle, half = tempfile.mkstemp(dir=path.parent, prefix=_HALF)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), mode)
        stream.flush()
        os.fsync(stream.fileno())
    Path(half).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
