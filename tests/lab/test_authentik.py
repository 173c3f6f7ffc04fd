"""The stand-in for authentik signs people in: a real Traefik in front, a real OIDC client, the published API models.

Its blueprint rules are tested without Docker in tests/unit/test_lab_authentik.py.
"""

import http.server
import json
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker
import pytest
import requests
import yaml
from authentik_standin import client_models
from authlib.integrations.requests_client import OAuth2Session
from docker.models.containers import Container
from joserfc import jwt
from joserfc.jwk import KeySet

from . import engine, table
from .output import wait_until

pytestmark = pytest.mark.docker
ROWS = table.images()
DATABASE_PASSWORD = "p$w#1 é"
OUTPOST = "6f0d1b6e-8a5e-4a53-9b53-3c1f5f1f2a10"
KEYS = {"bootstrap": "the-operators-token", "outpost": "the-outposts-token"}
ISSUER = "http://auth.localhost/application/o/chat/"
CALLBACK = "http://chat.localhost/callback"
FORWARD_AUTH = "http://outpost:9000/outpost.goauthentik.io/auth/traefik"
HEADERS = "username groups entitlements email name uid jwt meta-jwks meta-outpost meta-provider meta-app meta-version"

BLUEPRINT = """
version: 1
metadata: {name: people and applications}
entries:
- model: authentik_blueprints.metaapplyblueprint
  attrs: {identifiers: {name: Default - Provider authorization flow (implicit consent)}}
- model: authentik_blueprints.metaapplyblueprint
  attrs: {identifiers: {name: Default - Provider invalidation flow}}
- model: authentik_blueprints.metaapplyblueprint
  attrs: {identifiers: {name: System - OAuth2 Provider - Scopes}}
- model: authentik_blueprints.metaapplyblueprint
  attrs: {identifiers: {name: System - Proxy Provider - Scopes}}
- {model: authentik_core.group, id: staff, identifiers: {name: staff}}
- model: authentik_core.user
  identifiers: {username: alice}
  attrs: {name: Alice Ærø, email: alice@example.org, password: !Env PEOPLES_PASSWORD, groups: [!KeyOf staff]}
- model: authentik_core.user
  identifiers: {username: bob}
  attrs: {name: Bob, email: bob@example.org, password: !Env PEOPLES_PASSWORD}
- model: authentik_providers_proxy.proxyprovider
  id: pad
  identifiers: {name: pad}
  attrs: &proxy
    mode: forward_single
    external_host: http://pad.localhost
    skip_path_regex: ^/public/
    authorization_flow: !Find [authentik_flows.flow, [slug, default-provider-authorization-implicit-consent]]
    invalidation_flow: !Find [authentik_flows.flow, [slug, default-provider-invalidation-flow]]
- model: authentik_core.application
  id: pad-application
  identifiers: {slug: pad}
  attrs: {name: Pad, provider: !KeyOf pad}
- model: authentik_policies.policybinding
  identifiers: {target: !KeyOf pad-application, order: 0}
  attrs: {group: !KeyOf staff}
- model: authentik_providers_oauth2.oauth2provider
  id: chat
  identifiers: {name: chat}
  attrs:
    client_id: chat
    client_secret: !Env CHAT_SECRET
    grant_types: [authorization_code, refresh_token]
    redirect_uris: [{matching_mode: strict, url: "http://chat.localhost/callback"}]
    signing_key: !Find [authentik_crypto.certificatekeypair, [name, authentik Self-signed Certificate]]
    property_mappings: !Enumerate
      - [openid, email, profile, offline_access]
      - SEQ
      - !Find
        - authentik_providers_oauth2.scopemapping
        - [managed, !Format ["goauthentik.io/providers/oauth2/scope-%s", !Value 0]]
    authorization_flow: !Find [authentik_flows.flow, [slug, default-provider-authorization-implicit-consent]]
    invalidation_flow: !Find [authentik_flows.flow, [slug, default-provider-invalidation-flow]]
- {model: authentik_core.application, identifiers: {slug: chat}, attrs: {name: Chat, provider: !KeyOf chat}}
- model: authentik_outposts.outpost
  identifiers: {pk: OUTPOST}
  attrs: {name: edge, type: proxy, providers: [!KeyOf pad], config: {authentik_host: "http://server:9000"}}
- model: authentik_core.user
  id: account
  identifiers: {username: ak-outpost-HEX}
  attrs: {name: Outpost, type: internal_service_account, path: goauthentik.io/outposts}
- model: authentik_core.token
  identifiers: {identifier: ak-outpost-OUTPOST-api}
  attrs:
    managed: goauthentik.io/outpost/ak-outpost-OUTPOST-api
    key: !Env OUTPOST_TOKEN
    user: !KeyOf account
    intent: api
    expiring: false
"""
DYNAMIC = {
    "http": {
        "routers": {
            "auth": {"rule": "Host(`auth.localhost`)", "service": "authentik"},
            "pad": {"rule": "Host(`pad.localhost`)", "service": "upstream", "middlewares": ["sign-on"]},
            "stranger": {
                "rule": "Host(`stranger.localhost`)",
                "service": "upstream",
                "middlewares": ["sign-on"],
            },
            "outpost": {
                "rule": "Host(`pad.localhost`) && PathPrefix(`/outpost.goauthentik.io/`)",
                "service": "outpost",
            },
        },
        "middlewares": {
            "sign-on": {
                "forwardAuth": {
                    "address": FORWARD_AUTH,
                    "authResponseHeaders": [f"X-authentik-{name}" for name in HEADERS.split()],
                }
            }
        },
        "services": {
            "authentik": {"loadBalancer": {"servers": [{"url": "http://server:9000"}]}},
            "outpost": {"loadBalancer": {"servers": [{"url": "http://outpost:9000"}]}},
        },
    }
}


