"""What Traefik is told: who may come in by which path, and where requests go."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.hearth.llm.plugins.filter.traefik import FilterModule
from ansible_collections.hearth.llm.plugins.module_utils.view_traefik import (
    acme_names,
    dashboard,
    labels,
    names,
    routes,
)

WIKI = {"name": "wiki", "fqdn": "wiki.example.org", "http": {"port": 3000}}


def service(**more: Any) -> dict[str, Any]:
    return {**WIKI, **more}


def routed(*all_routes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return service(http={"port": 3000, "routes": list(all_routes)}, **more)


def middlewares(found: dict[str, str], router: str = "wiki") -> list[str]:
    return [name for name in found.get(f"traefik.http.routers.{router}.middlewares", "").split(",") if name]


def described(found: dict[str, str]) -> set[str]:
    """The routers and services that labels describe."""
    return {".".join(key.split(".")[2:4]) for key in found if key.startswith("traefik.http.")}


def chosen(found: dict[str, str], path: str) -> str | None:
    """The router that Traefik picks for a path: the matching one of the highest priority."""
    matching = []
    for key, rule in found.items():
        if not key.endswith(".rule"):
            continue
        exact = set(re.findall(r"(?<!\w)Path\(`([^`]+)`\)", rule))
        below = re.findall(r"PathPrefix\(`([^`]+)`\)", rule)
        if not (exact or below) or path in exact or path.startswith(tuple(below)):
            router = key.split(".")[3]
            matching.append((int(found[f"traefik.http.routers.{router}.priority"]), router))
    assert len(matching) == len({priority for priority, _router in matching}), "undecided"
    return max(matching)[1] if matching else None


REPLICAS = service(
    replicated="wiki", http={"port": 3000, "container": "wiki", "health": "/up", "routes": [{"guard": "key"}]}
)


class TestReplicas:
    def test_each_is_looked_at_and_a_request_that_none_began_goes_to_another(self) -> None:
        found = labels(REPLICAS)
        (name,) = {value for key, value in found.items() if key.endswith(".service")}
        assert found[f"traefik.http.services.{name}.loadbalancer.healthcheck.path"] == "/up"
        assert middlewares(found, name) == ["retry@file"]

    def test_it_is_tried_again_behind_the_guard(self) -> None:
        http = {**REPLICAS["http"], "routes": [{"guard": "basic"}]}
        found = labels({**REPLICAS, "http": http})
        (name,) = {value for key, value in found.items() if key.endswith(".service")}
        assert middlewares(found, name) == ["basic@file", "retry@file"]

    def test_what_a_replica_broke_off_goes_to_another_where_that_does_no_harm(self) -> None:
        found = labels({**REPLICAS, "http": {**REPLICAS["http"], "repeatable": True}})
        (name,) = {value for key, value in found.items() if key.endswith(".service")}
        assert middlewares(found, name) == ["repeat@file"]

    @pytest.mark.parametrize(
        "change",
        [
            {"fqdn": "words.example.org"},
            {"access": "lan"},
            {"http": {**REPLICAS["http"], "port": 3001}},
            {"http": {**REPLICAS["http"], "health": "/ready"}},
            {"http": {**REPLICAS["http"], "repeatable": True}},
            {"replicated": None},
        ],
    )
    def test_old_and_new_ones_side_by_side_contradict_each_other_in_nothing(self, change: Any) -> None:
        """Traefik drops a router or service of which two containers say different things."""
        old, new = labels(REPLICAS), labels({**REPLICAS, **change})
        assert described(old)
        assert not described(old) & described(new)

    def test_what_says_the_same_has_the_same_names(self) -> None:
        assert labels({**REPLICAS, "replicas": 3}) == labels(REPLICAS)

    @pytest.mark.parametrize("replicated", [None, "database"])
    def test_a_lone_container_is_left_to_docker(self, replicated: str | None) -> None:
        found = labels({**REPLICAS, "replicated": replicated})
        assert not [name for name in found if "healthcheck" in name]
        assert middlewares(found) == []


class TestLabels:
    def test_three_values_are_enough(self) -> None:
        assert labels(WIKI) == {
            "traefik.enable": "true",
            "traefik.docker.network": "frontend",
            "traefik.http.routers.wiki.rule": "Host(`wiki.example.org`)",
            "traefik.http.routers.wiki.priority": "1",
            "traefik.http.routers.wiki.entrypoints": "websecure",
            "traefik.http.routers.wiki.tls": "true",
            "traefik.http.routers.wiki.service": "wiki",
            "traefik.http.services.wiki.loadbalancer.server.port": "3000",
        }

    def test_ones_own_traefik_may_be_different(self) -> None:
        found = labels(WIKI, network="proxy", entrypoint="https")
        assert found["traefik.docker.network"] == "proxy"
        assert found["traefik.http.routers.wiki.entrypoints"] == "https"

    @pytest.mark.parametrize(
        ("guard", "added"),
        [
            ("open", []),
            ("key", []),
            ("oidc", []),
            ("basic", ["basic@file"]),
            ("admin", ["admin@file"]),
            ("sso", ["sign-on@file"]),
        ],
    )
    def test_a_guard_decides_who_may_come_in(self, guard: str, added: list[str]) -> None:
        assert middlewares(labels(routed({"guard": guard}))) == added

    @pytest.mark.parametrize("guard", ["open", "key", "oidc", "basic", "admin", "sso"])
    @pytest.mark.parametrize(("access", "added"), [("lan", "private-only@file"), ("public", "hsts@file")])
    def test_access_adds_to_every_guard(self, guard: str, access: str, added: str) -> None:
        plain = middlewares(labels(routed({"guard": guard})))
        assert middlewares(labels(routed({"guard": guard}, access=access))) == [added, *plain]

    def test_a_public_open_route_is_open(self) -> None:
        assert "private-only@file" not in middlewares(labels(routed({"guard": "open"}, access="public")))

    def test_a_certificate_by_http_is_for_the_name_one_by_dns_for_the_domain(self) -> None:
        tls = "traefik.http.routers.wiki.tls."
        by_http = labels(service(access="public", acme="http-01"))
        assert {key: value for key, value in by_http.items() if key.startswith(tls)} == {
            f"{tls}certresolver": "acme"
        }
        by_dns = labels(service(access="public", acme="dns-01", domain="example.org"))
        assert {key: value for key, value in by_dns.items() if key.startswith(tls)} == {
            f"{tls}certresolver": "acme",
            f"{tls}domains[0].main": "*.example.org",
        }
        assert not [key for key in labels(service(access="public")) if key.startswith(tls)]

    @pytest.mark.parametrize("http", [None, {"port": 3000, "routes": [{"guard": "internal"}]}])
    def test_an_internal_service_has_no_router(self, http: dict[str, Any] | None) -> None:
        assert labels({"name": "store", "fqdn": None, "http": http}) == {"traefik.enable": "false"}

    def test_a_path_is_matched_by_whole_segments(self) -> None:
        found = labels(routed({"guard": "key", "paths": ["/v1", "/health/"]}))
        assert found["traefik.http.routers.wiki.rule"] == (
            "Host(`wiki.example.org`) && (Path(`/v1`) || PathPrefix(`/v1/`) || PathPrefix(`/health/`))"
        )
        assert chosen(found, "/v1/models") == "wiki"
        assert chosen(found, "/v1beta") is None

    def test_the_deeper_route_wins_however_many_paths_the_other_names(self) -> None:
        many = [f"/{letter * 9}" for letter in "abcdefgh"]
        found = labels(
            routed(
                {"guard": "open"},
                {"guard": "key", "paths": ["/api", *many]},
                {"guard": "admin", "paths": ["/api/admin"]},
            )
        )
        assert chosen(found, "/") == "wiki"
        assert chosen(found, "/api/x") == "wiki-1"
        assert chosen(found, "/api/admin/x") == "wiki-2"

    def test_an_internal_path_below_an_open_route_turns_everybody_away(self) -> None:
        found = labels(routed({"guard": "open"}, {"guard": "internal", "paths": ["/metrics"]}))
        assert chosen(found, "/metrics") == "wiki-1"
        assert middlewares(found, "wiki-1") == ["nobody@file"]

    def test_an_internal_path_that_no_route_covers_needs_no_router(self) -> None:
        found = labels(routed({"guard": "key", "paths": ["/v1"]}, {"guard": "internal", "paths": ["/ui"]}))
        assert chosen(found, "/ui") is None

    def test_routers_go_by_the_names_of_the_catalogue(self) -> None:
        found = labels(routed({"name": "wiki-pages", "guard": "open"}))
        assert "traefik.http.routers.wiki-pages.rule" in found

    @pytest.mark.parametrize(
        ("wrong", "expected"),
        [
            ({"name": "Wiki`"}, "name = 'Wiki`': expected lower-case"),
            ({"fqdn": None}, "wiki: fqdn = None: expected a full host name"),
            ({"fqdn": "a`) || Host(`b"}, "expected a full host name"),
            ({"fqdn": "wiki.example.org\n"}, "expected a full host name"),
            ({"fqdn": "-a.org"}, "expected a full host name"),
            ({"fqdn": "a" * 64 + ".org"}, "expected a full host name"),
            ({"access": "everyone"}, "wiki: access = 'everyone': expected one of local, lan, public"),
            ({"http": {"port": "3000"}}, "wiki: http.port = '3000': expected the container's port"),
            ({"http": {"port": 0}}, "expected the container's port"),
            ({"http": {"port": True}}, "expected the container's port"),
            ({"http": 3000}, "wiki: http = 3000: expected a dictionary"),
            ({"http": {"port": 1, "routes": [{"guard": "nobody"}]}}, r"routes\[0\].guard = 'nobody'"),
            ({"http": {"port": 1, "routes": [{"paths": ["/a"]}]}}, "expected a dictionary with `guard`"),
            (
                {"http": {"port": 1, "routes": [{"guard": "key", "paths": ["v1"]}]}},
                "paths = 'v1': expected a path",
            ),
            (
                {"http": {"port": 1, "routes": [{"guard": "key", "paths": ["/a`b"]}]}},
                "expected a path that begins",
            ),
        ],
    )
    def test_what_would_not_be_a_rule_is_refused(self, wrong: dict[str, Any], expected: str) -> None:
        with pytest.raises(ValueError, match=expected):
            labels(service(**wrong))

    @pytest.mark.parametrize(
        "all_routes",
        [
            [{"guard": "open"}, {"guard": "key"}],
            [{"guard": "key", "paths": ["/a"]}, {"guard": "open", "paths": ["/a/"]}],
            [
                {"guard": "key", "paths": ["/long/path"]},
                {"guard": "admin", "paths": ["/x", "/long/path/deeper"]},
            ],
        ],
    )
    def test_a_path_that_two_routes_claim_is_refused(self, all_routes: list[dict[str, Any]]) -> None:
        with pytest.raises(ValueError, match="a path of one route only"):
            labels(routed(*all_routes))

    def test_the_filter_speaks_as_ansible(self) -> None:
        traefik_labels = FilterModule().filters()["traefik_labels"]
        assert traefik_labels(WIKI) == labels(WIKI)
        with pytest.raises(AnsibleFilterError, match=r"hearth\.llm\.traefik_labels: wiki: http\.port = 0"):
            traefik_labels(service(http={"port": 0}))
        with pytest.raises(AnsibleFilterError, match="expected a dictionary"):
            traefik_labels("wiki")


def placed(name: str, host: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "host": host,
        "front": "edge",
        "fqdn": f"{name}.example.org",
        "domain": "example.org",
        "access": "public",
        "acme": None,
        "http": {"port": 6333, "routes": [{"name": name, "guard": "basic", "paths": []}]},
        "api": {"port": 6333, "container": name},
        "publish": "10.0.0.2:6333",
        **more,
    }


class TestRoutes:
    def test_a_service_of_another_host_is_reached_at_the_port_it_publishes(self) -> None:
        fleet = {"services": [placed("pages", "edge"), placed("store", "gpu")]}
        assert routes(fleet, "edge") == {
            "http": {
                "routers": {
                    "store-gpu": {
                        "rule": "Host(`store.example.org`)",
                        "priority": 1,
                        "entryPoints": ["websecure"],
                        "tls": {},
                        "service": "store-gpu",
                        "middlewares": ["hsts@file", "basic@file"],
                    }
                },
                "services": {"store-gpu": {"loadBalancer": {"servers": [{"url": "http://10.0.0.2:6333"}]}}},
            }
        }

    def test_another_door_and_internal_services_have_no_part_in_it(self) -> None:
        inside = placed("store", "gpu", http={"port": 6333, "routes": [{"guard": "internal"}]})
        fleet = {
            "services": [placed("store", "gpu", front="other"), inside, placed("bare", "gpu", front=None)]
        }
        assert routes(fleet, "edge") == {}

    def test_lan_access_holds_for_other_hosts_too(self) -> None:
        found = routes({"services": [placed("store", "gpu", access="lan")]}, "edge")
        assert "private-only@file" in found["http"]["routers"]["store-gpu"]["middlewares"]

    @pytest.mark.parametrize("lacking", [{"publish": None}, {"api": {"port": 6334}}])
    def test_a_service_that_cannot_be_reached_is_an_error(self, lacking: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="store on gpu does not publish the port of its `http`"):
            routes({"services": [placed("store", "gpu", **lacking)]}, "edge")


class TestDashboard:
    def test_there_is_none_unless_a_guard_says_who_may_see_it(self) -> None:
        assert dashboard(routed({"guard": "internal"}, name="door")) == {}
        found = dashboard(routed({"guard": "admin"}, name="door", access="lan", fqdn="door.example.org"))
        assert found["http"]["routers"]["door"] == {
            "rule": "Host(`door.example.org`)",
            "priority": 1,
            "entryPoints": ["websecure"],
            "tls": {},
            "service": "api@internal",
            "middlewares": ["private-only@file", "admin@file"],
        }


class TestNames:
    def test_a_certificate_names_every_service_and_the_domain_below(self) -> None:
        fleet = {
            "services": [
                placed("wiki", "edge"),
                placed("store", "gpu"),
                placed("far", "gpu", front="other", domain="other.org"),
                placed("inner", "gpu", front=None),
                placed("door", "edge", front=None, fqdn=None),
            ]
        }
        assert names(fleet, "edge") == ["store.example.org", "wiki.example.org", "*.example.org"]

    def test_the_own_authority_leaves_alone_what_comes_by_acme(self) -> None:
        """Traefik asks for no certificate for a name that it has one for, by a wildcard either."""
        shop = placed("shop", "edge", acme="http-01")
        fleet = {"services": [shop, placed("wiki", "edge"), placed("far", "gpu", domain="other.org")]}
        assert names(fleet, "edge") == ["far.example.org", "wiki.example.org", "*.other.org"]
        assert acme_names(fleet, "edge") == ["shop.example.org"]
        assert names({"services": [shop]}, "edge") == ["nobody.example.org"]

    def test_no_wildcard_of_a_domain_of_one_label(self) -> None:
        local = placed("chat", "edge", fqdn="chat.localhost", domain="localhost")
        assert names({"services": [local]}, "edge") == ["chat.localhost"]
