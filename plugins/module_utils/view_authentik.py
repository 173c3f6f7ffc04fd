# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The blueprint that makes authentik know the platform: who may see what, and where people come from and go back to.

A pure function over the fleet (docs/architecture.md). Values are those of authentik's serializers (models of the
package authentik-client); references and secrets are YAML tags, which authentik resolves when it applies the file. No
secret is in it: `!Env` names a variable of the container that applies it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from ._catalogue_sign_on import SHARED_NETWORK

ADMINS = "authentik Admins"  # made by authentik, with the first account in it
OUTPOST = "hearth"
ROLES = "Hearth: roles"
OUTPOST_TOKEN = "HEARTH_OUTPOST_TOKEN"

NEEDED = (
    "Default - Provider authorization flow (implicit consent)",
    "Default - Provider invalidation flow",
    "System - OAuth2 Provider - Scopes",
    "System - Proxy Provider - Scopes",
)

Entry = dict[str, Any]


@dataclass(frozen=True)
class Tag:
    """A YAML tag of authentik's blueprints: Tag("KeyOf", "chat") is `!KeyOf chat`."""

    name: str
    value: str | tuple[Any, ...]


def secret_variable(name: str) -> str:
    """The environment variable in which the blueprint looks for a client's secret."""
    return f"HEARTH_{name.upper()}"


def outpost_id(fleet: Mapping[str, Any]) -> UUID:
    """The outpost's id: the same in every run, so that its account and token are known before it exists."""
    return uuid5(NAMESPACE_DNS, f"outpost.{fleet['sign_on']['fqdn']}")


def blueprint(fleet: Mapping[str, Any]) -> dict[str, Any]:
    """The blueprint for the platform's sign-on: plain data, and Tag where authentik resolves something.

    Every service with a public name is in it: those that no guard leads to authentik any more as `absent`.
    """
    services = [service for service in fleet["services"] if service["url"] and service["sign_on"]]
    guarded = [service for service in services if service["forward_auth"]]
    clients = [service for service in services if service["oidc"]]
    entries = [
        *_needed(),
        *_groups([*guarded, *clients]),
        *(entry for service in guarded for entry in _guarded(service)),
        *_roles(),
        *(entry for service in clients for entry in _client(service)),
        *(_outpost(fleet, guarded) if guarded else ()),
        *(entry for service in services for entry in _absent(service, guarded, clients)),
    ]
    return {"version": 1, "metadata": {"name": "Hearth"}, "entries": entries}


def groups_of(service: Mapping[str, Any]) -> list[str] | None:
    """Whose members may see the service; None is everybody who signed in."""
    if service["groups"]:
        return list(service["groups"])
    only_admins = not {"sso", "oidc"} & {route["guard"] for route in service["http"]["routes"]}
    return [ADMINS] if only_admins else None


def _needed() -> Iterator[Entry]:
    """What authentik's own blueprints make, and ours refers to. It applies files in no order of its own."""
    for name in NEEDED:
        attrs = {"identifiers": {"name": name}, "required": True}
        yield {"model": "authentik_blueprints.metaapplyblueprint", "attrs": attrs}


