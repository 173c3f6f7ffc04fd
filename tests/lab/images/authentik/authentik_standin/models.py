"""The models that the stand-in knows: what a row of each holds, and the rules of authentik's serializers."""

import re
import secrets
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from . import client_models
from .errors import Invalid
from .store import Objects, Row
from .users import hash_password

FLOW = "authentik_flows.flow"
GROUP = "authentik_core.group"
USER = "authentik_core.user"
TOKEN = "authentik_core.token"
APPLICATION = "authentik_core.application"
BRAND = "authentik_brands.brand"
PROXY = "authentik_providers_proxy.proxyprovider"
OAUTH2 = "authentik_providers_oauth2.oauth2provider"
SCOPE = "authentik_providers_oauth2.scopemapping"
CERTIFICATE = "authentik_crypto.certificatekeypair"
OUTPOST = "authentik_outposts.outpost"
BINDING = "authentik_policies.policybinding"
EXPRESSION = "authentik_policies_expression.expressionpolicy"
BLUEPRINT = "authentik_blueprints.blueprintinstance"
APPLY_BLUEPRINT = "authentik_blueprints.metaapplyblueprint"
# A reference to a provider may be to either.
PROVIDERS = (PROXY, OAUTH2)

EMBEDDED = "goauthentik.io/outposts/embedded"
# Slugs that are paths of the OAuth2 endpoints.
RESERVED_SLUGS = {"authorize", "token", "device", "userinfo", "introspect", "revoke"}
OUTPOST_CONFIG = {
    "authentik_host": str,
    "authentik_host_insecure": bool,
    "authentik_host_browser": str,
    "log_level": str,
    "object_naming_template": str,
    "refresh_interval": str,
    "container_image": (str, type(None)),
    "docker_network": (str, type(None)),
    "docker_map_ports": bool,
    "docker_labels": (dict, type(None)),
}
DURATION = re.compile(r"(weeks|days|hours|minutes|seconds|milliseconds|microseconds)=\d+(\.\d+)?")
TOKEN_LIFETIME = timedelta(days=1)


def random_text(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _index in range(length))


def duration(text: str) -> timedelta:
    """authentik's durations: `hours=1;minutes=30`."""
    parts = text.rstrip(";").split(";")
    if not all(DURATION.fullmatch(part) for part in parts):
        raise ValueError(f"{text} is not of the form hours=1;minutes=2;seconds=3")
    return timedelta(**{unit: float(number) for unit, number in (part.split("=") for part in parts)})


def no_more_rules(_objects: Objects, _row: Row) -> None:
    """What the client's model says is all there is."""


