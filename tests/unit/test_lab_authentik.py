# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's authentik refuses what the real one would refuse, or would silently do otherwise than meant.

Blueprints are checked against the typed models of authentik's published client. What Hearth generates plays no part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from authentik_standin import access, blueprints, models, outposts
from authentik_standin.errors import BlueprintError, SettingsError
from authentik_standin.settings import Settings
from authentik_standin.store import MemoryDatabase, MemoryObjects, Row

SHIPPED = Path(__file__).parents[1] / "lab/images/authentik/blueprints"
IMPLICIT = "default-provider-authorization-implicit-consent"
OUTPOST = "6f0d1b6e-8a5e-4a53-9b53-3c1f5f1f2a10"

FLOWS = f"""
    authorization_flow: !Find [authentik_flows.flow, [slug, {IMPLICIT}]]
    invalidation_flow: !Find [authentik_flows.flow, [slug, default-provider-invalidation-flow]]
"""
PROVIDER = f"""
- model: authentik_providers_proxy.proxyprovider
  id: pad
  identifiers: {{name: pad}}
  attrs:
    mode: forward_single
    external_host: https://pad.example.org
{FLOWS}
"""
APPLICATION = """
- model: authentik_core.application
  id: pad-application
  identifiers: {slug: pad}
  attrs: {name: Pad, provider: !KeyOf pad}
"""
CLIENT = f"""
- model: authentik_providers_oauth2.oauth2provider
  identifiers: {{name: chat}}
  attrs:
    redirect_uris: [{{matching_mode: strict, url: "https://chat.example.org/callback"}}]
{FLOWS}
"""


@pytest.fixture
def database() -> MemoryDatabase:
    """A server after its first start: the default blueprints have been applied."""
    database = MemoryDatabase()
    for path in sorted(SHIPPED.rglob("*.yaml")):
        apply(database, path.read_text())
    return database


def apply(database: MemoryDatabase, text: str) -> MemoryObjects:
    with database.transaction() as objects:
        blueprints.apply(objects, blueprints.parse(text))
        outposts.reconcile(objects)
    return database.objects


def entries(*parts: str) -> str:
    return "version: 1\nmetadata: {name: test}\nentries:\n" + "".join(parts)


def outpost(providers: str, **extra: Any) -> str:
    attributes = yaml.safe_dump(extra, default_flow_style=True).strip() if extra else ""
    more = f", {attributes[1:-1]}" if attributes else ""
    return f"""
- model: authentik_outposts.outpost
  identifiers: {{pk: {OUTPOST}}}
  attrs: {{name: edge, type: proxy, providers: {providers}, config: {{authentik_host: "https://auth"}}{more}}}
"""


def one(objects: MemoryObjects, model: str, **fields: Any) -> Row:
    (row,) = objects.find(model, **fields)
    return row


def test_a_complete_blueprint_makes_its_objects(database: MemoryDatabase) -> None:
    objects = apply(database, entries(PROVIDER, APPLICATION, outpost("[!KeyOf pad]")))
    provider = one(objects, models.PROXY, name="pad")
    assert one(objects, models.APPLICATION, slug="pad")["provider"] == provider["pk"]
    assert one(objects, models.OUTPOST, name="edge")["providers"] == [provider["pk"]]
    urls = [uri["url"] for uri in provider["redirect_uris"]]
    assert urls[0] == "https://pad.example.org/outpost.goauthentik.io/callback?X-authentik-auth-callback=true"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("external_host:", "external_hosts:", "external_hosts: no such field"),
        ("external_host: https://pad.example.org", "", "external_host: Field required"),
        ("https://pad.example.org", "pad.example.org", "is not a URL"),
        ("forward_single", "forward_auth", "mode: Input should be 'proxy', 'forward_single'"),
        ("forward_single", "forward_domain", "cookie_domain: cannot be empty"),
        ("mode: forward_single", "mode: proxy", "internal_host: cannot be empty"),
        ("mode: forward_single", "mode: !Env NOT_SET", "mode: may not be null"),
        ("mode: forward_single", "intercept_header_auth: 'no'", "intercept_header_auth: Input should be a"),
        ("mode: forward_single", "access_token_validity: 1h\n    mode: forward_single", "1h is not of the"),
        ("implicit-consent", "implied-consent", "authorization_flow: UUID input should be"),
        ("[slug,", "[slugs,", "authentik_flows.flow has no field slugs"),
        ("identifiers: {name: pad}", "identifiers: {}", "no identifiers"),
        ("identifiers: {name: pad}", "identifiers: {title: pad}", "title is no field to identify by"),
        ("proxyprovider", "proxy_provider", "has no such model"),
        ("  attrs:", "  state: gone\n  attrs:", "state gone is none of"),
        ("  attrs:", "  attributes:", "has no key attributes"),
        ("!Find", "!Search", "unknown tag"),
    ],
)
def test_a_mistake_in_a_provider_is_named(
    database: MemoryDatabase, before: str, after: str, message: str
) -> None:
    text = entries(PROVIDER)
    assert before in text
    with pytest.raises(BlueprintError, match=message.replace("[", r"\[")):
        apply(database, text.replace(before, after))