def _groups(services: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
    """The groups that are named, to be filled by an administrator; never changed afterwards."""
    named = {group for service in services for group in groups_of(service) or ()}
    for group in sorted(named - {ADMINS}):
        yield _entry("authentik_core.group", {"name": group}, {}, state="created")


def _guarded(service: Mapping[str, Any]) -> Iterator[Entry]:
    provider = _proxy(service)
    attrs = {
        **_flows(),
        "mode": "forward_single",
        "external_host": service["url"],
        # What an application's own clients send stays theirs: nobody signs in by an Authorization header here.
        "intercept_header_auth": False,
    }
    yield _entry("authentik_providers_proxy.proxyprovider", {"name": provider}, attrs, key=provider)
    yield from _application(service, provider)


def _roles() -> Iterator[Entry]:
    """The claim `roles` of the scope profile: never empty, because an application may take that for `as before`."""
    is_admin = f"ak_is_group_member(request.user, name={json.dumps(ADMINS)})"
    yield _entry(
        "authentik_providers_oauth2.scopemapping",
        {"name": ROLES},
        {"scope_name": "profile", "expression": f'return {{"roles": ["admin" if {is_admin} else "user"]}}'},
        key="roles",
    )


def _client(service: Mapping[str, Any]) -> Iterator[Entry]:
    provider, oidc = _oidc(service), service["oidc"]
    scopes = ("openid", "email", "profile")
    attrs = {
        **_flows(),
        "client_type": "confidential",
        "client_id": oidc["client_id"],
        "client_secret": Tag("Env", secret_variable(oidc["secret"])),
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": [{"matching_mode": "strict", "url": url} for url in oidc["redirects"]],
        # Without a key, tokens would be signed with the client's own secret.
        "signing_key": _find(
            "authentik_crypto.certificatekeypair", "name", "authentik Self-signed Certificate"
        ),
        "property_mappings": [
            _find(
                "authentik_providers_oauth2.scopemapping",
                "managed",
                f"goauthentik.io/providers/oauth2/scope-{scope}",
            )
            for scope in scopes
        ]
        + [Tag("KeyOf", "roles")],
    }
    yield _entry("authentik_providers_oauth2.oauth2provider", {"name": provider}, attrs, key=provider)
    yield from _application(service, provider)


def _application(service: Mapping[str, Any], provider: str) -> Iterator[Entry]:
    """What people see of a service, and one policy that says who does.

    A policy and not a binding for each group: a blueprint adds and changes, so a group that left the inventory would
    stay bound.
    """
    name = service["name"]
    attrs = {
        "name": service["title"],
        "provider": Tag("KeyOf", provider),
        "meta_description": service["description"],
        "meta_launch_url": service["url"],
        "policy_engine_mode": "all",
    }
    yield _entry("authentik_core.application", {"slug": name}, attrs, key=name)
    policy = f"{name}-groups"
    expression = _expression(groups_of(service), needs_address=service["network"] != SHARED_NETWORK)
    yield _entry(
        "authentik_policies_expression.expressionpolicy",
        {"name": policy},
        {"expression": expression},
        key=policy,
    )
    yield _entry(
        "authentik_policies.policybinding",
        {"target": Tag("KeyOf", name), "order": 0},
        {"policy": Tag("KeyOf", policy), "enabled": True, "negate": False, "failure_result": False},
    )


def _expression(groups: Sequence[str] | None, needs_address: bool) -> str:
    """needs_address: the service knows people by their e-mail address, so all without one would be one person."""
    member = f"any(ak_is_group_member(request.user, name=name) for name in {json.dumps(groups)})"
    conditions = ["bool(request.user.email)"] if needs_address else []
    conditions += [] if groups is None else [member]
    return "return " + (" and ".join(conditions) or "True")


def _outpost(fleet: Mapping[str, Any], guarded: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
    """The proxy outpost, whose list of providers is replaced by this one, and the account that it signs in with.

    Not without providers, which authentik refuses.

    authentik makes account and token by itself where it finds none under exactly these names; then nobody would know
    the token.
    """
    pk = outpost_id(fleet)
    account, token = f"ak-outpost-{pk.hex}", f"ak-outpost-{pk}-api"
    yield _entry(
        "authentik_core.user",
        {"username": account},
        {"name": f"Outpost {OUTPOST} Service-Account", "path": "goauthentik.io/outposts"},
        key=account,
        state="created",
    )
    yield _entry(
        "authentik_core.token",
        {"identifier": token},
        {
            "managed": f"goauthentik.io/outpost/{token}",
            "user": Tag("KeyOf", account),
            "intent": "api",
            "expiring": False,
            "key": Tag("Env", OUTPOST_TOKEN),
        },
    )
    yield _entry(
        "authentik_outposts.outpost",
        {"pk": str(pk)},
        {
            "name": OUTPOST,
            "type": "proxy",
            "providers": [Tag("KeyOf", _proxy(service)) for service in guarded],
            "config": {"authentik_host": fleet["sign_on"]["url"]},
        },
    )


def _absent(
    service: Mapping[str, Any], guarded: Sequence[Mapping[str, Any]], clients: Sequence[Mapping[str, Any]]
) -> Iterator[Entry]:
    """What an earlier blueprint made for another guard of the service."""
    if service not in guarded and service not in clients:
        yield _entry("authentik_core.application", {"slug": service["name"]}, {}, state="absent")
    if service not in guarded:
        yield _entry("authentik_providers_proxy.proxyprovider", {"name": _proxy(service)}, {}, state="absent")
    if service not in clients:
        yield _entry(
            "authentik_providers_oauth2.oauth2provider", {"name": _oidc(service)}, {}, state="absent"
        )


def _proxy(service: Mapping[str, Any]) -> str:
    return f"{service['name']}-forward-auth"


def _oidc(service: Mapping[str, Any]) -> str:
    return f"{service['name']}-oidc"


def _flows() -> dict[str, Tag]:
    """authentik's own: people who signed in are not asked again whether an application of the platform may know."""
    flows = {
        "authorization_flow": "default-provider-authorization-implicit-consent",
        "invalidation_flow": "default-provider-invalidation-flow",
    }
    return {name: _find("authentik_flows.flow", "slug", slug) for name, slug in flows.items()}


def _find(model: str, field: str, value: str) -> Tag:
    return Tag("Find", (model, (field, value)))


def _entry(
    model: str,
    identifiers: Mapping[str, Any],
    attrs: Mapping[str, Any],
    key: str = "",
    state: str = "present",
) -> Entry:
    entry: Entry = {"model": model, "state": state, "identifiers": dict(identifiers)}
    if key:
        entry["id"] = key
    if attrs:
        entry["attrs"] = dict(attrs)
    return entry
