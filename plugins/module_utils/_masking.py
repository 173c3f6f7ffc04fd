# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps a stack's secrets out of what is shown: containers like to log the settings they choke on.

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
_SHORTEST = 4
_LONG_WORD = 8
_SECRET_NAME = re.compile(
    r"key|token|secret|pass|pwd|salt|credential|auth|private|cookie|dsn|license", re.IGNORECASE
)
_PLAIN_VALUE = re.compile(
    r"""(?ix) true|false|yes|no|on|off|none|null|debug|info|warning|error
    | [0-9.,:]+ [a-z%]{0,3}                              # numbers, sizes, durations, addresses
    | [a-z][a-z0-9+.-]* :// [^\s@?\#]+                   # an address without credentials
    | /[\w./-]*                                          # a path
    | [a-z0-9-]+ (\.[a-z0-9-]+)* (:[0-9]+)?              # a host name, a word
    """
)


def secret_values(files: Mapping[str, bytes]) -> set[str]:
    """The texts to hide, from the files of a stack by path: values of .env.*, everything in secrets/.

    Of an environment file all values count, except those that are plainly none under a name that does not
    sound like one ("LOG_LEVEL=debug"): hiding those would make the log lines unreadable.
    """
    found: set[str] = set()
    for path, content in files.items():
        text = content.decode("utf-8", "replace")
        if path.startswith(".env."):
            for name, value in _assignments(text):
                if _SECRET_NAME.search(name) or not _PLAIN_VALUE.fullmatch(value):
                    found.update(_with_parts(value))
        elif path.startswith("secrets/"):
            found.update(_with_parts(text.strip()))
            for word in re.findall(r"[^\s'\"=:,]+", text):
                if len(word) >= _LONG_WORD:
                    found.add(word)
    return {value for value in found if len(value) >= _SHORTEST}


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret, also as JSON or in a URL, replaced by ***; the longest first."""
    forms: set[str] = set()
    for value in secrets:
        forms.update((value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]))
        forms.update((quote(value), quote(value, safe=""), quote_plus(value), repr(value)[1:-1]))
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _assignments(text: str) -> Iterable[tuple[str, str]]:
    """(name, value) of an environment file, quotes taken off; a quoted value may run over several lines."""
    pattern = re.compile(
        r"""^\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*=\s*
        (?: '((?:[^'\\]|\\.)*)' | "((?:[^"\\]|\\.)*)" | ([^\n]*) )""",
        re.MULTILINE | re.VERBOSE | re.DOTALL,
    )
    for match in pattern.finditer(text):
        name, single, double, bare = match.groups()
        if single is not None:
            yield name, single.replace("\\'", "'")
            # Compose leaves other escapes alone between single quotes; older releases did not.
            yield name, re.sub(r"\\(.)", r"\1", single)
        elif double is not None:
            yield name, re.sub(r"\\(.)", r"\1", double)
        else:
            yield name, bare.strip()


def _with_parts(value: str) -> set[str]:
    """A value, its lines, and the password inside it when it is an address with one."""
    parts = {value, *(line.strip() for line in value.splitlines())}
    try:
        password = urlsplit(value).password
    except ValueError:
        password = None
    if password:
        parts.update((password, unquote(password)))
    return parts
