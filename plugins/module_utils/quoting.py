# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text that reaches a container unchanged: through Compose's env files and through compose.yaml.

Compose reads env files by rules of its own (compose-go's dotenv): a bare value is interpolated and ends at ` #`; single
quotes cannot hold a backslash before a quote or at the end. Inside double quotes every character has a spelling, and
the same one in all versions since 2.26, the oldest that Hearth supports.
"""

from __future__ import annotations

import json
import re

# What both readers take as it stands, and a person likes to see without quotes.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]+")
_ENV_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "$": "$$", "\n": "\\n", "\r": "\\r"})
# Printed by JSON as they are, refused or taken for line breaks by YAML.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def env_value(value: str | int | float | bool) -> str:
    r"""The right side of `NAME=…` in an env file for Compose, so that the container gets exactly this text.

    >>> print(env_value('pa$$word # "x"'))
    "pa$$$$word # \"x\""

    Numbers and booleans are written as YAML writes them (`true`). Raises ValueError, without the value, for text that
    no environment variable can hold, and TypeError for what is not text.
    """
    text = _text(value)
    return text if _PLAIN.fullmatch(text) else f'"{text.translate(_ENV_ESCAPES)}"'


def compose_string(value: str | int | float | bool) -> str:
    r"""A quoted YAML scalar for compose.yaml, with `$` doubled because Compose interpolates there too.

    >>> print(compose_string('cost: $5 "net"'))
    "cost: $$5 \"net\""
    """
    quoted = json.dumps(_text(value), ensure_ascii=False).replace("$", "$$")
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found.group()):04x}", quoted)


def _text(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int, float)):
        raise TypeError(
            f"a {type(value).__name__} is no single value; expected text, a number, true or false"
        )
    text = str(value)
    if "\0" in text:
        raise ValueError("the text has a NUL character, which no environment variable or argument can hold")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the text is no valid Unicode at character {error.start}") from error
    return text
