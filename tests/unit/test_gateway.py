"""What an operator adds to a gateway: servers of their own, providers on the Internet, other names, fallbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.plugins.filter.core import to_json, to_nice_yaml
from ansible_collections.hearth.llm.plugins.module_utils import catalogue, view_backends, view_litellm
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import load_specs
from fleet import host, one

DESKTOP = {
    "name": "desktop",
    "url": "http://10.0.0.9:11434",
    "models": ["small:1b", "large:70b"],
    "weight": 2,
}
PROVIDER = {"name": "Open AI", "kind": "openai", "models": ["gpt-4o", {"name": "smart", "model": "o9"}]}
CONFIG = Path(__file__).parents[2] / "roles" / "litellm" / "templates" / "config" / "config.yaml.j2"
SPECS = load_specs([])


def resolved(**variables: Any) -> catalogue.Platform:
    models = {"ollama_models": ["small:1b"]}
    hosts = [
        host("edge", ["trusted"], "10.0.0.1", ["litellm"], **models, **variables),
        host("gpu-1", ["compute"], "10.0.0.2", ["ollama"], **models),
    ]
    return catalogue.resolve(SPECS, hosts)


def gateway(**variables: Any) -> dict[str, Any]:
    platform = resolved(**variables)
    assert platform.problems == []
    return one(platform.fleet, "litellm")


def told(**variables: Any) -> dict[str, str]:
    """Variable → what is wrong with it."""
    return {problem.variable: problem.expected for problem in resolved(**variables).problems}


def test_the_key_of_a_client_that_has_gone_may_stay_in_the_vault() -> None:
    """It is as like the others' keys as the names of clients are."""
    left = {
        "vault_litellm_client_editor": "sk-" + "x1" * 12,
        "vault_litellm_client_editor_previous": "sk-" + "x2" * 12,
    }
    assert gateway(litellm_clients=[{"name": "editors"}], **left)
    assert "vault_litellm_client" in told(litellm_clients=[{"name": "editors"}], vault_litellm_client="x")


def test_a_server_that_hearth_does_not_manage_serves_beside_the_platforms_own() -> None:
    small, large = view_backends.backends(gateway(litellm_servers=[DESKTOP]))

    assert small["servers"] == [
        {"name": "gpu-1", "address": "10.0.0.2:11434", "weight": 1},
        {"name": "desktop", "address": "10.0.0.9:11434", "weight": 2},
    ]
    assert [server["name"] for server in large["servers"]] == ["desktop"]


def test_its_models_are_the_gateways_too() -> None:
    names = [model["name"] for model in gateway(litellm_servers=[DESKTOP])["models"]]
    assert names == ["small:1b", "large:70b"]


def test_a_providers_models_are_called_with_its_key_from_the_environment() -> None:
    service = gateway(litellm_providers=[PROVIDER])

    _small, first, second = view_litellm.models(service)

    assert first["litellm_params"] == {
        "model": "openai/gpt-4o",
        "api_key": "os.environ/LITELLM_PROVIDER_OPEN_AI",
    }
    assert (second["model_name"], second["litellm_params"]["model"]) == ("smart", "openai/o9")
    keys = view_litellm.provider_keys(service, {"litellm_provider_open_ai": "key"})
    assert keys == {"LITELLM_PROVIDER_OPEN_AI": "key"}


@pytest.mark.parametrize(
    ("kind", "model"), [("anthropic", "anthropic/claude"), ("compatible", "openai/claude")]
)
def test_other_kinds_are_called_in_their_own_way_at_their_address(kind: str, model: str) -> None:
    provider = {"name": "p", "kind": kind, "url": "https://api.example.org/v1/", "models": ["claude"]}
    params = view_litellm.models(gateway(litellm_providers=[provider]))[-1]["litellm_params"]
    assert params["model"] == model
    assert params["api_base"] == "https://api.example.org/v1"


def test_a_provider_without_a_key_is_a_problem_that_no_playbook_mends() -> None:
    platform = resolved(litellm_providers=[PROVIDER])
    hosts = [
        host("edge", ["trusted"], "10.0.0.1", ["litellm"]),
        host("gpu-1", ["compute"], "10.0.0.2", ["ollama"]),
    ]

    [problem] = [
        problem
        for problem in catalogue.check_secrets(platform, hosts)
        if problem.variable == "vault_litellm_provider_open_ai"
    ]

    assert problem.expected == "is missing"
    assert "yourself" in problem.remedy


@pytest.mark.parametrize("name", ["open-ai", "OPEN AI", "Open AI"])
def test_no_two_providers_share_a_key(name: str) -> None:
    """It would be sent to the address of the other one."""
    other = {"name": name, "kind": "compatible", "url": "https://other.example", "models": ["n"]}
    [expected] = told(litellm_providers=[PROVIDER, other]).values()
    assert "would share vault_litellm_provider_open_ai with Open AI" in expected


