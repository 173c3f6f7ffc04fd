"""The authentication flow as its pages' scripts and programs walk it: challenges and answers in JSON.

A good answer is redirected to where it was sent, for the next challenge; a bad one gets the same challenge again,
with `response_errors`.
"""

from datetime import timedelta
from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from . import models
from .store import Objects, Row
from .users import check_password
from .web import Call, now, view

# What a browser has answered so far, by its cookie.
PLAN = "plan"
LIFETIME = timedelta(minutes=30)
FLOW = "default-authentication-flow"


def execute(call: Call) -> Response:
    if call.request.path_params["slug"] != FLOW:
        return JSONResponse({"detail": "Not found."}, 404)
    plan = call.objects.get(PLAN, call.browser) if call.browser else None
    if call.request.method == "POST" and plan:
        return _answered(call, plan)
    if plan is None:
        response = JSONResponse(_challenge({}))
        call.objects.save(PLAN, _plan(call.remember(response), name="", done=False))
        return response
    if plan["done"]:
        call.objects.delete(PLAN, plan["pk"])
    return JSONResponse(_challenge(plan))


def _answered(call: Call, plan: Row) -> Response:
    answer = call.json or call.form
    url = call.request.url
    onwards = RedirectResponse(f"{url.path}?{url.query}", 302)
    if not plan["name"]:
        if not answer.get("uid_field"):
            return JSONResponse(_challenge(plan, uid_field="This field is required."))
        call.objects.save(PLAN, plan | {"name": answer["uid_field"]})
        return onwards
    user = authenticated(call.objects, plan["name"], str(answer.get("password", "")))
    if user is None:
        return JSONResponse(_challenge(plan, password="Invalid password"))
    call.objects.delete(PLAN, plan["pk"])
    call.objects.save(PLAN, _plan(call.sign_in(user, onwards), name=plan["name"], done=True))
    return onwards


def _plan(browser: str, name: str, done: bool) -> Row:
    return {"pk": browser, "name": name, "done": done, "expires": (now() + LIFETIME).isoformat()}


def _challenge(plan: Row | dict[str, Any], **errors: str) -> dict[str, Any]:
    """What is asked next. errors: {field: message} of the last answer."""
    info = {"title": "Welcome to authentik!", "layout": "stacked", "cancel_url": "/flows/-/cancel/"}
    shared: dict[str, Any] = {"flow_info": info}
    if errors:
        shared["response_errors"] = {
            name: [{"string": text, "code": "invalid"}] for name, text in errors.items()
        }
    if plan.get("done"):
        return {"component": "xak-flow-redirect", "to": "/"}
    if plan.get("name"):
        asked = {"component": "ak-stage-password", "pending_user": plan["name"], "pending_user_avatar": ""}
        return shared | asked
    asked_name = {"component": "ak-stage-identification", "user_fields": ["username", "email"]}
    return shared | asked_name | {"password_fields": False, "primary_action": "Log in"}


def authenticated(objects: Objects, name: str, password: str) -> Row | None:
    """The account with this name or address and this password."""
    for field in ("username", "email"):
        for user in objects.find(models.USER, **{field: name}):
            if user["is_active"] and check_password(password, user):
                return user
    return None


ROUTES = [Route("/api/v3/flows/executor/{slug}/", view(execute), methods=["GET", "POST"])]
