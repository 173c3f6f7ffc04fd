"""Objects as the API shows them: without secrets, with the fields that authentik adds to each."""

from collections.abc import Callable
from datetime import datetime, timezone

from . import models
from .flows import launch_url
from .outposts import token_identifier
from .store import Row
from .users import is_superuser, uid
from .web import Call

SECRETS = {"password_hash", "key", "key_data", "cookie_secret"}
# What a proxy provider has of an OAuth2 provider, and its own API does not show.
INHERITED = {"client_secret", "signing_key", "encryption_key", "grant_types", "sub_mode"}
# The stand-in keeps no dates of its own.
NEVER = datetime.fromtimestamp(0, timezone.utc).isoformat()


def present(call: Call, model: str, row: Row) -> Row:
    hidden = SECRETS | INHERITED if model == models.PROXY else SECRETS
    shown = {name: value for name, value in row.items() if name not in hidden}
    return shown | ADDED[model](call, row) if model in ADDED else shown


def present_provider(call: Call, pk: int) -> Row | None:
    """A provider of whatever kind."""
    row = models.provider(call.objects, pk)
    if row is None:
        return None
    return present(call, row["model"], {name: value for name, value in row.items() if name != "model"})


def _user(call: Call, row: Row) -> Row:
    groups = [call.objects.get(models.GROUP, pk) for pk in row["groups"]]
    dates = dict.fromkeys(("date_joined", "password_change_date", "last_updated"), NEVER)
    return dates | {
        "is_superuser": is_superuser(call.objects, row),
        "groups_obj": [_partial_group(group) for group in groups if group],
        "roles_obj": [],
        "uid": uid(row),
        "avatar": "",
    }


def _partial_group(group: Row) -> Row:
    shown = ("pk", "name", "is_superuser", "attributes")
    return {name: group[name] for name in shown} | {"num_pk": _number(group)}


def _group(call: Call, row: Row) -> Row:
    empty: Row = dict.fromkeys(
        ("parents_obj", "users_obj", "roles_obj", "children_obj", "inherited_roles_obj"), []
    )
    return empty | {
        "num_pk": _number(row),
        "users": [user["pk"] for user in call.objects.find(models.USER) if row["pk"] in user["groups"]],
        "children": [
            other["pk"] for other in call.objects.find(models.GROUP) if row["pk"] in other["parents"]
        ],
    }


def _number(group: Row) -> int:
    return int(group["pk"].replace("-", "")[:7], 16)


def _kind(component: str, name: str, model: str) -> Row:
    return {
        "component": component,
        "verbose_name": name,
        "verbose_name_plural": f"{name}s",
        "meta_model_name": model,
    }


def _provider(call: Call, row: Row) -> Row:
    application = models.application_of(call.objects, row["pk"])
    if "external_host" in row:
        kind = _kind("ak-provider-proxy-form", "Proxy Provider", models.PROXY)
    else:
        kind = _kind("ak-provider-oauth2-form", "OAuth2/OpenID Provider", models.OAUTH2)
    outposts = [
        found["name"] for found in call.objects.find(models.OUTPOST) if row["pk"] in found["providers"]
    ]
    return kind | {
        "assigned_application_slug": application["slug"] if application else None,
        "assigned_application_name": application["name"] if application else None,
        "assigned_backchannel_application_slug": None,
        "assigned_backchannel_application_name": None,
        "outpost_set": outposts,
    }


def _application(call: Call, row: Row) -> Row:
    return {
        "pbm_uuid": row["pk"],
        "provider_obj": present_provider(call, row["provider"]) if row["provider"] else None,
        "backchannel_providers_obj": [],
        "launch_url": launch_url(call.objects, row),
        "meta_icon_url": row["meta_icon"] or None,
        "meta_icon_themed_urls": None,
    }


def _token(call: Call, row: Row) -> Row:
    user = call.objects.get(models.USER, row["user"])
    return {"user_obj": present(call, models.USER, user) if user else None}


def _outpost(call: Call, row: Row) -> Row:
    interval = models.duration(row["config"].get("refresh_interval", "minutes=5"))
    return {
        "providers_obj": [present_provider(call, pk) for pk in row["providers"]],
        "service_connection_obj": None,
        "refresh_interval_s": int(interval.total_seconds()),
        "token_identifier": token_identifier(row),
    }


def _flow(_call: Call, row: Row) -> Row:
    return {
        "policybindingmodel_ptr_id": row["pk"],
        "background_url": "",
        "background_themed_urls": None,
        "stages": [],
        "policies": [],
        "cache_count": 0,
        "export_url": f"/api/v3/flows/instances/{row['slug']}/export/",
    }


def _binding(call: Call, row: Row) -> Row:
    group = call.objects.get(models.GROUP, row["group"]) if row.get("group") else None
    objects = {"policy_obj": None, "user_obj": None, "group_obj": _partial_group(group) if group else None}
    return objects | {"expires": None, "expiring": False}


def _scope(_call: Call, _row: Row) -> Row:
    return _kind("ak-property-mapping-provider-scope-form", "Scope Mapping", models.SCOPE)


def _brand(_call: Call, row: Row) -> Row:
    return {"brand_uuid": row["pk"]}


ADDED: dict[str, Callable[[Call, Row], Row]] = {
    models.USER: _user,
    models.GROUP: _group,
    models.PROXY: _provider,
    models.OAUTH2: _provider,
    models.APPLICATION: _application,
    models.TOKEN: _token,
    models.OUTPOST: _outpost,
    models.FLOW: _flow,
    models.BINDING: _binding,
    models.SCOPE: _scope,
    models.BRAND: _brand,
}