@pytest.mark.parametrize("name", ["", " "])
def test_clients_and_providers_have_names(name: str) -> None:
    written = {"litellm_clients": [{"name": name}], "litellm_providers": [{**PROVIDER, "name": name}]}
    assert set(told(**written)) == {"litellm_clients[0].name", "litellm_providers[0].name"}


def test_an_alias_is_the_model_under_another_name() -> None:
    small, alias = view_litellm.models(gateway(litellm_aliases={"gpt-3.5-turbo": "small:1b"}))

    assert alias["model_name"] == alias["model_info"]["id"] == "gpt-3.5-turbo"
    assert alias["litellm_params"] == small["litellm_params"]


def test_a_fallback_of_any_name_is_read_as_it_was_written() -> None:
    service = gateway(
        litellm_aliases={"🔥": "small:1b", "a'b: #\"": "small:1b"},
        litellm_fallbacks=(wanted := {"🔥": ["a'b: #\""]}),
    )
    made = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    made.filters |= {
        "hearth.llm.litellm_models": view_litellm.models,
        "hearth.llm.litellm_fallbacks": view_litellm.fallbacks,
        "to_nice_yaml": to_nice_yaml,
        "to_json": to_json,
    }
    text = made.from_string(CONFIG.read_text()).render(service=service)
    assert yaml.safe_load(text)["router_settings"]["fallbacks"] == [wanted]


def test_fallbacks_are_handed_on_in_their_order() -> None:
    service = gateway(litellm_servers=[DESKTOP], litellm_fallbacks={"large:70b": ["small:1b"]})
    assert view_litellm.fallbacks(service) == [{"large:70b": ["small:1b"]}]


def test_two_models_may_stand_in_for_each_other() -> None:
    mutual = {"large:70b": ["small:1b"], "small:1b": ["large:70b"]}
    assert gateway(litellm_servers=[DESKTOP], litellm_fallbacks=mutual)


def test_a_client_may_use_every_name_of_a_model() -> None:
    names = ["small:1b", "large:70b", "smart", "fast"]
    assert gateway(
        litellm_servers=[DESKTOP],
        litellm_providers=[PROVIDER],
        litellm_aliases={"fast": "small:1b"},
        litellm_clients=[{"name": "a", "models": names}, {"name": "b", "models": []}],
    )


def test_an_unknown_model_is_told_with_the_one_that_may_be_meant() -> None:
    [problem] = resolved(litellm_clients=[{"name": "a", "models": ["smal:1b"]}]).problems
    assert problem.remedy == "did you mean small:1b? models here: small:1b"


@pytest.mark.parametrize(
    ("variable", "written"),
    [
        ("litellm_servers[0].url", {"litellm_servers": [{**DESKTOP, "url": "https://desktop:11434"}]}),
        ("litellm_servers[0].url", {"litellm_servers": [{**DESKTOP, "url": "http://desktop:1234/v1"}]}),
        ("litellm_servers[0].weight", {"litellm_servers": [{**DESKTOP, "weight": 0}]}),
        ("litellm_servers[0].models[0]", {"litellm_servers": [{**DESKTOP, "models": ["a b"]}]}),
        ("litellm_providers[0].url", {"litellm_providers": [{**PROVIDER, "kind": "compatible"}]}),
        ("litellm_providers[0].models[0]", {"litellm_providers": [{**PROVIDER, "models": [{"nmae": "a"}]}]}),
        ("litellm_providers: Open AI", {"litellm_providers": [{**PROVIDER, "models": ["small:1b"]}]}),
        ("litellm_aliases", {"litellm_aliases": {"small:1b": "small:1b"}}),
        ("litellm_aliases.fast", {"litellm_aliases": {"fast": "smal:1b"}}),
        ("litellm_aliases.fast", {"litellm_aliases": {"fast": 1}}),
        ("litellm_fallbacks", {"litellm_fallbacks": {"smal:1b": ["small:1b"]}}),
        ("litellm_fallbacks.small:1b", {"litellm_fallbacks": {"small:1b": ["other"]}}),
        ("litellm_fallbacks.small:1b", {"litellm_fallbacks": {"small:1b": "other"}}),
        ("litellm_fallbacks.small:1b", {"litellm_fallbacks": {"small:1b": ["small:1b"]}}),
        (
            "litellm_fallbacks.small:1b",
            {"litellm_servers": [DESKTOP], "litellm_fallbacks": {"small:1b": ["large:70b", "large:70b"]}},
        ),
        ("litellm_clients: a.models", {"litellm_clients": [{"name": "a", "models": ["smal:1b"]}]}),
        ("litellm_clients: a.models", {"litellm_clients": [{"name": "a", "models": ["*"]}]}),
        ("litellm_clients: a.models", {"litellm_clients": [{"name": "a", "models": ["all-proxy-models"]}]}),
        ("litellm_clients: a.rpm", {"litellm_clients": [{"name": "a", "rpm": 0}]}),
        ("litellm_clients: a.tpm", {"litellm_clients": [{"name": "a", "tpm": -1}]}),
        ("litellm_clients: a.parallel", {"litellm_clients": [{"name": "a", "parallel": 0}]}),
        ("litellm_providers", {"litellm_providers": [{**PROVIDER, "kind": "opneai"}]}),
        ("litellm_providers[0].models", {"litellm_providers": [{**PROVIDER, "models": []}]}),
        *(
            (
                "litellm_providers[0].models[0].model",
                {"litellm_providers": [{**PROVIDER, "models": [{"name": "smart", "model": model}]}]},
            )
            for model in (True, 5, ["a"])
        ),
        *(
            ("litellm_aliases", {"litellm_aliases": {name: "small:1b"}})
            for name in ("", " ", "*", "gpt-*", "a\nb", "a\x85", "\u2028", "all-proxy-models")
        ),
    ],
)
def test_what_cannot_be_meant_is_reported_by_its_variable(variable: str, written: dict[str, Any]) -> None:
    assert variable in told(**written)


