# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.backup on the controller: follows what the host's backups do."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.backups import work

# Commands that leave everything as it was.
_LOOKS = ("drill",)


class ActionModule(ActionBase):
    """Fails with what hearth-backup says went wrong."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        options = self._task.args
        changed = options["arguments"][0] not in _LOOKS
        if self._task.check_mode:
            return {**result, "changed": changed}
        done = work(self, options, task_vars)
        result.update(changed=changed, said=done["said"], problems=done["problems"])
        if done["code"]:
            result.update(failed=True, msg=done["problems"] or f"hearth-backup ended with {done['code']}")
        return result
