"""Single sign-on: what the catalogue makes of it, what Traefik and authentik are told, and what is impossible."""

from __future__ import annotations

import itertools
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.hearth.llm.plugins.filter.authentik import blueprint as as_yaml
from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.module_utils.service_file import SpecError, read
from ansible_collections.hearth.llm.plugins.module_utils.view_authentik import (
    OUTPOST_TOKEN,
    blueprint,
    outpost_id,
)
from ansible_collections.hearth.llm.plugins.module_utils.view_sign_on import dynamic
from ansible_collections.hearth.llm.plugins.module_utils.view_traefik import labels, networks
from authentik_client import models
from fleet import PAGE, host, one
from fleet import specs as plain_specs

SIGN = {
    "title": "Sign",
    "tier": "trusted",
    "order": 55,
    "variables": {"sign_version": "1", "sign_hostname": "sign"},
    "images": {"sign": {"name": "ghcr.io/some/sign", "version": "sign_version"}},
    "http": {"port": 9000, "routes": [{"guard": "open"}]},
    "sign_on": {
        "container": "sign-outpost",
        "port": 9000,
        "path": "/outpost",
        "check": "/outpost/auth",
        "headers": ["X-Name"],
        "issuer": "/o/{name}/",
    },
}
SIGNING_PAGE = {
    **PAGE,
    "http": {"port": 8080, "routes": [{"guard": "open"}], "trusts_sign_on": True},
    "oidc": {"redirects": ["/oauth/callback"], "secret": "page_oidc_secret"},
    "secrets": {**PAGE["secrets"], "page_oidc_secret": {"kind": "key"}},
}
TOOL = {
    "title": "Tool",
    "description": "Managed by path",
    "tier": "trusted",
    "variables": {"tool_version": "1", "tool_hostname": "tool"},
    "images": {"tool": {"name": "ghcr.io/some/tool", "version": "tool_version"}},
    "http": {"port": 80, "routes": [{"guard": "key", "paths": ["/v1"]}, {"guard": "admin"}]},
}
STACKS = ["door", "gate", "page", "sign", "tool"]
PUBLIC = {"sign_access": "public", "domain": "example.org", "acme_email": "me@example.org"}


def specs() -> dict[str, Any]:
    more = {"sign": SIGN, "page": SIGNING_PAGE, "tool": TOOL}
    return {**plain_specs(), **{name: read(name, f"test.{name}", text, {}) for name, text in more.items()}}


def platform(stacks: list[str] | None = None, more: Any = (), **variables: Any) -> catalogue.Platform:
    edge = host("edge", ["trusted"], "10.0.0.1", stacks or STACKS, model_models=["small:1b"], **variables)
    gpu = host("gpu-1", ["compute"], "10.0.0.2", ["model"], model_models=["small:1b"])
    return catalogue.resolve(specs(), [edge, gpu, *more])


def fleet(**variables: Any) -> dict[str, Any]:
    found = platform(**variables)
    assert found.problems == []
    return found.fleet


def entries(given: dict[str, Any], model: str, state: str = "present") -> dict[str, dict[str, Any]]:
    """The blueprint's entries of one model by their first identifier."""
    return {
        str(next(iter(entry["identifiers"].values()))): entry
        for entry in blueprint(given)["entries"]
        if entry["model"].endswith(f".{model}") and entry.get("state") == state
    }


