# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resolve the platform once per run, check all of it, and hand it on. Answers on the controller."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils import catalogue
from ..module_utils.problems import EVERY_HOST, Problem, report
from ..plugin_utils import platform_run
from ..plugin_utils.refusal import refusal

_STAGES = ("names", "compute", "trusted")
_OWN_TAGS = frozenset(("all", "always", "never", "tagged", "untagged", "host"))


class ActionModule(ActionBase):
    """hearth.llm.catalogue"""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        platform, hosts = platform_run.resolve(task_vars)
        names = {service["name"] for service in platform.fleet["services"]}
        strange = [tag for tag in _tags(task_vars) if tag not in names | _OWN_TAGS]
        # A service that no host lists any more is still a tag: it may run somewhere, and then it is stopped.
        left = set(platform_run.load_specs(platform_run.own_folders(task_vars))) if strange else set()
        problems = (
            platform.problems
            + catalogue.check_secrets(platform, hosts)
            + unknown_tags([tag for tag in strange if tag not in left], names)
        )
        if problems:
            return {**result, **refusal(report(problems, f"in {inventory_name(task_vars)}"))}
        platform_run.keep("fleet", platform.fleet)
        stages = plan(platform.fleet)
        services = len(platform.fleet["services"])
        return {
            **result,
            "msg": f"{services} services on {len(hosts)} hosts, no problem found",
            "ansible_facts": {
                "hearth_stages": stages,
                "hearth_stacks": all_stacks(stages),
                "hearth_tags_to_find": [tag for tag in task_vars.get("ansible_run_tags", ()) if tag in left],
            },
        }


def plan(fleet: Mapping[str, Any]) -> dict[str, dict[str, list[dict[str, str]]]]:
    """Stage → host → [{name, role}] in deploy order: what the playbook's plays loop over.

    Before them `{name, role, tasks}`: a file of the role's tasks that makes what others need.
    """
    stages: dict[str, dict[str, list[dict[str, str]]]] = {stage: {} for stage in _STAGES}
    for service in fleet["services"]:
        row = {"name": service["name"], "role": service["role"]}
        rows = stages[service["stage"]].setdefault(service["host"], [])
        rows.append(row)
        if service["early"]:
            rows.insert(0, {**row, "tasks": service["early"]})
    return stages


def all_stacks(stages: Mapping[str, Mapping[str, list[dict[str, str]]]]) -> dict[str, list[dict[str, str]]]:
    """Host → [{name, role}] over all stages, in deploy order."""
    stacks: dict[str, list[dict[str, str]]] = {}
    for stage in _STAGES:
        for host, rows in stages[stage].items():
            stacks.setdefault(host, []).extend(row for row in rows if "tasks" not in row)
    return stacks


def _tags(task_vars: Mapping[str, Any]) -> list[str]:
    return [*task_vars.get("ansible_run_tags", ()), *task_vars.get("ansible_skip_tags", ())]


def unknown_tags(tags: Iterable[str], names: Collection[str]) -> list[Problem]:
    """A tag that selects nothing would end in a green run that did nothing."""
    problems = []
    for tag in tags:
        similar = get_close_matches(tag, names, n=1)
        hint = f"did you mean {similar[0]}? " if similar else ""
        remedy = (
            f"{hint}tags are the services' names: {', '.join(sorted(names))}; "
            "a stack that left the inventory together with its folder is stopped by a run without tags"
        )
        problems.append(Problem(EVERY_HOST, "--tags", tag, "is not a service of this inventory", remedy))
    return problems


def inventory_name(task_vars: Mapping[str, Any]) -> str:
    """The inventory as the operator named it, shortened to the part that tells it from others."""
    directory = task_vars.get("inventory_dir")
    if not directory:
        return "the inventory"
    path = Path(str(directory))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
