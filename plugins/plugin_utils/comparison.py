# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stack as it should be, rendered on the controller, beside what a look at its host found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ..module_utils import serials
from ..module_utils.compare import differences, versions
from ..module_utils.secrets import presented
from . import platform_run
from .render import File, render_stack
from .secret_values import Values, values

_TEMPLATE_STYLE = {"trim_blocks": True, "lstrip_blocks": True}


@dataclass(frozen=True)
class Comparison:
    """What a stack consists of, and why it has to be deployed.

    numbers: those of its files, by path (module_utils/serials.py); stamps: those of its secrets' values;
    updates: new versions in words; reasons: all of what differs, empty when the host is already as wanted;
    before: what was committed there, empty where nothing was.
    """

    files: list[File]
    numbers: dict[str, int]
    stamps: dict[str, dict[str, Any]]
    updates: list[str]
    reasons: list[str]
    before: dict[str, Any]

    def remember(self, service: Mapping[str, Any], outcome: Mapping[str, Any], compares: bool) -> None:
        """Keep how the stack's part of the run ended, for the closing report.

        compares: what playbooks/verify.yml compares is no result of the run that it is part of.
        """
        row = {key: service[key] for key in ("host", "name", "title", "url", "versions", "publish", "order")}
        seconds = outcome.get("seconds")
        row.update(
            changed=outcome["changed"],
            failed=bool(outcome.get("failed")),
            reasons=self.reasons,
            outcome=outcome.get("outcome"),
            seconds=sum(seconds.values()) if seconds else None,
            copy=(outcome.get("data") or {}).get("copy"),
            exports_changed=self.before.get("exports") != service["exports"],
        )
        folder = "compared" if compares else "results"
        platform_run.keep(f"{folder}/{service['host']}-{service['name']}", row)


def compare(
    action: ActionBase,
    task_vars: Mapping[str, Any],
    service: Mapping[str, Any],
    templates: Path,
    look: Mapping[str, Any],
) -> Comparison:
    """Render a stack's templates and compare them with the look at its host.

    task_vars: with the role's defaults; service: the resolved service; templates: the role's templates directory.
    """
    found = values(action, task_vars, service["secrets"])
    stack = look["stacks"].get(service["name"]) or {}
    rendered = _render(action, task_vars, service, templates, found)
    files, numbers = numbered(rendered, service, stack)
    wanted = {file.path: (file.sha256, file.mode, file.owner) for file in files}
    before = stack.get("state") or {}
    updates = new_versions(service, before)
    reasons = differences(wanted, service["images"], look, service["name"])
    reasons = [*updates, *reasons] if reasons else []
    return Comparison(files, numbers, found.stamps, updates, reasons, before)


def _render(
    action: ActionBase,
    task_vars: Mapping[str, Any],
    service: Mapping[str, Any],
    templates: Path,
    found: Values,
) -> list[File]:
    fleet = platform_run.fleet(task_vars)
    secrets, old = (
        {name: presented(fleet["secrets"][name], value, service["domain"]) for name, value in each.items()}
        for each in (found.current, found.previous)
    )
    variables = {
        **task_vars,
        **service["variables"],
        "fleet": fleet,
        "secrets": secrets,
        "secrets_previous": old,
    }
    search = [str(templates), str(platform_run.ROOT / "templates")]

    def render(text: str, more: Mapping[str, Any]) -> str:
        templar = action._templar.copy_with_new_env(
            searchpath=search, available_variables={**variables, **more}
        )
        rendered = templar.template(
            trust_as_template(text), escape_backslashes=False, overrides=dict(_TEMPLATE_STYLE)
        )
        return "" if rendered is None else str(rendered)

    return render_stack(templates, {**service, "serial": serials.MARK}, render)[0]


def numbered(
    files: list[File], service: Mapping[str, Any], stack: Mapping[str, Any]
) -> tuple[list[File], dict[str, int]]:
    """The files with their numbers, for a service that has such; and the numbers by path (module_utils/serials.py)."""
    floor = service["serial_floor"]
    if floor is None:
        return files, {}
    before = serials.of_state(stack.get("state"))
    numbers: dict[str, int] = {}
    found = []
    for file in files:
        if serials.MARK.encode() in file.content:
            there = stack.get("files", {}).get(file.path, {}).get("sha256")
            content, numbers[file.path] = serials.settle(
                file.content, there, before.get(file.path), floor, datetime.now(timezone.utc)
            )
            file = replace(file, content=content)
        found.append(file)
    return found, numbers


def new_versions(service: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """What a change updates, in words: `v0.12.4 → v0.13.0`, with the container where it is not the only one."""
    found = versions(before, service["images"])
    told = [
        f"{old} → {new}" if len(service["images"]) == 1 else f"{container} {old} → {new}"
        for container, (old, new) in found.items()
    ]
    if told and not service["update"]["reversible"]:
        told.append("its data are copied first")
    return told