class TestCatalogue:
    def test_the_platform_knows_its_sign_on(self) -> None:
        assert fleet()["sign_on"] == {
            "service": "sign",
            "host": "edge",
            "fqdn": "sign.lan",
            "url": "https://sign.lan",
            "outpost": "http://sign-outpost:9000",
            "path": "/outpost",
            "check": "/outpost/auth",
            "headers": ["X-Name"],
            "issuer": "/o/{name}/",
        }

    def test_without_one_there_is_none(self) -> None:
        found = fleet(stacks=["door", "gate", "page"])
        assert found["sign_on"] is None
        assert one(found, "page")["sign_on"] is None

    def test_an_application_that_signs_in_itself_is_told_where(self) -> None:
        found = fleet(page_guard="oidc", door_https_port=8443)
        assert one(found, "page")["oidc"] == {
            "client_id": "page",
            "secret": "page_oidc_secret",
            "redirects": ["https://page.lan:8443/oauth/callback"],
            "issuer": "https://sign.lan:8443/o/page/",
            "discovery": "https://sign.lan:8443/o/page/.well-known/openid-configuration",
        }

    def test_both_sides_of_an_application_read_its_secret_and_nobody_else(self) -> None:
        found = fleet(page_guard="oidc")
        readers = [item["name"] for item in found["services"] if "page_oidc_secret" in item["secrets"]]
        assert sorted(readers) == ["page", "sign"]
        assert not [item for item in fleet()["services"] if "page_oidc_secret" in item["secrets"]]

    def test_a_service_that_believes_headers_meets_the_front_door_alone(self) -> None:
        found = fleet(page_guard="sso")
        page = one(found, "page")
        assert page["network"] == "page_door"
        assert found["hosts"]["edge"]["networks"].keys() == {"frontend", "page_door"}
        assert page["uses"]["gate"][0]["url"] == "https://gate.lan"
        assert page["publish"] is None
        assert {item["name"] for item in found["services"] if item["network"] != "frontend"} == {"page"}

    def test_behind_other_guards_it_is_where_everybody_is(self) -> None:
        page = one(fleet(page_guard="oidc"), "page")
        assert page["network"] == "frontend"
        assert page["uses"]["gate"][0]["url"] == "http://gate:4000"

    def test_whoever_may_see_a_service_concerns_the_sign_on(self) -> None:
        found = fleet(page_guard="sso", page_groups=["family"])
        assert "sign" in [item["name"] for item in catalogue.dependents(found, "edge", "page")]
        assert one(found, "page")["exports"] != one(fleet(page_guard="sso"), "page")["exports"]
        assert "sign" not in [item["name"] for item in catalogue.dependents(fleet(), "edge", "page")]

    @pytest.mark.parametrize(
        ("changes", "where", "words"),
        [
            (
                {"page_guard": "sso", "stacks": ["door", "gate", "page"]},
                "page_guard",
                "add sign to the stacks",
            ),
            ({"gate_guard": "oidc"}, "gate_guard", "cannot sign people in by itself"),
            ({"stacks": ["gate", "page", "sign"]}, "stacks", "and this host has none"),
            ({"gate_groups": ["family"]}, "gate_groups", "would keep nobody out"),
            ({"tool_guard": "sso"}, "tool_groups", "name the groups that may see both"),
            ({"page_guard": "sso", "gate_guard": "internal"}, "page_guard", "cannot be reached"),
        ],
    )
    def test_what_cannot_be_is_reported_with_its_remedy(
        self, changes: dict[str, Any], where: str, words: str
    ) -> None:
        found = [item for item in platform(**changes).problems if item.variable == where]
        assert any(words in f"{item.expected} {item.remedy}" for item in found), found

    def test_the_sign_on_guards_the_names_of_its_own_front_door(self) -> None:
        other = host("other", ["trusted"], "10.0.0.3", ["door", "tool"], tool_guard="sso", tool_groups=["a"])
        found = platform(stacks=["door", "gate", "page", "sign"], more=[other]).problems
        assert [(item.host, item.variable) for item in found] == [("other", "tool_guard")]
        assert "sign is on edge" in found[0].expected

    def test_an_application_elsewhere_would_not_believe_the_doors_own_authority(self) -> None:
        page = host("other", ["trusted"], "10.0.0.3", ["page"], page_guard="oidc")
        stacks = ["door", "gate", "sign"]
        found = platform(stacks=stacks, more=[page]).problems
        assert [(item.host, item.variable) for item in found] == [("other", "page_guard")]
        assert "run page on edge" in found[0].remedy
        assert platform(stacks=stacks, more=[page], **PUBLIC).problems == []

    def test_one_sign_on_is_enough(self) -> None:
        other = host("other", ["trusted"], "10.0.0.3", ["door", "sign"], sign_hostname="sign2")
        found = platform(more=[other]).problems
        assert [(item.host, item.variable, item.value) for item in found] == [("other", "stacks", "sign")]

    def test_a_secret_that_is_not_declared_is_a_mistake_of_the_service(self) -> None:
        with pytest.raises(SpecError, match="oidc.secret names page_oidc_secret"):
            read("page", "test.page", {**SIGNING_PAGE, "secrets": {}}, {})


