# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of a host's stacks a deploy has something to do for, found before anything is touched.

A role that is a single task, hearth.llm.stack, would only find that nothing differs. It is not entered then, because
that costs Ansible more than the comparison itself; what it would have found is remembered for the report. Every other
role is due: what its further tasks do, only they know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils import catalogue
from . import platform_run, roles, scope
from .comparison import compare

Rows = list[dict[str, Any]]


def due(
    action: ActionBase, task_vars: dict[str, Any], stages: Iterable[str], look: Mapping[str, Any]
) -> dict[str, Rows]:
    """Stage → what its play loops over on this host, from the fact `hearth_stages` without what is as it should be."""
    host = task_vars["inventory_hostname"]
    services = {
        service["name"]: service
        for service in filter(
            scope.selects(task_vars), catalogue.instances(platform_run.fleet(task_vars), host)
        )
    }
    planned: dict[str, Rows] = {stage: task_vars["hearth_stages"][stage].get(host, []) for stage in stages}
    return {
        stage: [
            row
            for row in rows
            if row["name"] in services
            and ("tasks" in row or not _is_as_wanted(action, task_vars, services[row["name"]], look))
        ]
        for stage, rows in planned.items()
    }


def _is_as_wanted(
    action: ActionBase, task_vars: dict[str, Any], service: dict[str, Any], look: Mapping[str, Any]
) -> bool:
    folder = platform_run.role_folder(service["role"])
    if not roles.only_deploys(folder, service["name"]):
        return False
    variables = {
        **roles.defaults(action._loader, folder),
        **task_vars,
        "role_name": folder.name,
        "role_path": str(folder),
    }
    try:
        found = compare(action, variables, service, folder / "templates", look)
    except AnsibleError as error:
        raise AnsibleActionFail(f"The templates of {service['title']} cannot be rendered: {error}") from error
    if not found.reasons:
        found.remember(service, {"changed": False}, compares=False)
    return not found.reasons
