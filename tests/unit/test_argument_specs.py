"""A role's three places for variables agree: service.yml, defaults/main.yml and meta/argument_specs.yml."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if (path / "meta").is_dir())
ENV_TEMPLATES = sorted(ROOT.glob("roles/*/templates/env.*.j2"))
NOTHING = object()


def load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def options_of(role: Path) -> dict[str, Any]:
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"].get("options", {})


def shared_of(role: Path) -> dict[str, Any]:
    return load(role / "service.yml").get("variables", {})


def defaults_of(role: Path) -> dict[str, Any]:
    return load(role / "defaults" / "main.yml")


def described(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, option in options.items():
        yield prefix + name, option
        yield from described(option.get("options") or {}, f"{prefix}{name}.")


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
class TestRole:
    def test_every_variable_is_described(self, role: Path) -> None:
        assert set(shared_of(role)) | set(defaults_of(role)) == {
            name for name, option in options_of(role).items() if "default" in option
        }
        for name, option in described(options_of(role)):
            assert option.get("description"), f"{name} has no description"
            assert option.get("type"), f"{name} has no type"

    def test_every_default_is_the_same_in_all_places(self, role: Path) -> None:
        written = {**shared_of(role), **defaults_of(role)}
        specified = {
            name: option["default"] for name, option in options_of(role).items() if "default" in option
        }
        assert specified == {name: written.get(name, NOTHING) for name in specified}

    def test_no_variable_is_both_shared_and_the_roles_own(self, role: Path) -> None:
        assert not set(shared_of(role)) & set(defaults_of(role))

    def test_every_variable_has_the_roles_prefix(self, role: Path) -> None:
        for name in {*shared_of(role), *defaults_of(role), *options_of(role)}:
            assert name.startswith(f"{role.name}_")


@pytest.mark.parametrize("template", ENV_TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "roles")))
def test_every_value_in_an_env_file_is_quoted_by_the_filter(template: Path) -> None:
    """Compose interpolates env files and cuts at #: a bare value would reach the container changed."""
    for number, line in enumerate(template.read_text().splitlines(), 1):
        for expression in re.findall(r"\{\{(.*?)\}\}", re.sub(r"\{#.*?#\}", "", line)):
            assert re.search(r"\|\s*hearth\.llm\.env_value\s*$", expression.rstrip("- ")), (
                f"{template.name}:{number}: {expression.strip()} does not end in | hearth.llm.env_value"
            )
