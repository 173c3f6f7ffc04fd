# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes single variables of a YAML file and leaves every other byte of it as its owner wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

VAULT_TAG = "!vault"


class TextError(ValueError):
    """A file that is not a mapping of variables; the text says why and never quotes it."""


@dataclass(frozen=True)
class Entry:
    """A variable of the file: its first line and the one after its last, its tag, and its text if it is a scalar."""

    begin: int
    end: int
    tag: str
    value: str | None


def entries(text: str) -> dict[str, Entry]:
    """The file's variables by name. Raises TextError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise TextError(f"is not YAML: {error.problem}, line {line}") from None
    except yaml.YAMLError:
        raise TextError("is not YAML") from None
    if root is None or root.tag == "tag:yaml.org,2002:null":  # nothing but comments
        return {}
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise TextError("is not a list of variables, one below the other")
    lines = text.splitlines()
    found: dict[str, Entry] = {}
    for key, value in root.value:
        if key.value in found:
            raise TextError(f"has {key.value} twice")
        end = value.end_mark.line + (1 if value.end_mark.column else 0)
        while end - 1 > key.start_mark.line and _is_between(lines[end - 1]):
            end -= 1
        scalar = value.value if isinstance(value, yaml.ScalarNode) else None
        found[key.value] = Entry(key.start_mark.line, end, value.tag, scalar)
    return found


def _is_between(line: str) -> bool:
    """Whether a line belongs to no variable."""
    return not line.strip() or line.startswith(("#", "..."))


def put(text: str, name: str, block: str, after: str | None = None) -> str:
    """Replace a variable by `block` (whole lines), or add it: after another one, or at the end."""
    found = entries(text)
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    if name in found:
        begin, end = found[name].begin, found[name].end
    else:
        begin = end = found[after].end if after in found else len(lines)
    return "".join([*lines[:begin], block, *lines[end:]])


def drop(text: str, name: str) -> str:
    """The text without a variable."""
    found = entries(text).get(name)
    if found is None:
        return text
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: found.begin], *lines[found.end :]])


def vault_block(name: str, cipher: str) -> str:
    """A variable as `ansible-vault encrypt_string` writes it."""
    body = "".join(f"  {line}\n" for line in cipher.splitlines())
    return f"{name}: {VAULT_TAG} |\n{body}"


def plain_block(name: str, value: Any) -> str:
    """A variable whose value stands there as it is: in a file that is encrypted as a whole, or of names and dates."""
    style = None if isinstance(value, dict) else False
    return yaml.safe_dump(
        {name: value}, sort_keys=False, width=1000, allow_unicode=True, default_flow_style=style
    )
