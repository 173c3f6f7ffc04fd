# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Repeat the proof as a run's very last line, below Ansible's own recap."""

from __future__ import annotations

DOCUMENTATION = r"""
name: proof
type: notification
short_description: Print Hearth's proof as the last line of a run
version_added: 0.1.0
description:
  - Repeats, below the recap, the line that says which model answered through which address.
  - Prints nothing for playbooks that prove nothing.
requirements:
  - enabled by C(callbacks_enabled = hearth.llm.proof)
"""

from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """hearth.llm.proof"""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "hearth.llm.proof"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def v2_runner_on_ok(self, result: Any) -> None:
        lines = (
            result.result.get("hearth_proof")
            if hasattr(result, "result")
            else result._result.get("hearth_proof")
        )
        if lines:
            self._lines = list(lines)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        for line in self._lines:
            self._display.display(line)
