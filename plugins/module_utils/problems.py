# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with an inventory or a host, and how to mend it.

Every check returns a list of Problem instead of raising, so that all of them reach the operator at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

EVERY_HOST = "all"
_LONGEST_VALUE = 120
# A user and a password in an address, up to the end of the text that holds it.
_SIGNS_IN = re.compile(r'://[^"]*@')


@dataclass(frozen=True)
class Problem:
    """One mistake: where (host, variable), what stands there, what was expected, what to do.

    `value` is text ready to be shown: None where there is none (a missing variable), `***` for a secret.
    """

    host: str
    variable: str
    value: str | None
    expected: str
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def show(value: Any) -> str:
    """A value as an operator would write it in YAML's flow style, cut to one line, without passwords in addresses."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
    text = _SIGNS_IN.sub("://***@", text)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def report(problems: Iterable[Problem | Mapping[str, Any]], where: str) -> str:
    """The whole report as text: one block a problem, hosts in a column, identical problems of many hosts once.

    `where` names the inventory or the host: `in inventories/home`, `on edge`. The order is the order of finding;
    hosts that share a problem are listed together.
    """
    hosts_of: dict[tuple[str, str | None, str, str], list[str]] = {}
    for problem in problems:
        item = problem.as_dict() if isinstance(problem, Problem) else problem
        key = (item["variable"], item["value"], item["expected"], item["remedy"])
        hosts = hosts_of.setdefault(key, [])
        if item["host"] not in hosts:
            hosts.append(item["host"])
    if not hosts_of:
        return ""
    blocks = [_heading(len(hosts_of), where)]
    width = max(len(", ".join(hosts)) for hosts in hosts_of.values())
    for (variable, value, expected, remedy), hosts in hosts_of.items():
        shown = variable if value is None else f"{variable} = {value}"
        margin = " " * (width + 3)
        blocks.append(f" {', '.join(hosts):<{width}}  {shown}\n{margin}{expected}\n{margin}→ {remedy}")
    return "\n\n".join(blocks)


def _heading(count: int, where: str) -> str:
    return f"{count} problem{'s' if count != 1 else ''} {where}; no host was changed"
