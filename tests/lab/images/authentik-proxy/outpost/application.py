"""One provider: who is signed in at its host, and the way through authentik for those who are not."""

import base64
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit, urlunsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from .log import log

if TYPE_CHECKING:
    from .controller import Controller

PREFIX = "/outpost.goauthentik.io"
CALLBACK = "X-authentik-auth-callback"
LOGOUT = "X-authentik-logout"
# A Basic user name that says: the password is a token.
TOKEN_USER = "goauthentik.io/token"


@dataclass
class Sessions:
    """Who is signed in, by session id. In memory: the original's are in /dev/shm, and end with the container too."""

    claims: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get(self, session: str) -> dict[str, Any] | None:
        claims = self.claims.get(session)
        if claims and claims["exp"] < time.time():
            del self.claims[session]
            return None
        return claims

    def forget(self, subject: str) -> None:
        self.claims = {key: claims for key, claims in self.claims.items() if claims["sub"] != subject}


class Application:
    def __init__(self, provider: dict[str, Any], controller: "Controller", authentik_host: str) -> None:
        self.provider = provider
        self.controller = controller
        self.sessions = Sessions()
        self.mode: str = provider["mode"]
        self.domain: str = (provider["cookie_domain"] or "").lstrip(".")
        self.external: str = provider["external_host"].rstrip("/")
        self.host_header = urlsplit(authentik_host)
        self.endpoints = provider["oidc_configuration"]
        self.cookie = "authentik_proxy_" + hashlib.sha256(provider["client_id"].encode()).hexdigest()[:8]
        self.open_paths = [re.compile(line) for line in provider["skip_path_regex"].splitlines() if line]

    # --- requests ----------------------------------------------------------------------------------------------------

    def forward_auth(self, request: Request) -> Response:
        """auth/traefik: 200 with the identity, or a redirect to the login; what is open is 200 without one."""
        forwarded = forwarded_url(request)
        if forwarded is None:
            log("error", "no forward URL from Traefik", provider=self.provider["name"])
            return PlainTextResponse("configuration error", 500)
        query = parse_qs(urlsplit(forwarded).query)
        if query.get(CALLBACK, [""])[0].lower() == "true":
            return self.callback(request, query)
        if query.get(LOGOUT, [""])[0].lower() == "true":
            return self.sign_out(request)
        claims = self.signed_in(request)
        if claims:
            return Response(headers=self.identity(claims, request))
        if self.is_open(forwarded):
            return Response()
        return self.start(request, forwarded)

    def start(self, request: Request, target: str | None) -> Response:
        """To the authorize page, with a signed state that names this browser's session and where it wanted to go."""
        session = self.session_of(request) or secrets.token_hex(24)
        state = {"iss": self.state_issuer, "sid": session, "state": secrets.token_hex(16)}
        secret = OctKey.import_key(self.provider["cookie_secret"])
        parameters = {
            "client_id": self.provider["client_id"],
            "redirect_uri": self.callback_url,
            "response_type": "code",
            "scope": " ".join(self.provider["scopes_to_request"]),
            "state": jwt.encode({"alg": "HS256"}, state | {"redirect": target or ""}, secret),
        }
        address = self.in_browser(self.endpoints["authorization_endpoint"])
        response = RedirectResponse(f"{address}?{urlencode(parameters)}", 302)
        self.set_cookie(response, session, None)
        return response

    def callback(self, request: Request, query: dict[str, list[str]]) -> Response:
        session = self.session_of(request)
        state = self.state_of(query.get("state", [""])[0])
        code = query.get("code", [""])[0]
        if session is None or state is None or state["sid"] != session or not code:
            return PlainTextResponse("invalid state", 400)
        try:
            claims = self.redeem(code)
        except (httpx.HTTPError, JoseError, ValueError, KeyError) as error:
            log("error", "failed to redeem code", provider=self.provider["name"], error=str(error))
            return PlainTextResponse("failed to redeem code", 400)
        self.sessions.claims[session] = claims
        response = RedirectResponse(state["redirect"] or self.external, 302)
        self.set_cookie(response, session, int(claims["exp"] - time.time()))
        return response

    def sign_out(self, request: Request) -> Response:
        session = self.session_of(request)
        claims = self.sessions.get(session) if session else None
        if claims is None:
            return RedirectResponse(f"{self.external}{PREFIX}/start?{urlencode({'rd': self.external})}", 302)
        for application in self.controller.applications.values():
            application.sessions.forget(claims["sub"])
        end = self.in_browser(self.endpoints["end_session_endpoint"])
        response = RedirectResponse(f"{end}?{urlencode({'id_token_hint': claims['raw_token']})}", 302)
        response.delete_cookie(self.cookie, path="/", domain=self.cookie_domain)
        return response

    def allowed_target(self, target: str) -> str | None:
        """The `rd` of a start request, if it leads to this provider's own host or domain."""
        if not target:
            return None
        if self.mode == "forward_domain":
            host = urlsplit(target).hostname or ""
            return target if host == self.domain or host.endswith("." + self.domain) else None
        resolved = urljoin(self.external + "/", target)
        return resolved if urlsplit(resolved).netloc == urlsplit(self.external).netloc else None

    # --- who it is ---------------------------------------------------------------------------------------------------

    def signed_in(self, request: Request) -> dict[str, Any] | None:
        session = self.session_of(request)
        claims = self.sessions.get(session) if session else None
        if claims or not self.provider["intercept_header_auth"]:
            return claims
        kind, _space, value = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.introspect(value)
        if kind.lower() == "basic":
            return self.by_password(value)
        return None

    def introspect(self, token: str) -> dict[str, Any] | None:
        """Claims of an access token that this very provider has issued."""
        answer = self.post(self.endpoints["introspection_endpoint"], {"token": token})
        claims = answer.json() if answer is not None and answer.is_success else {}
        return claims | {"raw_token": token} if claims.get("active") else None

    def by_password(self, value: str) -> dict[str, Any] | None:
        """A user's app password, or a token with the user name that says so."""
        try:
            user, _colon, password = base64.b64decode(value).decode().partition(":")
        except ValueError:
            return None
        if user == TOKEN_USER:
            return self.introspect(password)
        form = {"grant_type": "client_credentials", "username": user, "password": password}
        form["scope"] = " ".join(self.provider["scopes_to_request"])
        answer = self.post(self.endpoints["token_endpoint"], form)
        return (
            self.verified(answer.json()["access_token"]) if answer is not None and answer.is_success else None
        )

    def identity(self, claims: dict[str, Any], request: Request) -> dict[str, str]:
        headers = {
            "X-authentik-username": claims.get("preferred_username", ""),
            "X-authentik-groups": "|".join(claims.get("groups", [])),
            "X-authentik-entitlements": "|".join(claims.get("entitlements", [])),
            "X-authentik-email": claims.get("email", ""),
            "X-authentik-name": claims.get("name", ""),
            "X-authentik-uid": claims["sub"],
            "X-authentik-jwt": claims["raw_token"],
            "X-authentik-meta-jwks": self.endpoints["jwks_uri"],
            "X-authentik-meta-outpost": self.controller.name,
            "X-authentik-meta-provider": self.provider["name"],
            "X-authentik-meta-app": self.provider["assigned_application_slug"],
            "X-authentik-meta-version": f"goauthentik.io/outpost/{self.controller.version}",
            "User-Agent": request.headers.get("user-agent", ""),
        }
        attributes = claims.get("ak_proxy", {}).get("user_attributes", {})
        if self.provider["basic_auth_enabled"]:
            password = attributes.get(self.provider["basic_auth_password_attribute"], "")
            user = attributes.get(self.provider["basic_auth_user_attribute"]) or claims.get("email", "")
            if password:
                pair = base64.b64encode(f"{user}:{password}".encode()).decode()
                headers["Authorization"] = f"Basic {pair}"
        headers |= {name: str(value) for name, value in attributes.get("additionalHeaders", {}).items()}
        # Header values are latin-1 on the wire; UTF-8 bytes pass through it unchanged, as Go writes them.
        return {name: value.encode().decode("latin-1") for name, value in headers.items()}

    def is_open(self, url: str) -> bool:
        text = url if self.mode == "forward_domain" else urlsplit(url).path
        return any(pattern.search(text) for pattern in self.open_paths)

    # --- authentik ---------------------------------------------------------------------------------------------------

    def redeem(self, code: str) -> dict[str, Any]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.callback_url}
        answer = self.post(self.endpoints["token_endpoint"], form)
        if answer is None or answer.is_error:
            raise ValueError(answer.text if answer is not None else "the server does not answer")
        return self.verified(answer.json()["access_token"])

    def verified(self, token: str) -> dict[str, Any]:
        """The access token's claims: signed by this provider, from this issuer, for this client."""
        if "HS256" in self.endpoints["id_token_signing_alg_values_supported"]:
            key: Any = OctKey.import_key(self.provider["client_secret"])
            algorithms = ["HS256"]
        else:
            key = KeySet.import_key_set(self.controller.client.get(self.endpoints["jwks_uri"]).json())
            algorithms = ["RS256"]
        claims = jwt.decode(token, key, algorithms=algorithms).claims
        if claims["iss"] != self.in_browser(self.endpoints["issuer"]):
            raise ValueError(f"issuer {claims['iss']} is not {self.in_browser(self.endpoints['issuer'])}")
        if claims["aud"] != self.provider["client_id"] or claims["exp"] < time.time():
            raise ValueError("the token is for another client, or over")
        return claims | {"raw_token": token}

    def post(self, url: str, form: dict[str, str]) -> httpx.Response | None:
        """To the server at its inner address, under the name that browsers use: issuers are made from it."""
        client = {"client_id": self.provider["client_id"], "client_secret": self.provider["client_secret"]}
        headers = {}
        if self.host_header.netloc and self.host_header.netloc != urlsplit(url).netloc:
            headers = {"Host": self.host_header.netloc, "X-Forwarded-Proto": self.host_header.scheme}
        try:
            return self.controller.client.post(url, data=client | form, headers=headers)
        except httpx.HTTPError as error:
            log("error", "the server does not answer", error=str(error))
            return None

    def in_browser(self, url: str) -> str:
        """The same address under AUTHENTIK_HOST_BROWSER, where that is given."""
        browser = urlsplit(self.controller.settings.get("HOST_BROWSER"))
        parts = urlsplit(url)
        if not browser.netloc:
            return url
        return urlunsplit((browser.scheme, browser.netloc, parts.path, parts.query, ""))

    # --- the cookie --------------------------------------------------------------------------------------------------

    @property
    def callback_url(self) -> str:
        return f"{self.external}{PREFIX}/callback?{CALLBACK}=true"

    @property
    def state_issuer(self) -> str:
        return f"goauthentik.io/outpost/{self.provider['client_id']}"

    @property
    def cookie_domain(self) -> str | None:
        return self.provider["cookie_domain"] or None

    def state_of(self, text: str) -> dict[str, Any] | None:
        try:
            secret = OctKey.import_key(self.provider["cookie_secret"])
            claims = jwt.decode(text, secret, algorithms=["HS256"]).claims
        except (JoseError, ValueError):
            return None
        return claims if claims.get("iss") == self.state_issuer else None

    def session_of(self, request: Request) -> str | None:
        session, _dot, signature = request.cookies.get(self.cookie, "").partition(".")
        return session if session and hmac.compare_digest(signature, self.sign(session)) else None

    def sign(self, session: str) -> str:
        secret = self.provider["cookie_secret"].encode()
        return hmac.new(secret, session.encode(), hashlib.sha256).hexdigest()

    def set_cookie(self, response: Response, session: str, seconds: int | None) -> None:
        response.set_cookie(
            self.cookie,
            f"{session}.{self.sign(session)}",
            max_age=seconds or int(self.provider["access_token_validity"] or 3600),
            path="/",
            domain=self.cookie_domain,
            secure=self.external.startswith("https:"),
            httponly=True,
            samesite="lax",
        )


def forwarded_url(request: Request) -> str | None:
    """What the browser asked for, as Traefik tells it."""
    headers = request.headers
    scheme, host = headers.get("x-forwarded-proto"), headers.get("x-forwarded-host")
    return f"{scheme}://{host}{headers.get('x-forwarded-uri', '')}" if scheme and host else None
