"""The part of /api/v3/ that outposts and operators use, by bearer token or by a session."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import access, models, oidc, outposts
from .errors import Invalid
from .present import present, present_provider
from .store import Row
from .users import all_groups, hash_password, is_superuser, uid
from .web import CSRF_COOKIE, Call, now, view

CSRF_HEADER = "X-authentik-CSRF"
OUTPOST_AGENT = "goauthentik.io/outpost/"
# The fields of a proxy provider that its outpost gets.
FOR_OUTPOST = """
pk name internal_host external_host internal_host_ssl_validation client_id client_secret cookie_secret certificate
skip_path_regex basic_auth_enabled basic_auth_password_attribute basic_auth_user_attribute mode cookie_domain
intercept_header_auth
"""


class Denied(Exception):
    """Who asks may not, and why."""


@dataclass(frozen=True)
class Resource:
    """A collection: its path, its model, and which field names one of it in the path."""

    path: str
    model: str
    key: str = "pk"
    read_only: bool = False


RESOURCES = [
    Resource("core/users", models.USER),
    Resource("core/groups", models.GROUP),
    Resource("core/applications", models.APPLICATION, "slug"),
    Resource("core/tokens", models.TOKEN, "identifier"),
    Resource("core/brands", models.BRAND),
    Resource("flows/instances", models.FLOW, "slug"),
    Resource("providers/proxy", models.PROXY),
    Resource("providers/oauth2", models.OAUTH2),
    Resource("propertymappings/provider/scope", models.SCOPE),
    Resource("crypto/certificatekeypairs", models.CERTIFICATE),
    Resource("outposts/instances", models.OUTPOST),
    Resource("policies/bindings", models.BINDING),
    Resource("policies/expression", models.EXPRESSION),
    Resource("managed/blueprints", models.BLUEPRINT, read_only=True),
]


# --- who asks --------------------------------------------------------------------------------------------------------


def caller(call: Call) -> Row:
    """The user of the bearer token or of the session; to write, a page proves that it is authentik's. Raises Denied."""
    kind, _space, key = call.request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        for token in call.objects.find(models.TOKEN, key=key, intent="api") if key else []:
            user = call.objects.get(models.USER, token["user"])
            if user and user["is_active"] and not outposts.expired(token):
                return user
        raise Denied("Token invalid/expired")
    if call.user:
        proof = call.request.headers.get(CSRF_HEADER, "")
        if call.request.method == "GET" or (proof and proof == call.request.cookies.get(CSRF_COOKIE)):
            return call.user
        raise Denied("CSRF Failed: CSRF token missing.")
    raise Denied("Authentication credentials were not provided.")


def administrator(call: Call) -> Row:
    user = caller(call)
    if not is_superuser(call.objects, user):
        raise Denied("You do not have permission to perform this action.")
    return user


def api(answer: Callable[[Call], Response]) -> Any:
    """A view whose refusals are JSON: 403 as authentik's, for no and for wrong credentials alike."""

    def guarded(call: Call) -> Response:
        try:
            return answer(call)
        except Denied as denied:
            return JSONResponse({"detail": str(denied)}, 403)
        except Invalid as error:
            return JSONResponse({name: [str(text)] for name, text in error.errors.items()}, 400)

    return view(guarded)


# --- collections -----------------------------------------------------------------------------------------------------


def collection(resource: Resource) -> Callable[[Call], Response]:
    def answer(call: Call) -> Response:
        rows = visible(call, resource)
        if call.request.method == "POST":
            administrator(call)
            row = models.MODELS[resource.model].write(call.objects, None, call.json or {})
            call.objects.save(resource.model, row)
            outposts.reconcile(call.objects)
            return JSONResponse(present(call, resource.model, row), 201)
        rows = [row for row in rows if _matches(row, call.query)]
        return paginated([present(call, resource.model, row) for row in rows])

    return answer


