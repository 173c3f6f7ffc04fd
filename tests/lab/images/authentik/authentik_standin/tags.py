"""The YAML tags of blueprints: parsed into `Tag`s, resolved one entry after the other while a blueprint is applied."""

import json
import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import yaml

from . import models
from .errors import BlueprintError
from .store import Objects


@dataclass(frozen=True)
class Tag:
    """`!name value`, the value a scalar or a list that may hold tags again."""

    name: str
    value: Any

    def arguments(self, least: int, most: int | None = None) -> list[Any]:
        values = self.value if isinstance(self.value, list) else [self.value]
        if len(values) < least or (most is not None and len(values) > most):
            raise BlueprintError(f"!{self.name} takes {least} to {most or 'any'} values, not {len(values)}")
        return values


class Loader(yaml.SafeLoader):
    """SafeLoader with authentik's tags; any other tag is an error."""


def _construct(loader: Loader, name: str, node: yaml.Node) -> Tag:
    if isinstance(node, yaml.ScalarNode):
        return Tag(name, loader.construct_scalar(node))
    if isinstance(node, yaml.SequenceNode):
        return Tag(name, loader.construct_sequence(node, deep=True))
    raise yaml.constructor.ConstructorError(None, None, f"!{name} takes a scalar or a list", node.start_mark)


