"""The pages below /if/ and /flows/: signing in and out, consent, and the list of applications."""

from html import escape

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from . import access, models, oidc
from .executor import authenticated
from .store import Objects, Row
from .users import is_superuser
from .web import Call, error_page, page, safe_next, to_sign_in, view

CONSENT_FLOW = "default-provider-authorization-explicit-consent"


def root(_call: Call) -> Response:
    return RedirectResponse("/if/user/", 302)


def default_flow(call: Call) -> Response:
    """/flows/-/default/authentication/ and /invalidation/: the brand's flow of that kind."""
    designation = call.request.path_params["designation"]
    slug = f"default-{'authentication' if designation == 'authentication' else 'invalidation'}-flow"
    return RedirectResponse(f"/if/flow/{slug}/?{call.request.url.query}", 302)


def flow(call: Call) -> Response:
    slug = call.request.path_params["slug"]
    found = next(iter(call.objects.find(models.FLOW, slug=slug)), None)
    if found is None:
        return error_page("Not found", "There is no such flow.", 404)
    if found["designation"] == "authentication":
        return sign_in(call)
    if found["designation"] == "authorization":
        return authorize(call, slug)
    if found["designation"] == "invalidation":
        return sign_out(call, slug)
    return error_page("Permission denied", "This flow cannot be used here.")


def sign_in(call: Call) -> Response:
    """Two steps as in the default flow: the name, then the password. A wrong name is not told apart."""
    target = safe_next(call.query.get("next", ""))
    if call.user:
        return RedirectResponse(target, 302)
    name = call.form.get("uidField", "")
    if not name:
        return page(
            "Welcome to authentik!",
            "<form method=post><label>Email or Username <input name=uidField autocomplete=username autofocus required>"
            "</label> <button type=submit>Log in</button></form>",
        )
    message = ""
    if "password" in call.form:
        if user := authenticated(call.objects, name, call.form["password"]):
            response = RedirectResponse(target, 302)
            call.sign_in(user, response)
            return response
        message = "<p role=alert>Invalid password</p>"
    return page(
        "Welcome to authentik!",
        f"{message}<form method=post><input type=hidden name=uidField value='{escape(name, quote=True)}'>"
        "<label>Password <input type=password name=password autocomplete=current-password autofocus required></label>"
        " <button type=submit>Continue</button></form>",
    )


def authorize(call: Call, slug: str) -> Response:
    """The end of an authorization flow: consent where the flow asks for it, then back to the client with a code."""
    checked = oidc.checked_request(call)
    if isinstance(checked, Response):
        return checked
    flow_ = call.objects.get(models.FLOW, checked.provider["authorization_flow"])
    if flow_ is None or flow_["slug"] != slug or call.user is None:
        return oidc.authorize(call)
    if slug == CONSENT_FLOW and "consent" not in call.form:
        name = escape(checked.application["name"])
        return page(
            f"Redirecting to {checked.application['name']}",
            f"<p>You're about to sign into {name}.</p><form method=post>"
            "<button type=submit name=consent value=yes>Continue</button></form>",
        )
    return oidc.back_with_code(call, checked)


def sign_out(call: Call, slug: str) -> Response:
    """Providers' flow ends the application's session only; the default flow ends authentik's."""
    if slug == "default-provider-invalidation-flow":
        return page(
            "You've logged out of the application.",
            "<p><a href='/if/flow/default-invalidation-flow/'>Log out of authentik</a></p>",
        )
    response = RedirectResponse("/flows/-/default/authentication/", 302)
    call.sign_out(response)
    return response


def library(call: Call) -> Response:
    """The applications that this person may see."""
    if call.user is None:
        return to_sign_in(call)
    items = []
    for application in sorted(call.objects.find(models.APPLICATION), key=lambda row: row["name"].lower()):
        url = launch_url(call.objects, application)
        if url and not application["meta_hide"] and access.allowed(call.objects, application, call.user):
            items.append(f"<li><a href='{escape(url, quote=True)}'>{escape(application['name'])}</a>")
    admin = is_superuser(call.objects, call.user)
    return page(
        "My applications",
        f"<p>{escape(call.user['username'])}{' (<a href=/if/admin/>Admin interface</a>)' if admin else ''}"
        f" <a href='/if/flow/default-invalidation-flow/'>Sign out</a></p><ul>{''.join(items)}</ul>",
    )


def admin_interface(call: Call) -> Response:
    if call.user is None:
        return to_sign_in(call)
    if not is_superuser(call.objects, call.user):
        return error_page("Permission denied", "Administrators only.", 403)
    return page("Admin interface", "<p>A stand-in has none; use the API.</p>")


def launch_url(objects: Objects, application: Row) -> str | None:
    """The given one, or where its provider says that the application is."""
    if application["meta_launch_url"]:
        return application["meta_launch_url"]
    provider = models.provider(objects, application["provider"]) if application["provider"] else None
    if provider is None:
        return None
    if provider["model"] == models.PROXY:
        return provider["external_host"]
    uris = provider["redirect_uris"]
    return "/".join(uris[0]["url"].split("/")[:3]) if uris else None


ROUTES = [
    Route("/", view(root)),
    Route("/flows/-/default/{designation}/", view(default_flow)),
    Route("/if/flow/{slug}/", view(flow), methods=["GET", "POST"]),
    Route("/if/user/", view(library)),
    Route("/if/admin/", view(admin_interface)),
]