def visible(call: Call, resource: Resource) -> list[Row]:
    """Administrators see everything; an outpost's account sees its outpost; others nothing of a collection."""
    user = caller(call)
    if is_superuser(call.objects, user):
        return call.objects.find(resource.model)
    if resource.model == models.OUTPOST:
        return outposts.of_account(call.objects, user)
    raise Denied("You do not have permission to perform this action.")


def member(resource: Resource) -> Callable[[Call], Response]:
    def answer(call: Call) -> Response:
        key = call.request.path_params["key"]
        row = next((row for row in visible(call, resource) if str(row[resource.key]) == key), None)
        if row is None:
            return not_found()
        if call.request.method == "GET":
            return JSONResponse(present(call, resource.model, row))
        administrator(call)
        if call.request.method == "DELETE":
            call.objects.delete(resource.model, row["pk"])
            return Response(status_code=204)
        row = models.MODELS[resource.model].write(call.objects, row, call.json or {})
        call.objects.save(resource.model, row)
        outposts.reconcile(call.objects)
        return JSONResponse(present(call, resource.model, row))

    return answer


def _matches(row: Row, query: dict[str, str]) -> bool:
    """Filters by a field, `__iexact` too, and `search`; paging is left out, everything is on one page."""
    for name, wanted in query.items():
        field = name.removesuffix("__iexact")
        if name == "search" and not any(wanted.lower() in str(value).lower() for value in row.values()):
            return False
        if field in row and str(row[field]).lower() != wanted.lower():
            return False
    return True


def paginated(rows: list[Row]) -> Response:
    count = len(rows)
    pagination = {"next": 0, "previous": 0, "count": count, "current": 1, "total_pages": 1}
    pagination |= {"start_index": 1 if count else 0, "end_index": count}
    return JSONResponse({"pagination": pagination, "results": rows, "autocomplete": {}})


def not_found() -> Response:
    return JSONResponse({"detail": "Not found."}, 404)


# --- single paths ----------------------------------------------------------------------------------------------------


def root_config(_call: Call) -> Response:
    reporting = {"enabled": False, "sentry_dsn": "", "environment": "customer", "send_pii": False}
    return JSONResponse(
        {
            "error_reporting": reporting | {"traces_sample_rate": 0.1},
            "capabilities": ["can_save_media"],
            "cache_timeout": 300,
            "cache_timeout_flows": 300,
            "cache_timeout_policies": 300,
        }
    )


def version(call: Call) -> Response:
    administrator(call)
    ours = call.request.app.state.version
    known = {"version_current": ours, "version_latest": "0.0.0", "version_latest_valid": False}
    return JSONResponse(known | {"build_hash": "", "outdated": False, "outpost_outdated": False})


def me(call: Call) -> Response:
    user = caller(call)
    shown = {name: user[name] for name in ("pk", "username", "name", "is_active", "email", "type")}
    groups = [{"name": group["name"], "pk": group["pk"]} for group in all_groups(call.objects, user)]
    extra = {"is_superuser": is_superuser(call.objects, user), "groups": groups, "uid": uid(user)}
    return JSONResponse(
        {"user": shown | extra | {"avatar": "", "settings": {}, "roles": [], "system_permissions": []}}
    )


def set_password(call: Call) -> Response:
    administrator(call)
    user = call.objects.get(models.USER, call.request.path_params["key"])
    password = (call.json or {}).get("password")
    if user is None:
        return not_found()
    if not password:
        raise Invalid({"password": "This field is required."})
    call.objects.save(models.USER, user | {"password_hash": hash_password(password)})
    return Response(status_code=204)


def token_key(call: Call) -> Response:
    """view_key and set_key of a token."""
    administrator(call)
    identifier = call.request.path_params["key"]
    token = next(iter(call.objects.find(models.TOKEN, identifier=identifier)), None)
    if token is None or outposts.expired(token):
        return not_found()
    if call.request.method == "GET":
        return JSONResponse({"key": token["key"]})
    key = (call.json or {}).get("key")
    if not key:
        return Response(status_code=400)
    call.objects.save(models.TOKEN, token | {"key": key})
    return Response(status_code=204)


