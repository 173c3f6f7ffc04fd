"""The compose file of the role vllm, as Compose reads it, for the tests of it and of its command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.module_utils.inventory import Host
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import load_specs
from role_template import compose

ROLE = Path(__file__).resolve().parents[2] / "roles" / "vllm"
MODEL = {"vllm_model": "Qwen/Qwen2.5-7B-Instruct"}


def platform(*hosts: Mapping[str, Any], **edge: Any) -> catalogue.Platform:
    """A gateway, and a compute host for each mapping of variables."""
    found = [Host("edge", ("trusted",), values := _values(1, ["litellm"], edge), tuple(values))]
    for number, variables in enumerate(hosts, 1):
        values = _values(number + 20, ["vllm"], variables)
        found.append(Host(f"gpu-{number}", ("compute",), values, tuple(values)))
    return catalogue.resolve(load_specs([]), found)


def _values(number: int, stacks: list[str], more: Mapping[str, Any]) -> dict[str, Any]:
    return {"address": f"10.0.0.{number}", "stacks": stacks, "access": "lan", **more}


def container(**variables: Any) -> dict[str, Any]:
    """The container that a host with these variables is given."""
    made = platform({**MODEL, **variables})
    assert made.problems == []
    service = catalogue.instances(made.fleet, "gpu-1", "vllm")[0]
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    made_of = {**defaults, **service["variables"], **variables}
    found: dict[str, Any] = compose(ROLE, service=service, **made_of)["services"]["vllm"]
    return found
