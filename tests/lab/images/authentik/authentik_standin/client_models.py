"""The typed request models of PyPI's authentik-client, without the nine hundred others.

The package's own `__init__` imports every model (7 s, 140 MB); here only those that are asked for are.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from .errors import Invalid

PACKAGE = "authentik_client"


def load(module: str, name: str) -> type[BaseModel]:
    """A model class of authentik-client, by its module and its name."""
    with _empty_packages():
        return getattr(importlib.import_module(f"{PACKAGE}.models.{module}"), name)


@contextmanager
def _empty_packages() -> Iterator[None]:
    """The package without its `__init__`, for as long as one of its modules is imported; nothing if it is loaded."""
    if PACKAGE in sys.modules:
        yield
        return
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(f"{PACKAGE} is not installed")
    root = Path(spec.origin).parent
    folders = {PACKAGE: root, f"{PACKAGE}.models": root / "models"}
    for package, folder in folders.items():
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = [str(folder)]
    try:
        yield
    finally:
        for package in folders:
            del sys.modules[package]


def check(model: type[BaseModel], data: dict[str, Any]) -> None:
    """Whether the API takes this body: known fields, types, enum values, required ones; lists and nested ones too."""
    errors: dict[str, Any] = {name: "no such field" for name in data if name not in model.model_fields}
    for name, value in data.items():
        for part in value if isinstance(value, list) else [value]:
            nested = _nested(model, name)
            if nested and isinstance(part, dict):
                errors |= {f"{name}.{key}": "no such field" for key in part if key not in nested.model_fields}
    try:
        model.model_validate(data)
    except ValidationError as error:
        for problem in error.errors():
            errors[".".join(str(part) for part in problem["loc"])] = problem["msg"]
    if errors:
        raise Invalid(errors)


def _nested(model: type[BaseModel], field: str) -> type[BaseModel] | None:
    """The model class that a field, or an item of it, is made of."""
    if field not in model.model_fields:
        return None
    types_ = [model.model_fields[field].annotation]
    while types_:
        found = types_.pop()
        if get_origin(found) is not None:
            types_ += get_args(found)
        elif isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None
