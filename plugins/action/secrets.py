# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the secrets that the inventory's vault lacks. Answers on the controller; shows names, never values."""

from __future__ import annotations

import os
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.parsing.vault import AnsibleVaultError, VaultLib, is_encrypted
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import catalogue
from ..module_utils.secrets import generate
from ..module_utils.service_spec import Secret
from ..plugin_utils import platform_run

_FOLDER = Path("group_vars") / "all"


class ActionModule(ActionBase):
    """hearth.llm.secrets"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        if not task_vars.get("inventory_dir"):
            raise AnsibleActionFail(
                "The inventory is not a file or a folder, so there is no place for its vault"
            )
        platform, hosts = platform_run.resolve(task_vars)
        unreadable = sorted({name for host in hosts for name in host.broken if name.startswith("vault_")})
        if unreadable:
            remedy = "is the vault password the right one? Nothing was written"
            raise AnsibleActionFail(f"{', '.join(unreadable)} cannot be decrypted: {remedy}")
        there = {name: value for host in hosts for name, value in host.variables.items()}
        missing = catalogue.missing_secrets(platform, there)
        file = vault_file(Path(task_vars["inventory_dir"]) / _FOLDER)
        rows = [
            {"name": f"vault_{name}", "rotate": secret.rotate, "made": secret in missing}
            for name, secret in platform.secrets.items()
        ]
        if missing and not self._task.check_mode:
            append(file, "".join(self._entry(secret) for secret in missing))
        names = ", ".join(f"vault_{secret.name}" for secret in missing)
        made = "would make" if self._task.check_mode else "made"
        said = f"{made} {names} in {file}" if missing else "every secret is there"
        Display().display(f" {said}")
        return {**result, "changed": bool(missing), "msg": said, "secrets": rows}

    def _entry(self, secret: Secret) -> str:
        """A vault variable with a line on what it is, as a person would write it with ansible-vault encrypt_string."""
        vault: VaultLib = self._loader._vault
        if not vault.secrets:
            remedy = "give one with --vault-password-file or --ask-vault-pass"
            raise AnsibleActionFail(f"There is no vault password to keep secrets with; {remedy}")
        try:
            cipher = vault.encrypt(generate(secret)).decode()
        except AnsibleVaultError as error:
            raise AnsibleActionFail(f"The vault could not encrypt: {error}") from error
        body = "".join(f"  {line}\n" for line in cipher.splitlines())
        why = f" ({secret.why})" if secret.why else ""
        note = f"# made {date.today().isoformat()} · rotate: {secret.rotate}{why}"
        return f"{note}\nvault_{secret.name}: !vault |\n{body}"


def vault_file(folder: Path) -> Path:
    """vault.yml, or a file beside it where the operator's own vault is encrypted as a whole."""
    file = folder / "vault.yml"
    if file.is_file() and is_encrypted(file.read_bytes()):
        return folder / "vault_hearth.yml"
    return file


def append(file: Path, text: str) -> None:
    """Add text to a file of mode 0600, whole or not at all; what is there stays byte for byte."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text(encoding="utf-8") if file.is_file() else "---\n"
    if before and not before.endswith("\n"):
        before += "\n"
    handle, half = tempfile.mkstemp(dir=file.parent, prefix=".vault-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(before + text)
        stream.flush()
        os.fsync(stream.fileno())
    Path(half).replace(file)