def test_nothing_of_a_blueprint_with_a_mistake_is_kept(database: MemoryDatabase) -> None:
    with pytest.raises(BlueprintError, match="entry 2, authentik_core.application"):
        apply(database, entries(PROVIDER, APPLICATION.replace("KeyOf pad", "KeyOf pod")))
    assert not database.objects.find(models.PROXY)


def test_a_redirect_address_has_a_known_shape(database: MemoryDatabase) -> None:
    apply(database, entries(CLIENT))
    with pytest.raises(BlueprintError, match=r"redirect_uris\.mode: no such field"):
        apply(database, entries(CLIENT.replace("matching_mode", "mode")))
    with pytest.raises(BlueprintError, match="redirect_uris"):
        apply(database, entries(CLIENT.replace("strict", "exact")))


def test_a_client_may_do_nothing_that_its_blueprint_does_not_allow(database: MemoryDatabase) -> None:
    client = one(apply(database, entries(CLIENT)), models.OAUTH2, name="chat")
    assert (client["grant_types"], client["property_mappings"], client["signing_key"]) == ([], [], None)


def test_an_outposts_providers_replace_the_ones_it_had(database: MemoryDatabase) -> None:
    second = (
        PROVIDER.replace("id: pad", "id: chat").replace("name: pad", "name: chat").replace("pad.", "chat.")
    )
    apply(database, entries(PROVIDER, second, outpost("[!KeyOf pad, !KeyOf chat]")))
    objects = apply(database, entries(second, outpost("[!KeyOf chat]")))
    chat = one(objects, models.PROXY, name="chat")
    assert one(objects, models.OUTPOST, name="edge")["providers"] == [chat["pk"]]


def test_an_outpost_serves_proxy_providers_only_and_at_least_one(database: MemoryDatabase) -> None:
    with pytest.raises(BlueprintError, match="may not be empty"):
        apply(database, entries(outpost("[]")))
    client = CLIENT.replace("  identifiers", "  id: chat\n  identifiers", 1)
    with pytest.raises(BlueprintError, match="type proxy cannot serve"):
        apply(database, entries(client, outpost("[!KeyOf chat]")))
    with pytest.raises(BlueprintError, match="providers: no object 4711"):
        apply(database, entries(outpost("[4711]")))


TOKEN = f"""
- model: authentik_core.user
  id: account
  identifiers: {{username: ak-outpost-{OUTPOST.replace("-", "")}}}
  attrs: {{name: Outpost, type: internal_service_account, path: goauthentik.io/outposts}}
- model: authentik_core.token
  identifiers: {{identifier: ak-outpost-{OUTPOST}-api}}
  attrs:
    managed: goauthentik.io/outpost/ak-outpost-{OUTPOST}-api
    key: chosen
    user: !KeyOf account
    intent: api
    expiring: false
"""


def test_an_outposts_token_by_blueprint_is_kept(database: MemoryDatabase) -> None:
    objects = apply(database, entries(PROVIDER, APPLICATION, outpost("[!KeyOf pad]"), TOKEN))
    token = one(objects, models.TOKEN)
    assert token["key"] == "chosen"
    account = objects.get(models.USER, token["user"])
    assert [row["name"] for row in outposts.of_account(objects, account)] == ["edge"]


@pytest.mark.parametrize("line", ["    managed: goauthentik.io/outpost/ak-outpost-{}-api\n"])
def test_an_outposts_token_without_its_mark_is_made_anew(database: MemoryDatabase, line: str) -> None:
    unmarked = TOKEN.replace(line.format(OUTPOST), "")
    assert unmarked != TOKEN
    objects = apply(database, entries(PROVIDER, APPLICATION, outpost("[!KeyOf pad]"), unmarked))
    assert one(objects, models.TOKEN)["key"] != "chosen"


@pytest.mark.parametrize(
    ("line", "message"),
    [("    user: !KeyOf account\n", "user: is missing"), ("    intent: api\n", "intent: is missing")],
)
def test_a_token_needs_its_user_and_intent(database: MemoryDatabase, line: str, message: str) -> None:
    with pytest.raises(BlueprintError, match=message):
        apply(database, entries(TOKEN.replace(line, "")))


