# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run covers: hosts by --limit, services by --tags and --skip-tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def hosts(task_vars: Mapping[str, Any]) -> list[str]:
    """The hosts of this run, failed and unreachable ones included."""
    return list(task_vars["ansible_play_hosts_all"])


def selects(task_vars: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    """A function that says whether this run covers a service dictionary."""
    run = set(task_vars.get("ansible_run_tags", ("all",)))
    skip = set(task_vars.get("ansible_skip_tags", ()))
    in_run = set(hosts(task_vars))

    def selected(service: Mapping[str, Any]) -> bool:
        by_tag = bool(run & {"all", "tagged", service["name"]}) and service["name"] not in skip
        return by_tag and service["host"] in in_run

    return selected