@dataclass
class Resolver:
    """Turns tags into values, for one blueprint in one transaction."""

    objects: Objects
    context: Mapping[str, Any]
    # id of an entry -> the primary key of what it made
    keys: dict[str, Any] = field(default_factory=dict)
    # (key or index, value) of each !Enumerate that is being walked, the innermost last
    loops: list[tuple[Any, Any]] = field(default_factory=list)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Tag):
            return TAGS[value.name](self, value)
        if isinstance(value, dict):
            return {key: self(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self(inner) for inner in value]
        return value

    def loop(self, tag: Tag) -> tuple[Any, Any]:
        depth = int(tag.arguments(1, 1)[0])
        if not 0 <= depth < len(self.loops):
            raise BlueprintError(f"!{tag.name} {depth}: there are {len(self.loops)} !Enumerate around it")
        return self.loops[-1 - depth]


def _with_default(resolve: Resolver, tag: Tag, look_up: Callable[[str], Any]) -> Any:
    name, *default = tag.arguments(1, 2)
    found = look_up(resolve(name))
    return found if found is not None else resolve(default[0]) if default else None


def env(resolve: Resolver, tag: Tag) -> Any:
    return _with_default(resolve, tag, lambda name: os.environ.get(name) or None)


def file(resolve: Resolver, tag: Tag) -> Any:
    def read(path: str) -> str | None:
        try:
            with open(path, encoding="utf-8") as handle:
                return handle.read().strip()
        except OSError:
            return None

    return _with_default(resolve, tag, read)


def context(resolve: Resolver, tag: Tag) -> Any:
    return _with_default(resolve, tag, lambda name: resolve(resolve.context.get(name)))


def key_of(resolve: Resolver, tag: Tag) -> Any:
    name = tag.arguments(1, 1)[0]
    if name not in resolve.keys:
        raise BlueprintError(f"!KeyOf {name}: no entry before this one has made an object under that id")
    return resolve.keys[name]


def find(resolve: Resolver, tag: Tag) -> Any:
    """The primary key of the first match, or null where nothing matches."""
    row = _find(resolve, tag)
    return row["pk"] if row else None


def find_object(resolve: Resolver, tag: Tag) -> Any:
    return _find(resolve, tag)


def _find(resolve: Resolver, tag: Tag) -> Any:
    name, *conditions = tag.arguments(2)
    model = models.MODELS.get(str(resolve(name)))
    if model is None:
        raise BlueprintError(f"!Find: the stand-in has no model {name}")
    fields: dict[str, Any] = {}
    for condition in conditions:
        if not isinstance(condition, list) or len(condition) != 2:
            raise BlueprintError(f"!Find: a condition is [field, value], not {condition}")
        key, value = resolve(condition)
        if key not in model.fields | {"pk"}:
            raise BlueprintError(f"!Find: {model.name} has no field {key}")
        fields[key] = value
    return next(iter(resolve.objects.find(model.name, **fields)), None)


def format_text(resolve: Resolver, tag: Tag) -> str:
    template, *values = resolve(tag.arguments(1))
    try:
        return str(template) % tuple(values)
    except (TypeError, ValueError) as error:
        raise BlueprintError(f"!Format {template}: {error}") from error


CONDITIONS: dict[str, Callable[[list[bool]], bool]] = {
    "AND": all,
    "NAND": lambda values: not all(values),
    "OR": any,
    "NOR": lambda values: not any(values),
    "XOR": lambda values: reduce(operator.xor, values),
    "XNOR": lambda values: not reduce(operator.xor, values),
}


def condition(resolve: Resolver, tag: Tag) -> bool:
    mode, *values = resolve(tag.arguments(2))
    if str(mode).upper() not in CONDITIONS:
        raise BlueprintError(f"!Condition {mode}: one of {', '.join(CONDITIONS)}")
    return CONDITIONS[mode.upper()]([bool(value) for value in values])


def if_else(resolve: Resolver, tag: Tag) -> Any:
    """`[condition]`, or `[condition, when true, when false]`: only the chosen one is resolved."""
    question, *branches = tag.arguments(1, 3)
    answer = bool(resolve(question))
    if not branches:
        return answer
    if len(branches) != 2:
        raise BlueprintError("!If takes one value, or three")
    return resolve(branches[0] if answer else branches[1])


def enumerate_items(resolve: Resolver, tag: Tag) -> Any:
    """`[iterable, SEQ or MAP, body]`: the body once for each item, made into a list or a mapping."""
    source, mode, body = tag.arguments(3, 3)
    if isinstance(source, Tag) and source.name in ("Index", "Value") and str(source.value) == "0":
        raise BlueprintError(f"!Enumerate over !{source.name} 0, which is itself")
    items = resolve(source)
    if isinstance(items, str) or not isinstance(items, (list, dict)):
        raise BlueprintError(f"!Enumerate: {items!r} is neither a sequence nor a mapping")
    results = []
    for pair in items.items() if isinstance(items, dict) else enumerate(items):
        resolve.loops.append(pair)
        results.append(resolve(body))
        resolve.loops.pop()
    if str(mode).upper() == "SEQ":
        return results
    if str(mode).upper() == "MAP":
        return dict(pair for part in results for pair in (part.items() if isinstance(part, dict) else [part]))
    raise BlueprintError(f"!Enumerate {mode}: SEQ or MAP")


def at_index(resolve: Resolver, tag: Tag) -> Any:
    container, key, *default = resolve(tag.arguments(2, 3))
    try:
        return container[key]
    except (LookupError, TypeError) as error:
        if default:
            return default[0]
        raise BlueprintError(f"!AtIndex: there is no {key}") from error


def parse_json(resolve: Resolver, tag: Tag) -> Any:
    try:
        return json.loads(resolve(tag.arguments(1, 1)[0]))
    except ValueError as error:
        raise BlueprintError(f"!ParseJSON: {error}") from error


TAGS: dict[str, Callable[[Resolver, Tag], Any]] = {
    "Env": env,
    "File": file,
    "Context": context,
    "KeyOf": key_of,
    "Find": find,
    "FindObject": find_object,
    "Format": format_text,
    "Condition": condition,
    "If": if_else,
    "Enumerate": enumerate_items,
    "Index": lambda resolve, tag: resolve.loop(tag)[0],
    "Value": lambda resolve, tag: resolve.loop(tag)[1],
    "AtIndex": at_index,
    "ParseJSON": parse_json,
}
for _name in TAGS:
    Loader.add_constructor(f"!{_name}", lambda loader, node, name=_name: _construct(loader, name, node))