class TestTraefik:
    def test_the_outpost_is_asked_and_its_answers_are_few(self) -> None:
        auth = dynamic(fleet(), "edge")["http"]["middlewares"]["sign-on"]["forwardAuth"]
        assert auth["address"] == "http://sign-outpost:9000/outpost/auth"
        assert auth["trustForwardHeader"] is True
        assert 0 < auth["maxResponseBodySize"] <= 1024**2
        assert auth["authResponseHeaders"] == ["X-Name"]

    def test_its_path_is_routed_under_each_guarded_name_and_no_other(self) -> None:
        routers = dynamic(fleet(page_guard="sso"), "edge")["http"]["routers"]
        assert {name: router["rule"] for name, router in routers.items()} == {
            "sign-on-page": "Host(`page.lan`) && PathPrefix(`/outpost/`)",
            "sign-on-tool": "Host(`tool.lan`) && PathPrefix(`/outpost/`)",
        }

    def test_that_path_is_kept_private_with_its_service_and_not_behind_the_sign_on_itself(self) -> None:
        routers = dynamic(fleet(page_guard="sso"), "edge")["http"]["routers"]
        assert routers["sign-on-page"]["middlewares"] == ["private-only@file"]

    def test_it_comes_before_every_route_of_the_service(self) -> None:
        found = fleet(page_guard="sso")
        mine = [value for key, value in labels(one(found, "page")).items() if key.endswith(".priority")]
        assert dynamic(found, "edge")["http"]["routers"]["sign-on-page"]["priority"] > max(map(int, mine))

    def test_another_host_and_a_platform_without_sign_on_have_none_of_it(self) -> None:
        assert dynamic(fleet(), "gpu-1") == {}
        assert dynamic(fleet(stacks=["door", "gate"]), "edge") == {}

    def test_an_api_by_keys_is_not_asked_for_a_sign_in(self) -> None:
        found = labels(one(fleet(), "tool"))
        assert "sign-on" not in found["traefik.http.routers.tool.middlewares"]
        assert "admin@file" in found["traefik.http.routers.tool-1.middlewares"]

    def test_traefik_goes_by_the_names_that_containers_ask_for(self) -> None:
        assert networks(fleet(page_guard="sso"), "edge") == {
            "frontend": ["sign.lan"],
            "page_door": ["gate.lan"],
        }
        assert labels(one(fleet(page_guard="sso"), "page"))["traefik.docker.network"] == "page_door"
        assert networks(fleet(stacks=["door", "gate"]), "edge") == {"frontend": []}