def test_states_create_keep_and_remove(database: MemoryDatabase) -> None:
    group = "- {model: authentik_core.group, STATE identifiers: {name: g}, attrs: {is_superuser: FLAG}}\n"

    def wanted(state: str, flag: str) -> MemoryObjects:
        text = group.replace("STATE", f"state: {state},").replace("FLAG", flag)
        return apply(database, entries(text))

    assert one(wanted("must_created", "true"), models.GROUP, name="g")["is_superuser"] is True
    assert one(wanted("created", "false"), models.GROUP, name="g")["is_superuser"] is True
    assert one(wanted("present", "false"), models.GROUP, name="g")["is_superuser"] is False
    with pytest.raises(BlueprintError, match="must_created"):
        wanted("must_created", "true")
    assert not wanted("absent", "true").find(models.GROUP, name="g")


def test_tags_compute_what_an_entry_says(
    database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("TEST_HOST", "host")
    objects = apply(
        database,
        "context: {names: [a, b]}\nversion: 1\nentries:\n"
        f"""
- model: authentik_core.group
  conditions: [!Condition [AND, !Env TEST_HOST, !If [!Condition [NOR, false, false]]]]
  identifiers: {{name: !Format ["%s.%s", !Env TEST_HOST, !Env [NO_SUCH_VARIABLE, org]]}}
  attrs:
    attributes:
      file: !File "{tmp_path / "secret"}"
      missing: !File ["/no/such/file", none]
      list: !Enumerate [!Context names, SEQ, !Format ["%s-%s", !Index 0, !Value 0]]
      map: !Enumerate [!Context names, MAP, [!Value 0, !If [!Condition [XOR, true, true], x, y]]]
      second: !AtIndex [!Context names, 1]
      json: !ParseJSON '{{"a": 1}}'
- model: authentik_core.group
  conditions: [!If [!Env NO_SUCH_VARIABLE, true, false]]
  identifiers: {{name: not made}}
""",
    )
    assert one(objects, models.GROUP)["name"] == "host.org"
    assert one(objects, models.GROUP)["attributes"] == {
        "file": "from a file",
        "missing": "none",
        "list": ["0-a", "1-b"],
        "map": {"a": "y", "b": "y"},
        "second": "b",
        "json": {"a": 1},
    }


@pytest.mark.parametrize(("mode", "expected"), [("any", [True, True, False]), ("all", [True, False, False])])
def test_bindings_decide_who_may_see_an_application(
    database: MemoryDatabase, mode: str, expected: list[bool]
) -> None:
    objects = apply(
        database,
        entries(
            f"""
- model: authentik_core.application
  id: app
  identifiers: {{slug: x}}
  attrs: {{name: X, policy_engine_mode: {mode}}}
- {{model: authentik_core.group, id: all, identifiers: {{name: all}}}}
- {{model: authentik_core.group, id: staff, identifiers: {{name: staff}}, attrs: {{parents: [!KeyOf all]}}}}
- model: authentik_policies_expression.expressionpolicy
  id: named
  identifiers: {{name: named}}
  attrs: {{expression: 'return request.user.username == "alice"'}}
- model: authentik_policies.policybinding
  identifiers: {{target: !KeyOf app, order: 0}}
  attrs: {{group: !KeyOf all}}
- model: authentik_policies.policybinding
  identifiers: {{target: !KeyOf app, order: 1}}
  attrs: {{policy: !KeyOf named}}
- {{model: authentik_core.user, identifiers: {{username: alice}}, attrs: {{name: A, groups: [!KeyOf staff]}}}}
- {{model: authentik_core.user, identifiers: {{username: bob}}, attrs: {{name: B, groups: [!KeyOf staff]}}}}
- {{model: authentik_core.user, identifiers: {{username: carol}}, attrs: {{name: C}}}}
"""
        ),
    )
    application = one(objects, models.APPLICATION, slug="x")
    users = [one(objects, models.USER, username=name) for name in ("alice", "bob", "carol")]
    assert [access.allowed(objects, application, user) for user in users] == expected


def test_a_binding_is_to_one_thing(database: MemoryDatabase) -> None:
    binding = "- {model: authentik_policies.policybinding, identifiers: {target: !KeyOf pad-application, order: 0}}\n"
    with pytest.raises(BlueprintError, match="one of policy, group or user"):
        apply(database, entries(PROVIDER, APPLICATION, binding))


class TestDiscovery:
    """What the worker does with the files."""

    @pytest.fixture
    def log(self) -> list[dict[str, Any]]:
        return []

    def discovery(self, root: Path, log: list[dict[str, Any]]) -> tuple[MemoryDatabase, blueprints.Discovery]:
        database = MemoryDatabase()

        def write(level: str, event: str, **fields: Any) -> None:
            log.append({"level": level, "event": event, **fields})

        for path in SHIPPED.rglob("*.yaml"):
            target = root / path.relative_to(SHIPPED)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text())
        return database, blueprints.Discovery(database, root, write)

    def status(self, database: MemoryDatabase, path: str) -> str:
        return str(one(database.objects, models.BLUEPRINT, path=path)["status"])

    def test_the_defaults_apply(self, tmp_path: Path, log: list[dict[str, Any]]) -> None:
        database, discovery = self.discovery(tmp_path, log)
        discovery.discover()
        assert {row["status"] for row in database.objects.find(models.BLUEPRINT)} == {"successful"}

    def test_what_a_custom_one_needs_of_the_defaults_it_must_say(
        self, tmp_path: Path, log: list[dict[str, Any]]
    ) -> None:
        database, discovery = self.discovery(tmp_path, log)
        custom = tmp_path / "custom" / "pad.yaml"
        custom.parent.mkdir()
        custom.write_text(entries(PROVIDER))
        discovery.discover()
        assert self.status(database, "custom/pad.yaml") == "error"
        assert any("authorization_flow" in line.get("error", "") for line in log)

        database, discovery = self.discovery(tmp_path, log)
        needs = "".join(
            "- model: authentik_blueprints.metaapplyblueprint\n"
            f"  attrs: {{identifiers: {{name: {name}}}, required: true}}\n"
            for name in (
                "Default - Provider authorization flow (implicit consent)",
                "Default - Provider invalidation flow",
            )
        )
        custom.write_text(entries(needs, PROVIDER))
        discovery.discover()
        assert self.status(database, "custom/pad.yaml") == "successful"

    def test_a_missing_requirement_is_an_error(self, tmp_path: Path, log: list[dict[str, Any]]) -> None:
        database, discovery = self.discovery(tmp_path, log)
        text = "- {model: authentik_blueprints.metaapplyblueprint, attrs: {identifiers: {name: None such}}}\n"
        (tmp_path / "a.yaml").write_text(entries(text))
        discovery.discover()
        assert self.status(database, "a.yaml") == "error"

    def test_a_changed_file_is_applied_again_and_a_broken_one_changes_nothing(
        self, tmp_path: Path, log: list[dict[str, Any]]
    ) -> None:
        database, discovery = self.discovery(tmp_path, log)
        path = tmp_path / "a.yaml"
        group = "- {model: authentik_core.group, identifiers: {name: g}, attrs: {is_superuser: FLAG}}\n"
        path.write_text(entries(group.replace("FLAG", "false")))
        discovery.discover()
        path.write_text(entries(group.replace("FLAG", "true")))
        discovery.modified(path)
        assert one(database.objects, models.GROUP, name="g")["is_superuser"] is True
        path.write_text(entries(group.replace("FLAG", "false"), "- {model: no.such}\n"))
        discovery.modified(path)
        assert one(database.objects, models.GROUP, name="g")["is_superuser"] is True
        assert self.status(database, "a.yaml") == "error"


