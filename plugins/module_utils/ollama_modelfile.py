# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modelfiles as Ollama's API takes them, and whether a model is made as one asks.

A definition is the part of /api/create's request that a Modelfile fills: {template, system, parameters, messages,
license, renderer, parser, requires}, each only where it is set. The format is read as Ollama's own parser reads it
(ollama v0.17.4, parser/parser.go); FROM is left to the caller, who knows the model's source.
"""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

# Options of ollama v0.17.4 (api/types.go) and how each is typed.
_INTEGERS = (
    "num_keep", "seed", "num_predict", "top_k", "repeat_last_n",
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread",
)  # fmt: skip
_FLOATS = (
    "top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty",
)  # fmt: skip
_BOOLEANS = ("use_mmap",)
_LISTS = ("stop",)
PARAMETERS = (*_INTEGERS, *_FLOATS, *_BOOLEANS, *_LISTS)

_TEXTS = ("template", "system", "renderer", "parser", "requires")
_ROLES = ("system", "user", "assistant")
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")


class ModelfileError(ValueError):
    """A Modelfile that cannot be used; the text says which line and what to write instead."""


def definition(modelfile: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a Modelfile's text and further parameters (which win) ask for. Raises ModelfileError."""
    found: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for line, command, rest in _commands(modelfile):
        if command == "from":
            continue
        if command == "parameter":
            name, _space, value = rest.partition(" ")
            value = typed(name, _unquote(value.strip()) or "", line)
            options[name] = options.get(name, []) + value if isinstance(value, list) else value
        elif command == "message":
            role, _space, text = rest.partition(" ")
            if role not in _ROLES:
                raise ModelfileError(f"line {line}: MESSAGE {role}: the role is one of {', '.join(_ROLES)}")
            found.setdefault("messages", []).append({"role": role, "content": _unquote(text.strip()) or ""})
        elif command == "license":
            found.setdefault("license", []).append(_unquote(rest) or "")
        elif command in _TEXTS:
            found[command] = _unquote(rest) or ""
        else:
            raise ModelfileError(
                f"line {line}: {command.upper()} is none of FROM, PARAMETER, TEMPLATE, SYSTEM, MESSAGE, LICENSE, "
                "RENDERER, PARSER, REQUIRES"
            )
    for name, value in parameters.items():
        options[name] = typed(name, value)
    if options:
        found["parameters"] = options
    return {key: value for key, value in found.items() if value not in ("", [], {})}


def typed(name: str, value: Any, line: int | None = None) -> Any:
    """A parameter's value as the API wants it. A near miss of a known name is an error, an unknown one passes."""
    where = f"line {line}: " if line else ""
    if name not in PARAMETERS:
        near = difflib.get_close_matches(name, PARAMETERS, n=1, cutoff=0.8)
        if near:
            raise ModelfileError(f"{where}parameter {name}: did you mean {near[0]}?")
        return value
    try:
        if name in _INTEGERS:
            return int(str(value))
        if name in _FLOATS:
            return float(str(value))
    except ValueError:
        raise ModelfileError(f"{where}parameter {name} = {value}: expected a number") from None
    if name in _BOOLEANS:
        text = str(value).lower()
        if text not in _TRUE + _FALSE:
            raise ModelfileError(f"{where}parameter {name} = {value}: expected true or false")
        return text in _TRUE
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]


def shown_blob(show: Mapping[str, Any]) -> str:
    """The sha256 of the file that a model serves, from /api/show; empty where it is not a file of its own."""
    for line in str(show.get("modelfile", "")).splitlines():
        if line.startswith("FROM "):
            name = line.rpartition("sha256-")[2].strip()
            return name if len(name) == 64 else ""
    return ""


def shown_parameters(show: Mapping[str, Any]) -> dict[str, Any]:
    """/api/show's `parameters` text as values; those that repeat as lists."""
    found: dict[str, Any] = {}
    for line in str(show.get("parameters") or "").splitlines():
        name, _space, text = line.partition(" ")
        value = _go_value(text.strip())
        if name in _LISTS:
            found.setdefault(name, []).append(value)
        elif name:
            found[name] = value
    return found


def differences(wanted: Mapping[str, Any], show: Mapping[str, Any], *, whole: bool) -> list[str]:
    """What a model that Ollama shows lacks of a definition, as words for the operator; empty when it is as asked.

    whole: the definition is all there is (a GGUF), so that what it does not set must not be set. A template of its own
    and its stop words are Ollama's to find where the definition has no template.
    """
    found = [
        key
        for key in ("template", "system", "requires", "renderer", "parser")
        if wanted.get(key, "") != _shown_text(show, key)
        and (key in wanted or (whole and key not in ("template", "renderer", "parser")))
    ]
    messages = [{"role": item["role"], "content": item["content"]} for item in show.get("messages") or []]
    if wanted.get("messages", []) != messages and ("messages" in wanted or whole):
        found.append("messages")
    if "license" in wanted and "\n".join(wanted["license"]) != show.get("license", ""):
        found.append("license")
    options, has = wanted.get("parameters", {}), shown_parameters(show)
    found += [f"parameter {name}" for name in options if not _same(options[name], has.get(name))]
    if whole:
        own = () if "template" in wanted else _LISTS
        found += [f"parameter {name}" for name in has if name not in options and name not in own]
    return found


def _shown_text(show: Mapping[str, Any], key: str) -> str:
    if key in ("template", "system", "requires"):
        return str(show.get(key) or "")
    for line in str(show.get("modelfile", "")).splitlines():
        if line.startswith(f"{key.upper()} "):
            return line.partition(" ")[2]
    return ""


def _same(one: Any, other: Any) -> bool:
    numbers = (int, float)
    if isinstance(one, numbers) and isinstance(other, numbers) and not isinstance(one, bool):
        return math.isclose(one, other, rel_tol=1e-6)  # a float32 in models made by Ollama's own command line
    return one == other


def _go_value(text: str) -> Any:
    """A value as Go's %#v prints it."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text) if text.startswith('"') else text
    except (SyntaxError, ValueError):
        return text


def _commands(text: str) -> Iterator[tuple[int, str, str]]:
    """(line number, command in lower case, the rest with quotes) of each command; quoted values span lines."""
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    index = 0
    while index < len(lines):
        start, line = index + 1, lines[index].lstrip(" \t")
        index += 1
        if not line or line.startswith("#"):
            continue
        command, _space, rest = line.replace("\t", " ", 1).partition(" ")
        rest = rest.strip()
        head, value = _split_value(command.lower(), rest)
        while _unquote(value) is None:
            if index == len(lines):
                raise ModelfileError(f"line {start}: the quotes after {command} are never closed")
            value = f"{value}\n{lines[index]}".rstrip(" \t")
            index += 1
        yield start, command.lower(), f"{head} {value}" if head else value


def _split_value(command: str, rest: str) -> tuple[str, str]:
    """PARAMETER's name and MESSAGE's role stand before the value that may be quoted."""
    if command not in ("parameter", "message"):
        return "", rest
    head, _space, value = rest.partition(" ")
    return head, value.strip()


def _unquote(text: str) -> str | None:
    """A value without its quotes; None while they are open."""
    text = text.strip()
    for quotes in ('"""', '"'):
        if text.startswith(quotes):
            closed = text.endswith(quotes) and len(text) >= 2 * len(quotes)
            return text[len(quotes) : -len(quotes)] if closed else None
    return text
