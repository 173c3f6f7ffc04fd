# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Questions to the task's host: to the program that is kept there, or to a module of this collection."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import engine_program
from .follow import follow


def run_module(
    action: ActionBase, name: str, arguments: Mapping[str, Any], task_vars: dict[str, Any]
) -> dict[str, Any]:
    """The answer of `hearth.llm.<name>`. Raises AnsibleActionFail with the host's words where it failed."""
    found = action._execute_module(f"hearth.llm.{name}", module_args=dict(arguments), task_vars=task_vars)
    if found.get("failed") or found.get("unreachable"):
        raise AnsibleActionFail(reason(found), result=found)
    return found


def reason(found: Mapping[str, Any]) -> str:
    """Why a module failed, by its answer; of one that broke off there is no message, but its exception."""
    event = getattr(found.get("exception"), "event", None)
    return found.get("msg") or getattr(event, "msg", None) or "the host gave no reason"


def follow_module(
    action: ActionBase,
    module: str,
    arguments: Mapping[str, Any],
    started: dict[str, Any],
    name: str,
    task_vars: dict[str, Any],
) -> dict[str, Any]:
    """How the job of a module ended; its lines are shown meanwhile, beside the host's name and this one.

    started: the module's first answer. It takes {job, offset, wait} as well, and answers as `follow` wants.
    """
    first = [started]

    def poll(offset: int) -> dict[str, Any]:
        if first:
            return first.pop()
        more = {"job": started["job"], "offset": offset, "wait": 3}
        return run_module(action, module, {**arguments, **more}, task_vars)

    host = task_vars.get("inventory_hostname", "")
    return dict(follow(Display(), poll, host, name, retry_on=(AnsibleConnectionFailure,)))


def program_digest() -> str:
    """The sha256 of the program that carries out changes, of this release."""
    return hashlib.sha256(engine_program.program()).hexdigest()


def ask_engine(action: ActionBase, state_dir: str, question: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer of the program that an earlier change left on the host (module_utils/_ask.py).

    None where it is missing or of another release: then a module has to answer, which Ansible builds, sends and unpacks
    first, half a second later. Raises AnsibleActionFail with the host's words.
    """
    command = shlex.join(["python3", f"{state_dir}/engine.py", "ask", program_digest()])
    done = action._low_level_execute_command(command, in_data=json.dumps(question).encode())
    if done["rc"] != 0:
        return None
    # A login shell or sudo may have said something of its own first.
    start = done["stdout"].find("{")
    try:
        found: dict[str, Any] = json.loads(done["stdout"][start:])
    except ValueError:
        return None
    if found.get("failed"):
        raise AnsibleActionFail(found["msg"], result=found)
    return found