@pytest.mark.parametrize(
    "name",
    ["", "my desktop", "desk#1", 'a"b', "a'b", "a/b", "ü", "a\nb", "desktop\n", "gpu-1-unchecked", "gpu-1"],
)
def test_a_servers_name_is_one_that_the_load_balancer_takes(name: str) -> None:
    """Whatever else stands there would be its configuration, or a second server of that name."""
    assert "litellm_servers" in told(litellm_servers=[{**DESKTOP, "name": name}])


def test_each_server_has_a_name_of_its_own() -> None:
    """Among those of a model: a second program on a host may be called as the host is."""
    other = {**DESKTOP, "url": "http://10.0.0.8:1", "models": ["large:70b"]}
    twice = {"litellm_servers": "is also the name of another server of large:70b"}
    assert told(litellm_servers=[DESKTOP, other]) == twice
    beside = {**other, "name": "gpu-1"}
    assert told(litellm_servers=[beside]) == {}
    assert told(litellm_servers=[{**beside, "models": ["small:1b"]}]) == {
        "litellm_servers": "is also the name of another server of small:1b"
    }


def test_a_hosts_name_is_one_that_the_load_balancer_takes() -> None:
    hosts = [
        host("edge", ["trusted"], "10.0.0.1", ["litellm"]),
        host("gpu #1", ["compute"], "10.0.0.2", ["ollama"]),
    ]
    [problem] = catalogue.resolve(SPECS, hosts).problems
    assert (problem.host, problem.variable) == ("gpu #1", "inventory_hostname")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("desktop:11434", "is not an address that begins with http://"),
        ("http://", "is not an address that begins with http://"),
        ("http://user:hunter2@desktop", "has a user or a password in it"),
        ("http://:hunter2@desktop", "has a user or a password in it"),
        ("http://desk top:1", "has ' ' in it"),
        ("http://desktop:1\n", "has '\\n' in it"),
        ("http://'desktop':1", 'has "\'" in it'),
        ("http://desktop\\x:1", "has '\\\\' in it"),
        ("http://a,b:1", "has ',' in it"),
        ("http://*:1", "has '*' in it"),
        ("http://ü.lan:1", "has 'ü' in it"),
        ("http://desktop:1#x", "has '#' in it"),
        ("http://desktop:1?", "has '?' in it"),
        ("http://[fd00::2", "has a host or a port that cannot be read"),
        ("http://fd00::2:11434", "has a host or a port that cannot be read"),
        ("http://desktop:99999", "has a host or a port that cannot be read"),
        ("http://desktop:0", "has a port that is none"),
        ("http://1.2.3.999:1", "has neither a host's name nor an IP address in it"),
        ("http://$HOST:1", "has neither a host's name nor an IP address in it"),
        ("http://[fe80::1%25eth0]:1", "has neither a host's name nor an IP address in it"),
        ("http://desktop:1/v1", "has a path"),
    ],
)
def test_a_wrong_address_is_told_by_what_is_wrong_with_it(url: str, expected: str) -> None:
    [problem] = resolved(litellm_servers=[{**DESKTOP, "url": url}]).problems
    assert problem.variable == "litellm_servers[0].url"
    assert problem.expected.startswith(expected)
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    "url", ["http://desktop", "HTTP://my_desktop.lan:1/", "http://10.0.0.9:11434", "http://[fd00::2]:11434"]
)
def test_addresses_of_servers_are_taken(url: str) -> None:
    assert gateway(litellm_servers=[{**DESKTOP, "url": url}])