class TestSettings:
    KEY = {"AUTHENTIK_SECRET_KEY": "x"}

    def test_file_values_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("p$w#\n")
        settings = Settings(self.KEY | {"AUTHENTIK_POSTGRESQL__PASSWORD": f"file://{tmp_path / 'password'}"})
        assert settings.database()["password"] == "p$w#"

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({}, "AUTHENTIK_SECRET_KEY is missing"),
            (KEY | {"AUTHENTIK_POSTGRES__HOST": "db"}, "did you mean AUTHENTIK_POSTGRESQL__HOST"),
            (KEY | {"AUTHENTIK_REDIS__HOST": "redis"}, "knows no variable AUTHENTIK_REDIS__HOST"),
            (KEY | {"AUTHENTIK_WEB__BASE_URL": "https://a.example.org/sso"}, "scheme and host only"),
            (KEY | {"AUTHENTIK_LISTEN__HTTP": "9000"}, "is not ADDRESS:PORT"),
            (KEY | {"AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS": "traefik"}, "TRUSTED_PROXY_CIDRS"),
            (KEY | {"AUTHENTIK_BOOTSTRAP_PASSWORD": "file:///run/secrets/p"}, "taken literally"),
            (
                KEY | {"AUTHENTIK_BOOTSTRAP_PASSWORD": "a", "AUTHENTIK_BOOTSTRAP_PASSWORD_HASH": "b"},
                "exclude each other",
            ),
        ],
    )
    def test_a_setting_that_authentik_would_not_understand_is_named(
        self, variables: dict[str, str], message: str
    ) -> None:
        with pytest.raises(SettingsError, match=message):
            Settings(variables).listen("HTTP", 9000)
