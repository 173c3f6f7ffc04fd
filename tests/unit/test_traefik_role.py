"""What the role traefik writes for each way of access: valid YAML, and the settings that belong to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.plugin_utils.platform_run import load_specs
from fleet import host, one

ROLE = Path(__file__).parents[2] / "roles" / "traefik"
PUBLIC = {"access": "public", "domain": "home.example.org", "acme_email": "me@example.org"}


def door(*more: str, **variables: Any) -> dict[str, Any]:
    """Traefik as the catalogue has it, beside one service that people reach, and more stacks."""
    stacks = ["ollama", "litellm", "traefik", *more]
    platform = catalogue.resolve(
        load_specs([]), [host("edge", ["trusted", "compute"], "10.0.0.1", stacks, **variables)]
    )
    assert platform.problems == []
    return one(platform.fleet, "traefik")


def render(template: str, service: dict[str, Any], **variables: Any) -> str:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters["to_json"] = json.dumps
    made.filters["hearth.llm.env_value"] = str
    internal = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    given = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
        **service["variables"],
        "__traefik_identity_headers": internal["__traefik_identity_headers"],
        "__traefik_inner_port": 8080,
        "__traefik_name_server": "10.0.0.1:53",
        "fleet": {"platform": {"private_ranges": ["10.0.0.0/8"]}, "sign_on": None},
        "secrets": {"bind9_acme_key": "c2VjcmV0"},
        "lookup": lambda _plugin, path: f"<{path}>",
        **variables,
    }
    return made.get_template(template).render(service=service, **given)


def static(service: dict[str, Any], **variables: Any) -> dict[str, Any]:
    return yaml.safe_load(render("config/traefik.yaml.j2", service, **variables))


def middlewares(service: dict[str, Any], **variables: Any) -> dict[str, Any]:
    found = yaml.safe_load(render("config/dynamic/middlewares.yaml.j2", service, **variables))
    return found["http"]["middlewares"]


@pytest.mark.parametrize(
    "variables", [{}, {"access": "local"}, {**PUBLIC, "traefik_certificate": {"cert": "x", "key": "y"}}]
)
def test_without_acme_nothing_of_it_is_written(variables: dict[str, Any]) -> None:
    service = door(**variables)
    assert "certificatesResolvers" not in static(service)
    assert render("env.traefik.j2", service).strip() == ""
    assert render("config/acme/ca.crt.j2", service).strip() == ""


def test_an_authority_asks_by_http_unless_told_otherwise() -> None:
    service = door(**PUBLIC)
    found = static(service)["certificatesResolvers"]["acme"]["acme"]
    assert found["httpChallenge"] == {"entryPoint": "web"}
    assert found["email"] == "me@example.org"
    assert "dnsChallenge" not in found
    assert "caCertificates" not in found
    assert render("env.traefik.j2", service).strip() == ""


def test_an_authority_of_ones_own_is_believed() -> None:
    service = door(**PUBLIC, acme_server="https://ca.lan/dir", acme_ca="/ca.pem", acme_certificate_hours=24)
    found = static(service)["certificatesResolvers"]["acme"]["acme"]
    assert (found["caServer"], found["certificatesDuration"]) == ("https://ca.lan/dir", 24)
    assert found["caCertificates"] == ["/etc/traefik/acme/ca.crt"]
    assert render("config/acme/ca.crt.j2", service).strip() == "</ca.pem>"


def test_by_dns_the_key_is_in_the_env_file_alone() -> None:
    service = door("bind9", **PUBLIC, acme_challenge="dns-01")
    assert "bind9_acme_key" in service["secrets"]
    found = static(service)["certificatesResolvers"]["acme"]["acme"]
    assert found["dnsChallenge"]["resolvers"] == ["10.0.0.1:53"]
    assert "httpChallenge" not in found
    assert "RFC2136_TSIG_SECRET=c2VjcmV0" in render("env.traefik.j2", service).splitlines()
    assert "c2VjcmV0" not in render("config/traefik.yaml.j2", service)


def test_clients_are_those_that_traefik_sees_unless_there_are_proxies() -> None:
    found = middlewares(door())
    assert found["rate-limit"]["rateLimit"]["sourceCriterion"] == {"ipStrategy": {"depth": 0}}
    assert "forwardedHeaders" not in static(door())["entryPoints"]["websecure"]
    proxies = {"traefik_trusted_proxies": ["203.0.113.7/32"]}
    found = middlewares(door(), **proxies)
    behind = {"ipStrategy": {"excludedIPs": ["203.0.113.7/32"]}}
    assert found["rate-limit"]["rateLimit"]["sourceCriterion"] == behind
    assert found["in-flight"]["inFlightReq"]["sourceCriterion"] == behind
    assert found["private-only"]["ipAllowList"]["ipStrategy"] == behind["ipStrategy"]
    assert "X-Real-Ip" in found["strip-identity"]["headers"]["customRequestHeaders"]
    assert static(door(), **proxies)["entryPoints"]["websecure"]["forwardedHeaders"] == {
        "trustedIPs": ["203.0.113.7/32"]
    }


def test_every_route_goes_through_the_front_doors_chain() -> None:
    assert static(door())["entryPoints"]["websecure"]["http"]["middlewares"] == ["front-door@file"]
    found = middlewares(door())
    assert set(found["front-door"]["chain"]["middlewares"]) <= set(found)
    without = middlewares(door(), traefik_request_limit=0)
    assert "request-size" not in without
    assert "request-size" not in without["front-door"]["chain"]["middlewares"]
    assert "experimental" not in static(door(), traefik_request_limit=0)


def test_there_is_no_page_of_traefiks_own_unless_somebody_may_see_it() -> None:
    assert "api" not in static(door())
    assert static(door(traefik_guard="admin"))["api"]["dashboard"] is True


def test_what_says_who_somebody_is_never_comes_from_a_client() -> None:
    stripped = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__traefik_identity_headers"]
    believed = [name for spec in load_specs([]).values() if spec.sign_on for name in spec.sign_on.headers]
    assert believed
    assert {name.lower() for name in believed} <= {name.lower() for name in stripped}