@dataclass(frozen=True)
class Model:
    """One model: its name in blueprints, its class in authentik-client, and what that class does not say."""

    name: str
    module: str
    request: str
    unique: tuple[str, ...] = ()
    numbered: bool = False
    # Accepted in blueprints only, beyond the API's fields.
    blueprint_only: frozenset[str] = frozenset()
    # field -> the models it may refer to; lists of references too
    references: dict[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Callable[[], Row] = dict
    rules: Callable[[Objects, Row], None] = no_more_rules

    @cached_property
    def fields(self) -> frozenset[str]:
        return frozenset(self._class("").model_fields) | self.blueprint_only

    def _class(self, prefix: str) -> type[BaseModel]:
        module = "patched_" + self.module if prefix else self.module
        return client_models.load(module, prefix + self.request)

    def write(self, objects: Objects, existing: Row | None, data: Row, blueprint: bool = False) -> Row:
        """The row that saving this data makes, checked but not saved.

        An existing object is updated by parts; a new one needs every required field. Raises Invalid.
        """
        given = {name: value for name, value in data.items() if name != "pk"}
        special = {name: given.pop(name) for name in self.blueprint_only & given.keys()} if blueprint else {}
        client_models.check(self._class("Patched" if existing else ""), given)
        self._check_null(given)
        self._check_references(objects, given)
        row = existing or {"pk": data.get("pk") or self._new_key(objects), **self.defaults()}
        row = row | given | special
        self._check_unique(objects, row)
        self.rules(objects, row)
        return row

    def _new_key(self, objects: Objects) -> int | str:
        return objects.next_number() if self.numbered else str(uuid.uuid4())

    def _check_null(self, given: Row) -> None:
        nullable = self.references.keys() | {"managed", "expires", "last_login", "password"}
        missing = [name for name, value in given.items() if value is None and name not in nullable]
        if missing:
            raise Invalid(dict.fromkeys(missing, "may not be null"))

    def _check_references(self, objects: Objects, given: Row) -> None:
        for name, models in self.references.items():
            value = given.get(name)
            for pk in value if isinstance(value, list) else [value]:
                if pk is not None and not any(objects.get(model, pk) for model in models):
                    raise Invalid({name: f"no object {pk} of {' or '.join(models)}"})

    def _check_unique(self, objects: Objects, row: Row) -> None:
        family = PROVIDERS if self.name in PROVIDERS else (self.name,)
        for name in self.unique:
            value = row.get(name)
            if value is None:
                continue
            for model in family:
                for other in objects.find(model, **{name: value}):
                    if other["pk"] != row["pk"]:
                        raise Invalid({name: f"there is another {model} with {value}"})


def _check_durations(row: Row) -> None:
    for name, value in row.items():
        if name.endswith("_validity"):
            try:
                duration(value)
            except ValueError as error:
                raise Invalid({name: error}) from error


def _url_with_host(name: str, value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid({name: f"{value} is not a URL with http or https and a host"})


def user_rules(objects: Objects, row: Row) -> None:
    password = row.pop("password", None)
    if password:
        row["password_hash"] = hash_password(password)
    path = row["path"]
    if path.startswith("/") or path.endswith("/") or "//" in path:
        raise Invalid({"path": "no leading, trailing or empty segments"})


def group_rules(objects: Objects, row: Row) -> None:
    """Membership is kept with the users; a list given here replaces it."""
    if "users" not in row:
        return
    members = set(row.pop("users"))
    for user in objects.find(USER):
        groups = set(user["groups"]) - {row["pk"]}
        groups |= {row["pk"]} if user["pk"] in members else set()
        if groups != set(user["groups"]):
            objects.save(USER, user | {"groups": sorted(groups)})


def token_rules(_objects: Objects, row: Row) -> None:
    for name in ("user", "intent"):
        if row.get(name) is None:
            raise Invalid({name: "is missing"})
    if row["intent"] not in ("api", "app_password"):
        raise Invalid({"intent": f"{row['intent']} cannot be made"})
    # The expiry of API tokens cannot be chosen; only `expiring: false` keeps one.
    if row["intent"] == "api" or not row.get("expires"):
        row["expires"] = (datetime.now(timezone.utc) + TOKEN_LIFETIME).isoformat()


def application_rules(_objects: Objects, row: Row) -> None:
    if not re.fullmatch(r"[-a-zA-Z0-9_]+", row["slug"]):
        raise Invalid({"slug": "letters, digits, hyphens and underscores only"})
    if row["slug"] in RESERVED_SLUGS:
        raise Invalid({"slug": f"{row['slug']} is reserved"})


def proxy_rules(objects: Objects, row: Row) -> None:
    _check_durations(row)
    _url_with_host("external_host", row["external_host"])
    if row["mode"] == "proxy" and not row["internal_host"]:
        raise Invalid({"internal_host": "cannot be empty in mode proxy, which is the default"})
    if row["mode"] == "forward_domain" and not row["cookie_domain"]:
        raise Invalid({"cookie_domain": "cannot be empty in mode forward_domain"})
    if row["basic_auth_enabled"] and not (
        row["basic_auth_user_attribute"] and row["basic_auth_password_attribute"]
    ):
        raise Invalid({"basic_auth_enabled": "needs both attributes"})
    # Set by authentik at every save, whatever was given.
    host = row["external_host"].rstrip("/")
    callback = "X-authentik-auth-callback=true"
    row["redirect_uris"] = [
        {"matching_mode": "strict", "url": f"{host}/outpost.goauthentik.io/callback?{callback}"},
        {"matching_mode": "regex", "url": re.escape(f"{host}?{callback}")},
    ]
    scopes = ["oauth2/scope-openid", "oauth2/scope-profile", "oauth2/scope-email", "proxy/scope-proxy"]
    for scope in scopes:
        for mapping in objects.find(SCOPE, managed=f"goauthentik.io/providers/{scope}"):
            if mapping["pk"] not in row["property_mappings"]:
                row["property_mappings"] = [*row["property_mappings"], mapping["pk"]]


def oauth2_rules(_objects: Objects, row: Row) -> None:
    _check_durations(row)
    for uri in row["redirect_uris"]:
        if uri["matching_mode"] == "regex":
            try:
                re.compile(uri["url"])
            except re.error as error:
                raise Invalid({"redirect_uris": f"{uri['url']}: {error}"}) from error


def outpost_rules(objects: Objects, row: Row) -> None:
    if not row["providers"] and row.get("managed") != EMBEDDED:
        raise Invalid({"providers": "this list may not be empty"})
    if row["type"] == "proxy":
        for pk in row["providers"]:
            if not objects.get(PROXY, pk):
                raise Invalid({"providers": f"an outpost of type proxy cannot serve provider {pk}"})
    for name, value in row["config"].items():
        if name.startswith("kubernetes_"):
            continue
        if name not in OUTPOST_CONFIG:
            raise Invalid({f"config.{name}": "no such setting"})
        if not isinstance(value, OUTPOST_CONFIG[name]):
            raise Invalid({f"config.{name}": f"{value!r} has the wrong type"})
    try:
        duration(row["config"].get("refresh_interval", "minutes=5"))
    except ValueError as error:
        raise Invalid({"config.refresh_interval": error}) from error


def binding_rules(_objects: Objects, row: Row) -> None:
    if sum(row.get(name) is not None for name in ("policy", "group", "user")) != 1:
        raise Invalid({"policy": "one of policy, group or user must be set, and only one"})


def expression_rules(_objects: Objects, row: Row) -> None:
    from .expressions import compiled

    try:
        compiled(row["expression"])
    except SyntaxError as error:
        raise Invalid({"expression": error}) from error


def oauth2_defaults() -> Row:
    return {
        "authentication_flow": None,
        "property_mappings": [],
        "client_type": "confidential",
        # None is allowed unless it is named: the default of the released model.
        "grant_types": [],
        "client_id": random_text(40),
        "client_secret": random_text(128),
        "access_code_validity": "minutes=1",
        "access_token_validity": "hours=1",
        "refresh_token_validity": "days=30",
        "include_claims_in_id_token": True,
        "signing_key": None,
        "encryption_key": None,
        "sub_mode": "hashed_user_id",
        "issuer_mode": "per_provider",
        "redirect_uris": [],
    }


def proxy_defaults() -> Row:
    return oauth2_defaults() | {
        "grant_types": ["authorization_code", "refresh_token", "client_credentials", "password"],
        "mode": "proxy",
        "internal_host": "",
        "internal_host_ssl_validation": True,
        "certificate": None,
        "skip_path_regex": "",
        "basic_auth_enabled": False,
        "basic_auth_user_attribute": "",
        "basic_auth_password_attribute": "",
        "intercept_header_auth": True,
        "cookie_domain": "",
        "cookie_secret": random_text(32),
    }


BRAND_FLOWS = """
flow_authentication flow_user_switch flow_invalidation flow_recovery flow_unenrollment flow_user_settings
flow_device_code flow_lockdown flow_request
"""
FLOWS = dict.fromkeys(("authentication_flow", "authorization_flow", "invalidation_flow"), (FLOW,))

MODELS = {
    model.name: model
    for model in (
        Model(
            FLOW,
            "flow_request",
            "FlowRequest",
            unique=("slug",),
            defaults=lambda: {"authentication": "none", "layout": "stacked", "policy_engine_mode": "any"},
        ),
        Model(
            GROUP,
            "group_request",
            "GroupRequest",
            unique=("name",),
            references={"parents": (GROUP,), "users": (USER,)},
            defaults=lambda: {"is_superuser": False, "parents": [], "attributes": {}, "roles": []},
            rules=group_rules,
        ),
        Model(
            USER,
            "user_request",
            "UserRequest",
            unique=("username",),
            numbered=True,
            blueprint_only=frozenset({"password", "password_hash"}),
            references={"groups": (GROUP,)},
            defaults=lambda: {
                "is_active": True,
                "last_login": None,
                "groups": [],
                "roles": [],
                "email": "",
                "attributes": {},
                "path": "users",
                "type": "internal",
                "uuid": str(uuid.uuid4()),
            },
            rules=user_rules,
        ),
        Model(
            TOKEN,
            "token_request",
            "TokenRequest",
            unique=("identifier", "managed"),
            blueprint_only=frozenset({"key"}),
            references={"user": (USER,)},
            defaults=lambda: {
                "managed": None,
                "user": None,
                "description": "",
                "expiring": True,
                "key": random_text(60),
            },
            rules=token_rules,
        ),
        Model(
            APPLICATION,
            "application_request",
            "ApplicationRequest",
            unique=("slug", "provider"),
            blueprint_only=frozenset({"icon"}),
            references={"provider": PROVIDERS, "backchannel_providers": PROVIDERS},
            defaults=lambda: {
                "provider": None,
                "backchannel_providers": [],
                "open_in_new_tab": False,
                "meta_launch_url": "",
                "meta_icon": "",
                "meta_description": "",
                "meta_publisher": "",
                "policy_engine_mode": "any",
                "group": "",
                "meta_hide": False,
            },
            rules=application_rules,
        ),
        Model(
            BRAND,
            "brand_request",
            "BrandRequest",
            unique=("domain",),
            references=dict.fromkeys(BRAND_FLOWS.split(), (FLOW,))
            | {"default_application": (APPLICATION,), "web_certificate": (CERTIFICATE,)},
            defaults=lambda: {"default": False, "branding_title": "authentik", "attributes": {}},
        ),
        Model(
            PROXY,
            "proxy_provider_request",
            "ProxyProviderRequest",
            unique=("name", "client_id"),
            numbered=True,
            references=FLOWS | {"property_mappings": (SCOPE,), "certificate": (CERTIFICATE,)},
            defaults=proxy_defaults,
            rules=proxy_rules,
        ),
        Model(
            OAUTH2,
            "o_auth2_provider_request",
            "OAuth2ProviderRequest",
            unique=("name", "client_id"),
            numbered=True,
            references=FLOWS
            | {
                "property_mappings": (SCOPE,),
                "signing_key": (CERTIFICATE,),
                "encryption_key": (CERTIFICATE,),
                "jwt_federation_providers": PROVIDERS,
            },
            defaults=oauth2_defaults,
            rules=oauth2_rules,
        ),
        Model(
            SCOPE,
            "scope_mapping_request",
            "ScopeMappingRequest",
            unique=("name", "managed"),
            defaults=lambda: {"managed": None, "description": ""},
            rules=expression_rules,
        ),
        Model(
            CERTIFICATE,
            "certificate_key_pair_request",
            "CertificateKeyPairRequest",
            unique=("name",),
            defaults=lambda: {"key_data": ""},
        ),
        Model(
            OUTPOST,
            "outpost_request",
            "OutpostRequest",
            unique=("name", "managed"),
            references={"providers": PROVIDERS},
            defaults=lambda: {"managed": None, "service_connection": None},
            rules=outpost_rules,
        ),
        Model(
            BINDING,
            "policy_binding_request",
            "PolicyBindingRequest",
            references={
                "policy": (EXPRESSION,),
                "group": (GROUP,),
                "user": (USER,),
                "target": (APPLICATION, FLOW),
            },
            defaults=lambda: {"negate": False, "enabled": True, "timeout": 30, "failure_result": False},
            rules=binding_rules,
        ),
        Model(
            EXPRESSION,
            "expression_policy_request",
            "ExpressionPolicyRequest",
            unique=("name",),
            defaults=lambda: {"execution_logging": False},
            rules=expression_rules,
        ),
    )
}


def providers(objects: Objects, **fields: Any) -> list[Row]:
    """Providers of every kind; each tells its model under `model`."""
    return [row | {"model": model} for model in PROVIDERS for row in objects.find(model, **fields)]


def provider(objects: Objects, pk: Any) -> Row | None:
    for model in PROVIDERS:
        if row := objects.get(model, pk):
            return row | {"model": model}
    return None


def application_of(objects: Objects, provider_pk: int) -> Row | None:
    return next(iter(objects.find(APPLICATION, provider=provider_pk)), None)