def check_access(call: Call) -> Response:
    user = caller(call)
    slug = call.request.path_params["key"]
    application = next(iter(call.objects.find(models.APPLICATION, slug=slug)), None)
    if application is None:
        return not_found()
    if "for_user" in call.query:
        administrator(call)
        user = call.objects.get(models.USER, call.query["for_user"]) or user
    passing = access.allowed(call.objects, application, user)
    return JSONResponse({"passing": passing, "messages": [], "log_messages": []})


def all_providers(call: Call) -> Response:
    administrator(call)
    found = models.providers(call.objects)
    rows = [present_provider(call, row["pk"]) for row in found if _matches(row, call.query)]
    return paginated([row for row in rows if row])


def outpost_providers(call: Call) -> Response:
    """What a proxy outpost serves: its providers that have an application, with their secrets.

    Only an outpost's own account may ask, and only one of this very release: authentik merely marks others as outdated.
    """
    user = caller(call)
    if user["type"] not in ("internal_service_account", "service_account"):
        raise Denied("You do not have permission to perform this action.")
    agent = call.request.headers.get("user-agent", "")
    ours = call.request.app.state.version
    if agent.startswith(OUTPOST_AGENT) and agent.removeprefix(OUTPOST_AGENT) != ours:
        raise Denied(f"The server is {ours}, the outpost is {agent.removeprefix(OUTPOST_AGENT)}: not equal")
    rows = []
    for outpost in outposts.of_account(call.objects, user):
        for pk in outpost["providers"]:
            provider = call.objects.get(models.PROXY, pk)
            application = models.application_of(call.objects, pk)
            if provider and application:
                rows.append(_for_outpost(call, provider, application))
    return paginated(rows)


def _for_outpost(call: Call, provider: Row, application: Row) -> Row:
    mappings = [call.objects.get(models.SCOPE, pk) for pk in provider["property_mappings"]]
    return {name: provider[name] for name in FOR_OUTPOST.split()} | {
        "oidc_configuration": oidc.configuration(call, provider),
        "access_token_validity": models.duration(provider["access_token_validity"]).total_seconds(),
        "scopes_to_request": sorted({row["scope_name"] for row in mappings if row}),
        "assigned_application_slug": application["slug"],
        "assigned_application_name": application["name"],
    }


def apply_blueprint(call: Call) -> Response:
    """Ask the worker to apply a blueprint again."""
    administrator(call)
    instance = call.objects.get(models.BLUEPRINT, call.request.path_params["key"])
    if instance is None:
        return not_found()
    call.objects.save(
        "apply_request", {"pk": secrets.token_hex(8), "blueprint": instance["pk"], "at": now().isoformat()}
    )
    return JSONResponse(instance)


def _route(path: str, answer: Callable[[Call], Response], *methods: str) -> Route:
    return Route(f"/api/v3/{path}/", api(answer), methods=list(methods or ("GET",)))


ROUTES = [
    _route("root/config", root_config),
    _route("admin/version", version),
    _route("core/users/me", me),
    _route("core/users/{key}/set_password", set_password, "POST"),
    _route("core/tokens/{key}/view_key", token_key),
    _route("core/tokens/{key}/set_key", token_key, "POST"),
    _route("core/applications/{key}/check_access", check_access),
    _route("providers/all", all_providers),
    _route("outposts/proxy", outpost_providers),
    _route("managed/blueprints/{key}/apply", apply_blueprint, "POST"),
]
for _resource in RESOURCES:
    _some = ("GET",) if _resource.read_only else ("GET", "POST")
    _one = ("GET",) if _resource.read_only else ("GET", "PUT", "PATCH", "DELETE")
    ROUTES.append(_route(_resource.path, collection(_resource), *_some))
    ROUTES.append(_route(f"{_resource.path}/{{key}}", member(_resource), *_one))
