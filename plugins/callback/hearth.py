# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run as a person reads it: what changed, what failed, the closing report, and the proof as the last line."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hearth
type: stdout
short_description: Show a run of Hearth without what stayed the same
version_added: 0.1.0
description:
  - A line for each change, failures in full, and nothing for what was right already.
  - Repeats, below the recap, the line that says which model answered through which address.
  - With C(-v) and more it shows everything, as the default callback does.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout_callback in the configuration
"""

from typing import Any

from ansible import constants as C
from ansible.plugins.callback.default import CallbackModule as Default


class CallbackModule(Default):
    """hearth.llm.hearth"""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "hearth.llm.hearth"

    def __init__(self) -> None:
        super().__init__()
        self._proof: list[str] = []

    def _wordy(self) -> bool:
        return self._display.verbosity > 0

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        """The banner comes with the first result that is shown."""
        if self._wordy():
            super()._task_start(task, prefix)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if self._wordy():
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self._wordy():
            super().v2_playbook_on_play_start(play)
        else:
            self._play = play
            self._display.display(f"\n{play.get_name().strip()}")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._proof = result.result.get("hearth_proof") or self._proof
        if self._wordy() or result.task.action in C._ACTION_DEBUG:
            super().v2_runner_on_ok(result)
            return
        self._handle_warnings_and_exception(result)
        if result.result.get("changed") and "results" not in result.result:
            self._changed(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        if self._wordy():
            super().v2_runner_item_on_ok(result)
        elif result.result.get("changed"):
            self._changed(result, self._get_item_label(result.result))

    def v2_runner_on_skipped(self, result: Any) -> None:
        if self._wordy():
            super().v2_runner_on_skipped(result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        if self._wordy():
            super().v2_runner_item_on_skipped(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A failure whose report was printed already needs no second one."""
        if result.result.get("told") and not self._wordy():
            self._display.display(
                f" {result.host.get_name():<7} FAILED: {result.result['msg']}", color=C.COLOR_ERROR
            )
        else:
            super().v2_runner_on_failed(result, ignore_errors)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        super().v2_playbook_on_stats(stats)
        for line in self._proof:
            self._display.display(line, color=C.COLOR_OK)

    def _changed(self, result: Any, item: Any = None) -> None:
        name = result.task.get_name().rpartition(" : ")[2]
        what = name if item is None else f"{name} ({item})"
        self._display.display(f" {result.host.get_name():<7} {what}", color=C.COLOR_CHANGED)
