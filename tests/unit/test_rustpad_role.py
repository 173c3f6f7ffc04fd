"""Who may open a pad where the inventory says nothing of it."""

from __future__ import annotations

from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import load_specs
from fleet import host


def resolve(**variables: str) -> catalogue.Platform:
    stacks = ["rustpad", "traefik"]
    return catalogue.resolve(load_specs([]), [host("edge", ["trusted"], "10.0.0.1", stacks, **variables)])


def test_without_sign_on_nobody_is_let_in_by_accident() -> None:
    (problem,) = resolve().problems
    assert problem.variable == "rustpad_guard"
    assert "sso" in str(problem.value)
    assert "basic" in problem.remedy


def test_a_guard_that_was_chosen_is_taken() -> None:
    assert resolve(rustpad_guard="basic").problems == []