class TestBlueprint:
    def test_a_guarded_service_has_a_provider_and_an_application(self) -> None:
        found = fleet(page_guard="sso")
        provider = entries(found, "proxyprovider")["page-forward-auth"]["attrs"]
        assert provider["external_host"] == "https://page.lan"
        assert provider["mode"] == "forward_single"
        assert entries(found, "application")["page"]["attrs"]["provider"].value == "page-forward-auth"

    def test_the_outpost_has_every_provider_of_forward_auth_and_no_other(self) -> None:
        outpost = entries(fleet(page_guard="sso"), "outpost")
        (attrs,) = [entry["attrs"] for entry in outpost.values()]
        assert sorted(tag.value for tag in attrs["providers"]) == ["page-forward-auth", "tool-forward-auth"]

    def test_without_forward_auth_there_is_no_outpost(self) -> None:
        found = fleet(page_guard="oidc", stacks=["door", "gate", "page", "sign"])
        assert entries(found, "outpost") == {}
        assert list(entries(found, "application")) == ["page"]

    def test_an_application_that_signs_in_itself_has_a_client(self) -> None:
        found = fleet(page_guard="oidc")
        client = entries(found, "oauth2provider")["page-oidc"]["attrs"]
        assert client["client_id"] == "page"
        assert client["client_secret"].value == "HEARTH_PAGE_OIDC_SECRET"
        assert client["redirect_uris"] == [
            {"matching_mode": "strict", "url": "https://page.lan/oauth/callback"}
        ]
        assert client["signing_key"], "tokens would be signed with the client's secret"

    @pytest.mark.parametrize(("guard", "gone"), [("open", 2), ("sso", 1), ("oidc", 1)])
    def test_what_another_guard_needed_is_taken_away(self, guard: str, gone: int) -> None:
        found = fleet(page_guard=guard)
        absent = [*entries(found, "proxyprovider", "absent"), *entries(found, "oauth2provider", "absent")]
        assert len([name for name in absent if name.startswith("page-")]) == gone
        assert ("page" in entries(found, "application", "absent")) == (guard == "open")

    @pytest.mark.parametrize(
        ("variables", "who"),
        [
            ({}, "return True"),
            ({"page_groups": ["family", 'o"dd']}, 'for name in ["family", "o\\"dd"])'),
        ],
    )
    def test_groups_say_who_may_see_a_service(self, variables: dict[str, Any], who: str) -> None:
        found = fleet(page_guard="oidc", **variables)
        policy = entries(found, "expressionpolicy")["page-groups"]["attrs"]["expression"]
        assert policy.endswith(who)
        assert set(entries(found, "group", "created")) == set(variables.get("page_groups", ()))

    def test_who_is_known_by_an_address_needs_one(self) -> None:
        policy = entries(fleet(page_guard="sso"), "expressionpolicy")["page-groups"]["attrs"]["expression"]
        assert policy == "return bool(request.user.email)"

    @pytest.mark.parametrize(("is_admin", "role"), [(True, "admin"), (False, "user")])
    def test_an_application_is_always_told_a_role(self, is_admin: bool, role: str) -> None:
        attrs = entries(fleet(page_guard="oidc"), "scopemapping")["Hearth: roles"]["attrs"]
        assert attrs["scope_name"] == "profile"
        variables: dict[str, Any] = {
            "request": SimpleNamespace(user="somebody"),
            "ak_is_group_member": lambda user, name: is_admin and name == "authentik Admins",
        }
        exec(f"def claims():\n    {attrs['expression']}\nfound = claims()", variables)
        assert variables["found"] == {"roles": [role]}

    def test_what_only_administrators_open_is_shown_to_them_alone(self) -> None:
        policy = entries(fleet(), "expressionpolicy")["tool-groups"]["attrs"]["expression"]
        assert policy.endswith('for name in ["authentik Admins"])')

    def test_every_application_asks_its_policy(self) -> None:
        found = fleet(page_guard="sso")
        bindings = [item for item in blueprint(found)["entries"] if item["model"].endswith("policybinding")]
        bound = {item["identifiers"]["target"].value: item["attrs"]["policy"].value for item in bindings}
        assert bound == {name: f"{name}-groups" for name in entries(found, "application")}

    def test_outpost_account_and_token_are_known_before_they_exist(self) -> None:
        found = fleet()
        pk = outpost_id(found)
        assert pk == outpost_id(fleet(page_guard="sso"))
        assert list(entries(found, "outpost")) == [str(pk)]
        assert list(entries(found, "user", "created")) == [f"ak-outpost-{pk.hex}"]
        token = entries(found, "token")[f"ak-outpost-{pk}-api"]["attrs"]
        assert token["managed"] == f"goauthentik.io/outpost/ak-outpost-{pk}-api"
        assert (token["key"].name, token["key"].value) == ("Env", OUTPOST_TOKEN)

    def test_references_point_back_to_what_was_made_before(self) -> None:
        known: set[str] = set()
        for entry in blueprint(fleet(page_guard="sso"))["entries"]:
            for tag in _tags(entry):
                assert tag.name != "KeyOf" or tag.value in known, (entry, tag)
            known.add(entry.get("id", ""))


