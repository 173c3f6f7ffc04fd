# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a report of problems ends a task: printed as it is, once, with its first line as the task's message."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display


def refusal(report: str) -> dict[str, Any]:
    """A failed task's result. Ansible repeats a message in an indented block; a report is printed as it is."""
    Display().display(f"\n{report}\n")
    return {"failed": True, "told": True, "msg": report.split("\n", 1)[0]}