def test_a_password_in_an_address_is_nowhere_shown() -> None:
    provider = {"name": "p", "kind": "compatible", "url": "https://:hunter2@api.example/v1", "models": ["m"]}
    for written in (provider, {**provider, "kind": "opneai"}, {**provider, "url": "u:hunter2@h"}):
        [problem] = resolved(litellm_providers=[written]).problems
        assert "hunter2" not in str(problem)
        assert "***@" in str(problem)


@pytest.mark.parametrize(
    "models",
    [
        ["x", {"name": "x", "digest": "a" * 64}, {"name": "x", "digest": "b" * 64}],
        [{"name": "x", "digest": "a" * 12}, *({"name": "x", "digest": "a" * 12 + end * 52} for end in "ab")],
    ],
)
def test_a_host_is_compared_with_every_host_before_it(models: list[Any]) -> None:
    """The first one may say too little to differ from any other."""
    hosts = [
        host(f"gpu-{index}", ["compute"], f"10.0.0.{index}", ["ollama"], ollama_models=[model])
        for index, model in enumerate(models, 1)
    ]
    [problem] = catalogue.resolve(SPECS, hosts).problems
    assert (problem.host, problem.variable) == ("gpu-3", "ollama: x.digest")
    assert problem.expected.startswith("gpu-2 has aaaaaaaaaaaa")


def test_what_a_list_of_dictionaries_says_is_taken_by_its_types() -> None:
    """`models: small:1b` would be seven models of one letter each, and LiteLLM answers a name of digits with 500."""
    client, *_services = gateway(litellm_clients=[{"name": 2024, "models": "small:1b", "rpm": "20"}])[
        "clients"
    ]

    assert {key: client[key] for key in ("name", "models", "rpm")} == {
        "name": "2024",
        "models": ["small:1b"],
        "rpm": 20,
    }
    provider = gateway(litellm_providers=[{**PROVIDER, "models": "gpt"}])["gateway"]["providers"][0]
    assert [model["name"] for model in provider["models"]] == ["gpt"]


def test_a_key_without_a_value_is_not_set() -> None:
    """Validation adds the keys that it knows: `models` without a value must not become a list."""
    for written in ({"name": "a"}, {"name": "a", "models": None}):
        client, *_services = gateway(litellm_clients=[written])["clients"]
        assert set(client) == {"name", "service", "secret"}
    assert gateway(litellm_servers=[{**DESKTOP, "weight": None}])["gateway"]["servers"][0]["weight"] == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"name": "a", "rpm": True}, "litellm_clients[0].rpm is true, not a number"),
        ({"name": "a", "models": [None]}, "litellm_clients[0].models[0] has no value"),
        ({"name": None}, "missing required arguments: name found in litellm_clients"),
    ],
)
def test_what_would_be_converted_and_is_not_meant_is_refused(written: dict[str, Any], expected: str) -> None:
    assert told(litellm_clients=[written])["litellm_clients"] == expected


def test_a_share_of_the_load_is_a_number_that_the_balancer_takes() -> None:
    hosts = [host("gpu-1", ["compute"], "10.0.0.2", ["ollama"], ollama_weight=0)]
    [problem] = catalogue.resolve(SPECS, hosts).problems
    assert (problem.host, problem.variable) == ("gpu-1", "ollama_weight")


@pytest.mark.parametrize(
    ("variables", "models"),
    [
        ({"litellm_servers": [DESKTOP]}, ["small:1b", "large:70b"]),
        ({"litellm_providers": [PROVIDER]}, ["gpt-4o", "smart"]),
    ],
)
def test_a_gateway_needs_no_model_server_of_the_platforms_own(
    variables: dict[str, Any], models: list[str]
) -> None:
    platform = catalogue.resolve(SPECS, [host("edge", ["trusted"], "10.0.0.1", ["litellm"], **variables)])
    assert platform.problems == []
    assert [entry["model_name"] for entry in view_litellm.models(one(platform.fleet, "litellm"))] == models


def test_a_gateway_to_nowhere_is_reported_with_what_could_be_behind_it() -> None:
    [problem] = catalogue.resolve(SPECS, [host("edge", ["trusted"], "10.0.0.1", ["litellm"])]).problems
    assert "no host runs one" in problem.expected
    assert "ollama or vllm" in problem.remedy
    assert "litellm_providers" in problem.remedy
