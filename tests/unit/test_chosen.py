"""Parts of a service that there are only where an operator wants them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.module_utils.chosen import chosen
from ansible_collections.hearth.llm.plugins.module_utils.service_file import SpecError, read
from ansible_collections.hearth.llm.plugins.module_utils.service_spec import ServiceSpec, Update
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import load_specs
from fleet import GATE, host, one

COUNTER = "gate_counter"
OPTIONS: dict[str, Any] = {"gate_counter": {"type": "bool"}, "gate_counter_version": {"type": "str"}}


def gate(**more: Any) -> ServiceSpec:
    """A gateway that may have a counter beside it, with a password and data of its own."""
    text = {
        **GATE,
        "uses": {},
        "variables": {**GATE["variables"], "gate_counter": False, "gate_counter_version": "8"},
        "images": {
            **GATE["images"],
            "counter": {"name": "docker.io/some/counter", "version": "gate_counter_version", "when": COUNTER},
        },
        "resources": {**GATE["resources"], "counter": {"cpus": 1, "memory": "64m"}},
        "data": {"counts": {"container": "counter", "when": COUNTER}},
        "secrets": {**GATE["secrets"], "gate_counter_password": {"kind": "password", "when": COUNTER}},
        **more,
    }
    return read("gate", "test.gate", text, OPTIONS)


def resolved(*variables: dict[str, Any]) -> catalogue.Platform:
    """The platform with the gateway on a host for each of these variables."""
    hosts = [
        host(f"h{number}", ["trusted"], f"10.0.0.{number}", ["gate"], **own)
        for number, own in enumerate(variables, 1)
    ]
    return catalogue.resolve({"gate": gate()}, hosts)


def parts(service: dict[str, Any]) -> tuple[set[str], ...]:
    """Names of what the service has: containers, their limits, data, directories, secrets."""
    return (
        set(service["images"]),
        set(service["resources"]),
        set(service["data"]),
        {item["path"].rpartition("/")[2] for item in service["directories"]},
        set(service["secrets"]),
    )


def test_what_is_not_wanted_is_not_there() -> None:
    platform = resolved({})
    found = parts(one(platform.fleet, "gate"))
    assert found == ({"gate"}, {"gate"}, set(), set(), {"gate_probe_key"})
    assert "gate_counter_password" not in platform.secrets


def test_what_is_wanted_is_a_part_like_any_other() -> None:
    platform = resolved({COUNTER: True})
    found = parts(one(platform.fleet, "gate"))
    assert found == (
        {"gate", "counter"},
        {"gate", "counter"},
        {"counts"},
        {"counts"},
        {"gate_probe_key", "gate_counter_password"},
    )
    assert "gate_counter_password" in platform.secrets


def test_a_secret_that_is_not_wanted_any_more_may_stay_in_the_vault() -> None:
    """It is very like another one, and no misspelling of it."""
    own = {"vault_gate_probe_key": "sk-" + "x1" * 12, "vault_gate_counter_password": "y2" * 12}
    assert not [
        problem for problem in resolved(own).problems if problem.variable == "vault_gate_counter_password"
    ]
    misspelt = {**own, "vault_gate_counter_pasword": "y2" * 12}
    assert [problem for problem in resolved(misspelt).problems if "pasword" in problem.variable]


def test_each_host_chooses_for_itself() -> None:
    platform = resolved({}, {COUNTER: True})
    without, with_it = (catalogue.instances(platform.fleet, name)[0] for name in ("h1", "h2"))
    assert set(without["images"]) == {"gate"}
    assert set(with_it["images"]) == {"gate", "counter"}
    assert "gate_counter_password" in platform.secrets


UPDATE = {"reversible": False, "why": "Migrates."}


@pytest.mark.parametrize(("variables", "reversible"), [({}, True), ({COUNTER: True}, False)])
def test_without_data_nothing_is_changed_for_good(variables: dict[str, Any], reversible: bool) -> None:
    assert chosen(gate(update=UPDATE), variables).update.reversible is reversible


def test_a_service_that_never_had_data_says_for_itself() -> None:
    spec = replace(gate(data={}), update=Update(reversible=False, why="Migrates what is elsewhere."))
    assert not chosen(spec, {}).update.reversible


@pytest.mark.parametrize(
    "more",
    [
        {"data": {"counts": {"container": "counter", "when": "gate_other"}}},
        {"secrets": {"gate_counter_password": {"kind": "password", "when": "gate_other"}}},
    ],
)
def test_it_depends_on_a_variable_of_the_service(more: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="gate_other"):
        gate(**more)


def test_a_vault_that_is_shared_with_a_larger_platform_has_no_misspellings() -> None:
    """All of the collection's secrets, on a host with one service that has none of them."""
    specs = load_specs([])
    names = [secret.name for spec in specs.values() for secret in spec.secrets if not secret.each]
    vault = {f"vault_{name}": "x1" * 12 for name in names}
    alone = host("edge", ["trusted"], "10.0.0.1", ["rustpad"], **vault)
    wrong = [problem.variable for problem in catalogue.resolve(specs, [alone]).problems]
    assert not set(wrong) & set(vault)
