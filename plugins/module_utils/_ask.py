# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers a controller by the program that is on the host already, instead of a module that Ansible sends first.

    engine.py ask SHA256     the answer to the question on standard input, both JSON

SHA256 is that of the program that the controller has: another one, of another release, says nothing and ends with 3.
The questions:

    {do: look, arguments}                                            look.look(**arguments)
    {do: look_at_stacks, arguments}                                  look.look_at_stacks(**arguments)
    {do: submit, state_dir, service, identity, plan, offset, wait}   hand a change over, and follow it (_submission.py)
    {do: follow, state_dir, service, identity, offset, wait}

What is in the way of a change is the answer {failed: true, msg: why}.
Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any


def main() -> int:
    """`engine.py ask`; returns the exit status."""
    program, _command, wanted = sys.argv
    with open(program, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != wanted:
            return 3
    json.dump(answer(json.load(sys.stdin), program), sys.stdout)
    return 0


def answer(question: dict[str, Any], program: str) -> dict[str, Any]:
    """What the host says to one question. Each loads only what it needs: every run of Ansible looks, few change."""
    if question["do"] in ("look", "look_at_stacks"):
        from . import look

        return getattr(look, question["do"])(**question["arguments"])
    from . import _submission, transaction

    os.umask(0o022)
    which = {key: question[key] for key in ("state_dir", "service", "identity")}
    try:
        if question["do"] == "submit":
            _submission.submit(**which, plan=question["plan"], engine=program)
        return _submission.follow(**which, offset=question["offset"], wait=question["wait"])
    except transaction.PROBLEMS as problem:
        return {"failed": True, "msg": f"{question['service']}: {problem}"}