class Upstream(http.server.BaseHTTPRequestHandler):
    """The guarded application: tells which headers reached it."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Quiet."""


@dataclass
class Platform:
    """Containers on a network of their own, and the password of the people in the blueprint."""

    client: docker.DockerClient
    folder: Path
    name: str = field(default_factory=lambda: f"hearth-lab-sign-on-{secrets.token_hex(3)}")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    chat_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    containers: dict[str, Container] = field(default_factory=dict)

    def run(self, name: str, row: str, command: list[str] | None = None, **options: Any) -> Container:
        """Start a container as strictly as a stack does; it answers on the network under its name."""
        strict = {"read_only": True, "cap_drop": ["ALL"], "tmpfs": {"/tmp": ""}} if row in STANDINS else {}
        container = self.client.containers.create(
            ROWS[row].reference,
            command,
            name=f"{self.name}-{name}",
            labels={engine.LABEL: "1"},
            security_opt=["no-new-privileges"],
            **strict | options,
        )
        self.client.networks.get(self.name).connect(container, aliases=[name])
        self.client.networks.get("bridge").disconnect(container)
        container.start()
        self.containers[name] = container
        return container

    def authentik(self, name: str, mode: str, **variables: str) -> Container:
        environment = {
            "AUTHENTIK_SECRET_KEY": "a-secret-key",
            "AUTHENTIK_POSTGRESQL__HOST": "postgres",
            "AUTHENTIK_POSTGRESQL__PASSWORD": DATABASE_PASSWORD,
        }
        volumes = {str(self.folder / "blueprints"): {"bind": "/blueprints/custom/test", "mode": "ro"}}
        return self.run(name, "authentik", [mode], environment=environment | variables, volumes=volumes)

    def address(self, name: str) -> str:
        self.containers[name].reload()
        return str(self.containers[name].attrs["NetworkSettings"]["Networks"][self.name]["IPAddress"])

    def healthy(self, name: str) -> bool:
        command = ["/proxy", "healthcheck"] if name == "outpost" else ["ak", "healthcheck"]
        return self.containers[name].exec_run(command).exit_code == 0

    def api(self, path: str, key: str = KEYS["bootstrap"], **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {key}"} | options.pop("headers", {})
        url = f"http://auth.localhost/api/v3/{path}/"
        return requests.request(options.pop("method", "GET"), url, headers=headers, timeout=20, **options)

    def blueprint_status(self, name: str) -> str:
        rows = self.api("managed/blueprints").json()["results"]
        return next((row["status"] for row in rows if row["name"] == name), "not there")

    def remove(self) -> None:
        for container in self.containers.values():
            container.remove(force=True, v=True)
        self.client.networks.get(self.name).remove()


STANDINS = ("authentik", "authentik-proxy")


@pytest.fixture(scope="module")
def platform(client: docker.DockerClient) -> Iterator[Platform]:
    # Not pytest's own folder: user 1000 may not look into that.
    folder = Path(tempfile.mkdtemp(prefix="hearth-lab-"))
    folder.chmod(0o755)
    platform = Platform(client, folder)
    network = client.networks.create(platform.name, labels={engine.LABEL: "1"})
    network.reload()
    gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]
    upstream = http.server.ThreadingHTTPServer((gateway, 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    try:
        start(platform, f"http://{gateway}:{upstream.server_port}")
        with pytest.MonkeyPatch.context() as patch:
            names_lead_to(patch, platform.address("traefik"))
            wait_until(lambda: platform.healthy("outpost"), "the outpost", 120)
            yield platform
    finally:
        platform.remove()
        upstream.shutdown()
        shutil.rmtree(folder)


def start(platform: Platform, upstream: str) -> None:
    (platform.folder / "blueprints").mkdir()
    text = BLUEPRINT.replace("OUTPOST", OUTPOST).replace("HEX", OUTPOST.replace("-", ""))
    text = text.replace(f"!Env {OUTPOST}_TOKEN", "!Env OUTPOST_TOKEN")
    (platform.folder / "blueprints" / "platform.yaml").write_text(text)
    services = DYNAMIC["http"]["services"] | {"upstream": {"loadBalancer": {"servers": [{"url": upstream}]}}}
    dynamic = {"http": DYNAMIC["http"] | {"services": services}}
    (platform.folder / "traefik").mkdir()
    (platform.folder / "traefik" / "dynamic.yaml").write_text(yaml.safe_dump(dynamic))
    database = {"POSTGRES_USER": "authentik", "POSTGRES_PASSWORD": DATABASE_PASSWORD}
    platform.run("postgres", "postgres", environment=database)
    platform.authentik(
        "worker",
        "worker",
        AUTHENTIK_BOOTSTRAP_PASSWORD=platform.password,
        AUTHENTIK_BOOTSTRAP_TOKEN=KEYS["bootstrap"],
        PEOPLES_PASSWORD=platform.password,
        CHAT_SECRET=platform.chat_secret,
        OUTPOST_TOKEN=KEYS["outpost"],
    )
    platform.authentik("server", "server")
    outpost = {
        "AUTHENTIK_HOST": "http://server:9000",
        "AUTHENTIK_HOST_BROWSER": "http://auth.localhost",
        "AUTHENTIK_TOKEN": KEYS["outpost"],
    }
    platform.run("outpost", "authentik-proxy", environment=outpost)
    arguments = ["--entryPoints.web.address=:80", "--providers.file.directory=/dynamic"]
    mount = {str(platform.folder / "traefik"): {"bind": "/dynamic", "mode": "ro"}}
    platform.run("traefik", "traefik", ["traefik", *arguments], volumes=mount)


def names_lead_to(patch: pytest.MonkeyPatch, address: str) -> None:
    """*.localhost is Traefik, as the platform's names are in a browser."""
    look_up = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        name = address if isinstance(host, str) and host.endswith(".localhost") else host
        return look_up(name, *arguments, **options)

    patch.setattr(socket, "getaddrinfo", resolve)


def sign_in(browser: requests.Session, url: str, user: str, password: str) -> requests.Response:
    """Open a page, fill in the two steps of the login that it leads to, and go where that leads."""
    form = browser.get(url, timeout=20)
    assert 'name="uidField"' in form.text or "name=uidField" in form.text, form.text
    assert urlsplit(form.url).netloc == "auth.localhost"
    named = browser.post(form.url, data={"uidField": user}, timeout=20)
    assert "name=password" in named.text
    return browser.post(form.url, data={"uidField": user, "password": password}, timeout=20)


# --- forward authentication ----------------------------------------------------------------------------------------


def test_nobody_gets_through_without_signing_in(platform: Platform) -> None:
    answer = requests.get("http://pad.localhost/x?y=1", allow_redirects=False, timeout=20)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("http://auth.localhost/application/o/authorize/?client_id=")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("authentik_proxy_")
    assert "HttpOnly" in cookie


def test_who_signs_in_reaches_the_application_with_their_identity(platform: Platform) -> None:
    browser = requests.Session()
    answer = sign_in(browser, "http://pad.localhost/x?y=1", "alice", platform.password)
    assert answer.url == "http://pad.localhost/x?y=1"
    got = answer.json()
    assert got["x-authentik-username"] == "alice"
    assert got["x-authentik-groups"] == "staff"
    assert got["x-authentik-email"] == "alice@example.org"
    assert got["x-authentik-name"].encode("latin-1").decode() == "Alice Ærø"
    assert got["x-authentik-meta-app"] == "pad"
    assert got["x-authentik-meta-version"] == "goauthentik.io/outpost/2026.8.3"
    assert got["x-authentik-jwt"].count(".") == 2
    assert browser.get("http://pad.localhost/again", timeout=20).json()["x-authentik-username"] == "alice"


def test_forged_identity_headers_do_not_help(platform: Platform) -> None:
    forged = {"X-authentik-username": "alice", "Cookie": "authentik_proxy_00000000=alice.0"}
    answer = requests.get("http://pad.localhost/", headers=forged, allow_redirects=False, timeout=20)
    assert answer.status_code == 302


def test_a_wrong_password_signs_nobody_in(platform: Platform) -> None:
    answer = sign_in(requests.Session(), "http://pad.localhost/", "alice", "wrong")
    assert "Invalid password" in answer.text


def test_who_is_not_in_the_group_is_denied(platform: Platform) -> None:
    browser = requests.Session()
    answer = sign_in(browser, "http://pad.localhost/", "bob", platform.password)
    assert "Permission denied" in answer.text
    assert browser.get("http://pad.localhost/", allow_redirects=False, timeout=20).status_code == 302
    assert "Pad" not in browser.get("http://auth.localhost/if/user/", timeout=20).text


def test_open_paths_need_no_sign_in_and_carry_no_identity(platform: Platform) -> None:
    got = requests.get("http://pad.localhost/public/logo", timeout=20).json()
    assert not [name for name in got if name.startswith("x-authentik")]


def test_a_host_that_no_provider_has_is_refused(platform: Platform) -> None:
    answer = requests.get("http://stranger.localhost/", timeout=20)
    assert answer.status_code == 400
    assert answer.json()["Message"] == "no app for hostname"


def test_a_state_from_another_browser_is_refused(platform: Platform) -> None:
    """Somebody else's link to the callback must not sign this browser in."""
    other = requests.Session()
    start = other.get("http://pad.localhost/", allow_redirects=False, timeout=20)
    state = parse_qs(urlsplit(start.headers["Location"]).query)["state"][0]
    url = f"http://pad.localhost/outpost.goauthentik.io/callback?code=x&state={state}"
    assert requests.get(url, timeout=20).status_code == 400


def test_start_does_not_lead_to_other_sites(platform: Platform) -> None:
    browser = requests.Session()
    answer = sign_in(
        browser,
        "http://pad.localhost/outpost.goauthentik.io/start?rd=http://evil.localhost/",
        "alice",
        platform.password,
    )
    assert urlsplit(answer.url).netloc == "pad.localhost"


def test_signing_out_ends_the_session_of_the_application(platform: Platform) -> None:
    browser = requests.Session()
    sign_in(browser, "http://pad.localhost/", "alice", platform.password)
    out = browser.get("http://pad.localhost/outpost.goauthentik.io/sign_out", timeout=20)
    assert out.url.startswith("http://auth.localhost/if/flow/default-provider-invalidation-flow/")
    again = browser.get("http://pad.localhost/", allow_redirects=False, timeout=20)
    assert again.status_code == 302


# --- OpenID Connect ------------------------------------------------------------------------------------------------


def chat(platform: Platform, secret: str | None = None, **options: Any) -> OAuth2Session:
    return OAuth2Session(
        "chat", secret or platform.chat_secret, redirect_uri=CALLBACK, scope="openid email profile", **options
    )


def discovery() -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{ISSUER}.well-known/openid-configuration", timeout=20).json()
    return found


def authorized(platform: Platform, url: str, user: str = "bob") -> str:
    """The address at the client that the browser is sent to after signing in."""
    browser = requests.Session()
    form = browser.get(url, timeout=20)
    answer = browser.post(
        form.url, data={"uidField": user, "password": platform.password}, allow_redirects=False, timeout=20
    )
    while not answer.headers["Location"].startswith(CALLBACK):
        where = answer.headers["Location"]
        url = where if "://" in where else f"http://auth.localhost{where}"
        answer = browser.get(url, allow_redirects=False, timeout=20)
    return answer.headers["Location"]


def test_a_client_signs_somebody_in_by_discovery(platform: Platform) -> None:
    config = discovery()
    assert config["issuer"] == ISSUER
    session = chat(platform, code_challenge_method="S256")
    verifier = secrets.token_urlsafe(48)
    url, state = session.create_authorization_url(
        config["authorization_endpoint"], code_verifier=verifier, nonce="once"
    )
    back = authorized(platform, url)
    token = session.fetch_token(
        config["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier
    )
    keys = KeySet.import_key_set(requests.get(config["jwks_uri"], timeout=20).json())
    claims = jwt.decode(token["id_token"], keys, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (ISSUER, "chat", "once")
    assert claims["preferred_username"] == "bob"
    user = session.get(config["userinfo_endpoint"]).json()
    assert (user["sub"], user["email"], user["groups"]) == (claims["sub"], "bob@example.org", [])


def test_a_code_works_once_and_with_its_verifier_only(platform: Platform) -> None:
    config = discovery()
    session = chat(platform, code_challenge_method="S256")
    url, _state = session.create_authorization_url(config["authorization_endpoint"], code_verifier="v" * 43)
    code = parse_qs(urlsplit(authorized(platform, url)).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    form |= {"client_id": "chat", "client_secret": platform.chat_secret}

    def ask(**more: str) -> dict[str, Any]:
        answer: dict[str, Any] = requests.post(config["token_endpoint"], data=form | more, timeout=20).json()
        return answer

    assert ask()["error"] == "invalid_grant"
    assert ask(code_verifier="w" * 43)["error"] == "invalid_grant"
    assert ask(code_verifier="v" * 43, client_secret="wrong")["error"] == "invalid_client"
    assert ask(code_verifier="v" * 43, grant_type="client_credentials")["error"] == "unauthorized_client"
    assert ask(code_verifier="v" * 43)["id_token"]
    assert ask(code_verifier="v" * 43)["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "redirect", [CALLBACK + "/", CALLBACK + "?x=1", "http://evil.localhost/callback", ""]
)
def test_a_redirect_address_that_is_not_the_registered_one_is_a_page(
    platform: Platform, redirect: str
) -> None:
    parameters = {"client_id": "chat", "redirect_uri": redirect, "response_type": "code", "scope": "openid"}
    url = discovery()["authorization_endpoint"]
    answer = requests.get(url, params=parameters, allow_redirects=False, timeout=20)
    assert answer.status_code == 400
    assert "Redirect URI Error" in answer.text


# --- the API ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "module", "model"),
    [
        ("root/config", "config", "Config"),
        ("admin/version", "version", "Version"),
        ("core/users", "paginated_user_list", "PaginatedUserList"),
        ("core/groups", "paginated_group_list", "PaginatedGroupList"),
        ("core/applications", "paginated_application_list", "PaginatedApplicationList"),
        ("core/tokens", "paginated_token_list", "PaginatedTokenList"),
        ("core/brands", "paginated_brand_list", "PaginatedBrandList"),
        ("flows/instances", "paginated_flow_list", "PaginatedFlowList"),
        ("providers/all", "paginated_provider_list", "PaginatedProviderList"),
        ("providers/proxy", "paginated_proxy_provider_list", "PaginatedProxyProviderList"),
        ("providers/oauth2", "paginated_o_auth2_provider_list", "PaginatedOAuth2ProviderList"),
        ("propertymappings/provider/scope", "paginated_scope_mapping_list", "PaginatedScopeMappingList"),
        ("outposts/instances", "paginated_outpost_list", "PaginatedOutpostList"),
        ("policies/bindings", "paginated_policy_binding_list", "PaginatedPolicyBindingList"),
        ("managed/blueprints", "paginated_blueprint_instance_list", "PaginatedBlueprintInstanceList"),
    ],
)
def test_the_published_client_understands_the_api(
    platform: Platform, path: str, module: str, model: str
) -> None:
    body = platform.api(path).json()
    assert body.get("results", True), "nothing to check"
    client_models.load(module, model).model_validate(body)


def test_the_outposts_token_opens_its_own_configuration_only(platform: Platform) -> None:
    agent = {"User-Agent": "goauthentik.io/outpost/2026.8.3"}
    body = platform.api("outposts/proxy", KEYS["outpost"], headers=agent).json()
    name = "paginated_proxy_outpost_config_list"
    client_models.load(name, "PaginatedProxyOutpostConfigList").model_validate(body)
    assert [row["name"] for row in body["results"]] == ["pad"]
    seen = platform.api("outposts/instances", KEYS["outpost"]).json()["results"]
    assert [row["name"] for row in seen] == ["edge"]
    assert platform.api("core/users", KEYS["outpost"]).status_code == 403
    assert platform.api("outposts/proxy", KEYS["bootstrap"], headers=agent).status_code == 403
    old = {"User-Agent": "goauthentik.io/outpost/2026.5.1"}
    assert platform.api("outposts/proxy", KEYS["outpost"], headers=old).status_code == 403


def test_a_wrong_token_opens_nothing(platform: Platform) -> None:
    assert platform.api("core/users", "wrong").status_code == 403
    assert requests.get("http://auth.localhost/api/v3/core/users/", timeout=20).status_code == 403


def test_an_operator_makes_a_user_and_sets_a_password(platform: Platform) -> None:
    made = platform.api("core/users", method="POST", json={"username": "carol", "name": "Carol"}).json()
    body = {"password": "carols-password"}
    assert platform.api(f"core/users/{made['pk']}/set_password", method="POST", json=body).status_code == 204
    answer = sign_in(requests.Session(), "http://auth.localhost/if/user/", "carol", "carols-password")
    assert answer.url == "http://auth.localhost/if/user/"
    assert "Chat" in answer.text
    wrong = platform.api("core/users", method="POST", json={"username": "dave", "nam": "Dave"})
    assert wrong.status_code == 400
    assert "nam" in wrong.json()


# --- blueprints, settings, failures ----------------------------------------------------------------------------------


def test_a_blueprint_is_applied_when_it_is_made_and_when_it_is_written(platform: Platform) -> None:
    path = platform.folder / "blueprints" / "more.yaml"
    entry = "{model: authentik_core.group, identifiers: {name: more}, attrs: {is_superuser: %s}}"
    text = "version: 1\nmetadata: {name: more}\nentries: [" + entry + "]\n"

    def superuser() -> list[bool]:
        found = platform.api("core/groups", params={"name": "more"}).json()["results"]
        return [row["is_superuser"] for row in found]

    path.write_text(text % "false")
    wait_until(lambda: superuser() == [False], "the new blueprint", 60)
    path.write_text(text % "true")
    wait_until(lambda: superuser() == [True], "the changed blueprint", 60)
    path.write_text(text % "perhaps")
    wait_until(lambda: platform.blueprint_status("more") == "error", "the broken blueprint", 60)
    assert superuser() == [True]
    assert "is_superuser" in platform.containers["worker"].logs(tail=5).decode()


def test_an_unknown_variable_ends_the_container(platform: Platform) -> None:
    container = platform.authentik("misspelt", "server", AUTHENTIK_POSTGRES__HOST="postgres")
    assert container.wait(timeout=60)["StatusCode"] == 1
    assert b"did you mean AUTHENTIK_POSTGRESQL__HOST" in container.logs()


def test_a_wrong_database_password_never_gets_healthy(platform: Platform) -> None:
    container = platform.authentik("locked-out", "server", AUTHENTIK_POSTGRESQL__PASSWORD="wrong")
    wait_until(lambda: b"password authentication failed" in container.logs(), "the refusal", 60)
    assert not platform.healthy("locked-out")


def test_forwarded_headers_are_believed_from_trusted_addresses_only(platform: Platform) -> None:
    platform.authentik("suspicious", "server", AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS="192.0.2.0/24")
    wait_until(lambda: platform.healthy("suspicious"), "the server", 60)
    forwarded = {"X-Forwarded-Host": "elsewhere.example.org", "X-Forwarded-Proto": "https"}

    def issuer(name: str) -> str:
        url = f"http://{platform.address(name)}:9000/application/o/chat/.well-known/openid-configuration"
        return str(requests.get(url, headers=forwarded, timeout=20).json()["issuer"])

    assert issuer("server").startswith("https://elsewhere.example.org/")
    assert issuer("suspicious").startswith(f"http://{platform.address('suspicious')}:9000/")


def test_an_outpost_with_a_wrong_token_never_gets_healthy(platform: Platform) -> None:
    environment = {"AUTHENTIK_HOST": "http://server:9000", "AUTHENTIK_TOKEN": "wrong"}
    container = platform.run("stranger", "authentik-proxy", environment=environment)
    wait_until(lambda: b"403" in container.logs(), "the refusal", 60)
    assert container.exec_run(["/proxy", "healthcheck"]).exit_code == 1


def test_the_state_survives_a_restart(platform: Platform) -> None:
    browser = requests.Session()
    sign_in(browser, "http://auth.localhost/if/user/", "alice", platform.password)
    key = requests.get(discovery()["jwks_uri"], timeout=20).json()
    for name in ("server", "worker"):
        platform.containers[name].restart(timeout=5)
    wait_until(lambda: platform.healthy("server") and platform.healthy("worker"), "the restart", 120)
    assert browser.get("http://auth.localhost/if/user/", timeout=20).url == "http://auth.localhost/if/user/"
    assert requests.get(discovery()["jwks_uri"], timeout=20).json() == key


def test_no_outpost_no_way_in(platform: Platform) -> None:
    browser = requests.Session()
    assert sign_in(browser, "http://pad.localhost/", "alice", platform.password).status_code == 200
    platform.containers["outpost"].stop(timeout=5)
    try:
        answer = browser.get("http://pad.localhost/", timeout=20)
        assert answer.status_code >= 400
        assert "x-authentik" not in answer.text
    finally:
        platform.containers["outpost"].start()
        wait_until(lambda: platform.healthy("outpost"), "the outpost", 120)
