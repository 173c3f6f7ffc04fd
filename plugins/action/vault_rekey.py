# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put every encrypted value of the inventory under a new vault password. Answers on the controller."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import get_file_vault_secret
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils.vault_rekey import Rekey
from ..plugin_utils.vault_store import replace_whole

_OPTIONS = {"new_password_file": {"type": "path", "required": True}, "vault_id": {"type": "str"}}


class ActionModule(ActionBase):
    """hearth.llm.vault_rekey"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=_OPTIONS)
        folder = Path(task_vars.get("inventory_dir") or ".")
        old = self._loader._vault
        if not old.secrets:
            raise AnsibleActionFail("Give the present password with --vault-password-file or --vault-id")
        try:
            new = get_file_vault_secret(arguments["new_password_file"], loader=self._loader)
            new.load()
        except AnsibleError as error:
            raise AnsibleActionFail(f"The new password cannot be read: {error}") from error
        if not self._task.check_mode and all(new.bytes == secret.bytes for _label, secret in old.secrets):
            raise AnsibleActionFail("The new password is the present one; nothing was changed")
        found = Rekey(old, new, arguments["vault_id"]).look(folder)
        if not found.turned and not found.already:
            raise AnsibleActionFail(
                f"None of the encrypted values below {folder} belongs to this password; nothing was changed"
            )
        if not self._task.check_mode:
            for path, content in found.contents.items():
                replace_whole(path, content, stat.S_IMODE(path.stat().st_mode))
        word = "would be" if self._task.check_mode else "are now"
        lines = [f" {found.turned} values in {len(found.contents)} files {word} under the new password"]
        lines += [f" {found.already} were already"] if found.already else []
        lines += [f" left under other passwords: {n} in {path}" for path, n in found.left.items()]
        Display().display("\n".join(lines) + "\n")
        return {**result, "changed": bool(found.contents), "msg": lines[0].strip()}
