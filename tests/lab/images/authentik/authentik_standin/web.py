"""What every page of the server shares: the request as the browser sent it, the session, the views' frame."""

import hashlib
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import wraps
from html import escape
from typing import Any
from urllib.parse import quote, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from . import models
from .settings import Settings
from .store import Database, Objects, Row
from .users import uid

SESSION_COOKIE = "authentik_session"
CSRF_COOKIE = "authentik_csrf"
ACR = "goauthentik.io/core/default"
SESSION = "session"
SESSION_LIFETIME = timedelta(days=14)


@dataclass
class Call:
    """One request while it is answered, inside one transaction."""

    request: Request
    objects: Objects
    settings: Settings
    form: dict[str, str]
    json: Any = None

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query_params)

    @property
    def base_url(self) -> str:
        """Scheme and host as the browser has them; a proxy's word is taken from trusted addresses only."""
        headers = self.request.headers
        scheme, host = self.request.url.scheme, headers.get("host", "localhost")
        if self._from_trusted_proxy():
            scheme = headers.get("x-forwarded-proto", scheme)
            host = headers.get("x-forwarded-host", host)
        return f"{scheme}://{host}"

    def _from_trusted_proxy(self) -> bool:
        if self.request.client is None:
            return False
        peer = ipaddress.ip_address(self.request.client.host)
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(
            peer in network for network in self.settings.trusted_proxies() if network.version == peer.version
        )

    @property
    def browser(self) -> str:
        """Which browser it is, by its cookie, signed in or not; empty where the cookie is none of ours."""
        try:
            token = jwt.decode(self.request.cookies.get(SESSION_COOKIE, ""), self._signing_key(), ["HS256"])
        except (JoseError, ValueError):
            return ""
        return str(token.claims["sid"])

    @property
    def session(self) -> Row | None:
        """The signed-in session of the cookie, if it is one of ours and has not ended."""
        row = self.objects.get(SESSION, self.browser) if self.browser else None
        return row if row and datetime.fromisoformat(row["expires"]) > now() else None

    @property
    def user(self) -> Row | None:
        session = self.session
        user = self.objects.get(models.USER, session["user"]) if session else None
        return user if user and user["is_active"] else None

    def sign_in(self, user: Row, response: Response) -> str:
        """Signs somebody in under a new cookie; returns which browser it is from now on."""
        key = self.remember(response, uid(user))
        session = {"pk": key, "user": user["pk"], "auth_time": now().isoformat()}
        self.objects.save(SESSION, session | {"expires": (now() + SESSION_LIFETIME).isoformat()})
        self.objects.save(models.USER, user | {"last_login": now().isoformat()})
        self._set_cookie(response, CSRF_COOKIE, secrets.token_urlsafe(24))  # a new one at every sign-in
        return key

    def remember(self, response: Response, subject: str = "anonymous") -> str:
        """Gives the browser a cookie; returns which browser it is. The token is authentik's own."""
        key = secrets.token_hex(24)
        claims = {
            "sid": key,
            "iss": "authentik",
            "sub": subject,
            "authenticated": subject != "anonymous",
            "acr": ACR,
        }
        self._set_cookie(
            response, SESSION_COOKIE, jwt.encode({"alg": "HS256"}, claims, self._signing_key()), httponly=True
        )
        return key

    def _set_cookie(self, response: Response, name: str, value: str, httponly: bool = False) -> None:
        response.set_cookie(
            name,
            value,
            path="/",
            domain=self.settings.get("COOKIE_DOMAIN") or None,
            secure=self.base_url.startswith("https:"),
            httponly=httponly,
            samesite="lax",
        )

    def sign_out(self, response: Response) -> None:
        if session := self.session:
            self.objects.delete(SESSION, session["pk"])
        response.delete_cookie(SESSION_COOKIE, path="/")

    def _signing_key(self) -> OctKey:
        return OctKey.import_key(hashlib.sha512(self.settings.get("SECRET_KEY").encode()).hexdigest())


View = Callable[[Call], Response]


def view(answer: View) -> Callable[[Request], Awaitable[Response]]:
    """A Starlette endpoint from a plain function: the body read first, the work done in a thread."""

    @wraps(answer)
    async def endpoint(request: Request) -> Response:
        form: dict[str, str] = {}
        json = None
        if request.headers.get("content-type", "").startswith("application/json"):
            body = await request.body()
            json = await request.json() if body else {}
        elif request.method in ("POST", "PUT", "PATCH"):
            form = {name: str(value) for name, value in (await request.form()).items()}

        def work() -> Response:
            database: Database = request.app.state.database
            with database.transaction() as objects:
                return answer(Call(request, objects, request.app.state.settings, form, json))

        return await run_in_threadpool(work)

    return endpoint


def now() -> datetime:
    return datetime.now(timezone.utc)


def safe_next(target: str) -> str:
    """Where to go after signing in: a path of this server, nothing else."""
    parts = urlsplit(target)
    local = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc
    return target if local else "/if/user/"


def to_sign_in(call: Call, flow_slug: str | None = None) -> Response:
    """To the login, with this request to come back to."""
    url = call.request.url
    target = quote(url.path + (f"?{url.query}" if url.query else ""), safe="")
    where = f"/if/flow/{flow_slug}/" if flow_slug else "/flows/-/default/authentication/"
    return RedirectResponse(f"{where}?next={target}", 302)


def page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)} - authentik</title>"
        f"<h1>{escape(title)}</h1>{body}",
        status,
        headers={"X-Frame-Options": "DENY", "Cache-Control": "no-store", "X-Powered-By": "authentik"},
    )


def error_page(title: str, message: str, status: int = 400) -> HTMLResponse:
    return page(title, f"<p>{escape(message)}</p>", status)