MODELS = {
    "authentik_core.group": models.GroupRequest,
    "authentik_core.user": models.UserRequest,
    "authentik_core.token": models.TokenRequest,
    "authentik_core.application": models.ApplicationRequest,
    "authentik_providers_proxy.proxyprovider": models.ProxyProviderRequest,
    "authentik_providers_oauth2.oauth2provider": models.OAuth2ProviderRequest,
    "authentik_outposts.outpost": models.OutpostRequest,
    "authentik_providers_oauth2.scopemapping": models.ScopeMappingRequest,
    "authentik_policies.policybinding": models.PolicyBindingRequest,
    "authentik_policies_expression.expressionpolicy": models.ExpressionPolicyRequest,
}
# Fields of authentik's serializers that exist for blueprints only, and so are in no model of the client.
BLUEPRINT_ONLY = {"authentik_core.token": {"key"}}
# Whose primary key is a number; that of others is a UUID.
NUMBERED = ("proxyprovider", "oauth2provider", "user")


class _Loader(yaml.SafeLoader):
    """Resolves authentik's tags to values of the right type, as a database full of everything would."""


def _resolved(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    if tag == "Env":
        return "x" * 40
    if tag == "Find":
        return str(uuid.uuid4())
    return ("key", node.value)


_Loader.add_multi_constructor("!", _resolved)


def _numbered(value: Any, numbers: dict[str, int | str]) -> Any:
    """KeyOf references as keys of the kind that the entry's model has."""
    if isinstance(value, dict):
        return {key: _numbered(item, numbers) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbered(item, numbers) for item in value]
    return numbers[value[1]] if isinstance(value, tuple) else value


@pytest.mark.parametrize("guard", ["open", "sso", "oidc"])
def test_the_blueprint_is_valid_by_authentiks_published_models(guard: str) -> None:
    """As authentik writes an entry: identifiers and attributes together, no unknown field, every required one."""
    groups = {} if guard == "open" else {"page_groups": ["family"]}
    document = yaml.load(as_yaml(fleet(page_guard=guard, **groups)), Loader=_Loader)
    assert document["version"] == 1
    keys: dict[str, int | str] = {}
    counter = itertools.count(1)
    for entry in document["entries"]:
        kind = entry["model"].rpartition(".")[2]
        keys[entry.get("id", "")] = next(counter) if kind in NUMBERED else str(uuid.uuid4())
        if entry.get("state") == "absent" or entry["model"].startswith("authentik_blueprints."):
            continue
        data = _numbered({**entry.get("attrs", {}), **entry["identifiers"]}, keys)
        model = MODELS[entry["model"]]
        allowed = {*model.model_fields, "pk", *BLUEPRINT_ONLY.get(entry["model"], ())}
        assert set(data) <= allowed, f"{entry['model']}: unknown {set(data) - allowed}"
        model.model_validate(data)


def _tags(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [tag for item in value.values() for tag in _tags(item)]
    if isinstance(value, list):
        return [tag for item in value for tag in _tags(item)]
    return [value] if hasattr(value, "name") and hasattr(value, "value") else []
