"""The OpenID Connect provider below /application/o/, one issuer per application."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlencode

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, RSAKey
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from . import access, models
from .expressions import evaluate
from .outposts import expired
from .store import Objects, Row
from .users import uid
from .web import Call, error_page, now, to_sign_in, view

CODE = "authorization_code"
ACCESS = "access_token"
REFRESH = "refresh_token"
DEFAULT_ACR = "goauthentik.io/providers/oauth2/default"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@dataclass(frozen=True)
class Authorization:
    """An authorization request that may go on to the login."""

    provider: Row
    application: Row
    redirect_uri: str
    scopes: list[str]
    parameters: dict[str, str]


class TokenError(Exception):
    """An error of RFC 6749, section 5.2."""


# --- authorization ---------------------------------------------------------------------------------------------------


def authorize(call: Call) -> Response:
    checked = checked_request(call)
    if isinstance(checked, Response):
        return checked
    if call.user is None:
        if "none" in checked.parameters.get("prompt", "").split():
            return _error_redirect(checked.redirect_uri, checked.parameters, "login_required")
        own = checked.provider.get("authentication_flow")
        flow = call.objects.get(models.FLOW, own) if own else None
        return to_sign_in(call, flow["slug"] if flow else None)
    if not access.allowed(call.objects, checked.application, call.user):
        # Status 200, as authentik's own page has.
        return error_page("Permission denied", "You do not have access to this application.", 200)
    flow = call.objects.get(models.FLOW, checked.provider["authorization_flow"])
    if flow is None:
        return error_page("Not found", "The authorization flow is gone.", 404)
    return RedirectResponse(f"/if/flow/{flow['slug']}/?{urlencode(checked.parameters)}", 302)


def checked_request(call: Call) -> Authorization | Response:
    """The request, or the answer to a wrong one: a page while the redirect address is not known to be the client's."""
    parameters = call.form | call.query
    provider = next(iter(models.providers(call.objects, client_id=parameters.get("client_id", ""))), None)
    if provider is None:
        return error_page("Client ID Error", "The client identifier (client_id) is missing or invalid.")
    redirect_uri = parameters.get("redirect_uri", "")
    if not redirect_allowed(provider, redirect_uri):
        return error_page(
            "Redirect URI Error",
            "The request fails due to a missing, invalid, or mismatching redirection URI (redirect_uri).",
        )
    application = models.application_of(call.objects, provider["pk"])
    if application is None:
        return error_page("Not found", "The provider has no application.", 404)
    error = _request_error(provider, parameters)
    if error:
        return _error_redirect(redirect_uri, parameters, error)
    return Authorization(provider, application, redirect_uri, parameters.get("scope", "").split(), parameters)


def _request_error(provider: Row, parameters: dict[str, str]) -> str | None:
    if parameters.get("response_type") != "code":
        return "unsupported_response_type"
    if CODE not in provider["grant_types"]:
        return "unauthorized_client"
    if "request" in parameters:
        return "request_not_supported"
    challenged = "code_challenge" in parameters
    if challenged and parameters.get("code_challenge_method", "plain") not in ("plain", "S256"):
        return "invalid_request"
    return None


def redirect_allowed(provider: Row, uri: str) -> bool:
    """Strict means equal, character by character; regex means the whole of it matches."""
    for allowed in provider["redirect_uris"]:
        if allowed.get("redirect_uri_type", "authorization") != "authorization":
            continue
        strict = allowed["matching_mode"] == "strict"
        if uri and (uri == allowed["url"] if strict else re.fullmatch(allowed["url"], uri)):
            return True
    return False


def back_with_code(call: Call, asked: Authorization) -> Response:
    """The last step of the authorization flow; who may have the application is asked again here."""
    session, user = call.session, call.user
    if session is None or user is None or not access.allowed(call.objects, asked.application, user):
        return error_page("Permission denied", "You do not have access to this application.", 200)
    code = secrets.token_hex(16)
    call.objects.save(
        CODE,
        {
            "pk": code,
            "provider": asked.provider["pk"],
            "user": user["pk"],
            "session": session["pk"],
            "auth_time": session["auth_time"],
            "redirect_uri": asked.redirect_uri,
            "scopes": asked.scopes,
            "nonce": asked.parameters.get("nonce"),
            "challenge": asked.parameters.get("code_challenge"),
            "challenge_method": asked.parameters.get("code_challenge_method", "plain"),
            "expires": _expiry(asked.provider, "access_code_validity"),
        },
    )
    return _redirect(asked.redirect_uri, {"code": code, "state": asked.parameters.get("state", "")})


def _error_redirect(redirect_uri: str, parameters: dict[str, str], error: str) -> Response:
    return _redirect(redirect_uri, {"error": error, "state": parameters.get("state", "")})


def _redirect(uri: str, values: dict[str, str]) -> Response:
    given = {name: value for name, value in values.items() if value}
    return RedirectResponse(f"{uri}{'&' if '?' in uri else '?'}{urlencode(given)}", 302)


# --- tokens ----------------------------------------------------------------------------------------------------------


def token(call: Call) -> Response:
    try:
        answer = _grant(call)
    except TokenError as error:
        return JSONResponse({"error": str(error), "error_description": str(error)}, 400, NO_STORE)
    return JSONResponse(answer, headers=NO_STORE)


def _grant(call: Call) -> Row:
    grant = call.form.get("grant_type", "")
    provider, secret = _client(call)
    if grant not in provider["grant_types"]:
        raise TokenError("unauthorized_client" if grant else "invalid_request")
    needs_secret = provider["client_type"] == "confidential" and grant in (CODE, REFRESH)
    if needs_secret and not secrets.compare_digest(secret, provider["client_secret"]):
        raise TokenError("invalid_client")
    if grant == CODE:
        granted = _by_code(call, provider)
    elif grant == REFRESH:
        granted = _by_refresh_token(call, provider)
    elif grant in ("client_credentials", "password"):
        granted = _by_app_password(call, provider)
    else:
        raise TokenError("unsupported_grant_type")
    return issue(call, provider, granted)


def _client(call: Call) -> tuple[Row, str]:
    """The provider that the client names, and the secret that it brings: in the body or by HTTP Basic."""
    identifier, secret = call.form.get("client_id", ""), call.form.get("client_secret", "")
    kind, _space, value = call.request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            identifier, _colon, secret = base64.b64decode(value).decode().partition(":")
        except ValueError as error:
            raise TokenError("invalid_client") from error
        identifier, secret = unquote(identifier), unquote(secret)
    provider = next(iter(models.providers(call.objects, client_id=identifier)), None)
    if provider is None:
        raise TokenError("invalid_client")
    return provider, secret


def _by_code(call: Call, provider: Row) -> Row:
    code = call.objects.get(CODE, call.form.get("code", ""))
    if code is None or _over(code) or code["provider"] != provider["pk"]:
        raise TokenError("invalid_grant")
    if call.form.get("redirect_uri") != code["redirect_uri"]:
        raise TokenError("invalid_client")
    if code["challenge"]:
        verifier = call.form.get("code_verifier", "")
        if code["challenge_method"] == "S256":
            digest = hashlib.sha256(verifier.encode()).digest()
            verifier = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if verifier != code["challenge"]:
            raise TokenError("invalid_grant")
    # One use only: whoever comes second with it has no code.
    if not call.objects.delete(CODE, code["pk"]):
        raise TokenError("invalid_grant")
    return code


def _by_refresh_token(call: Call, provider: Row) -> Row:
    row = call.objects.get(REFRESH, _key(call.form.get("refresh_token", "")))
    if row is None or _over(row) or row["provider"] != provider["pk"]:
        raise TokenError("invalid_grant")
    call.objects.delete(REFRESH, row["pk"])
    return row


def _by_app_password(call: Call, provider: Row) -> Row:
    """Header authentication through the outpost: a user's name and one of their app passwords."""
    user = next(iter(call.objects.find(models.USER, username=call.form.get("username", ""))), None)
    keys = call.objects.find(models.TOKEN, key=call.form.get("password", ""), intent="app_password")
    application = models.application_of(call.objects, provider["pk"])
    valid = [row for row in keys if user and row["user"] == user["pk"] and not expired(row)]
    if not (user and valid and application and access.allowed(call.objects, application, user)):
        raise TokenError("invalid_grant")
    scopes = call.form.get("scope", "").split()
    return {
        "user": user["pk"],
        "scopes": scopes,
        "nonce": None,
        "session": None,
        "auth_time": now().isoformat(),
    }


def issue(call: Call, provider: Row, granted: Row) -> Row:
    """The token response: the access token is a JWT too, and the ID token comes with the scope openid."""
    user = call.objects.get(models.USER, granted["user"])
    if user is None or not user["is_active"]:
        raise TokenError("invalid_grant")
    expires = _expiry(provider, "access_token_validity")
    claims = _claims(call, provider, user, granted, expires)
    access_claims = claims | {"azp": provider["client_id"], "uid": secrets.token_hex(20)}
    access_token = encode(call.objects, provider, access_claims)
    kept = {key: granted[key] for key in ("user", "scopes", "nonce", "session", "auth_time")}
    kept["provider"] = provider["pk"]
    call.objects.save(ACCESS, kept | {"pk": _key(access_token), "expires": expires, "claims": access_claims})
    answer = {
        "access_token": access_token,
        "token_type": "Bearer",
        "scope": " ".join(granted["scopes"]),
        "expires_in": int((datetime.fromisoformat(expires) - now()).total_seconds()),
    }
    if "openid" in granted["scopes"]:
        answer["id_token"] = encode(call.objects, provider, claims)
    if "offline_access" in granted["scopes"] and REFRESH in provider["grant_types"]:
        refresh = secrets.token_hex(32)
        call.objects.save(
            REFRESH, kept | {"pk": _key(refresh), "expires": _expiry(provider, "refresh_token_validity")}
        )
        answer["refresh_token"] = refresh
    return answer


def _claims(call: Call, provider: Row, user: Row, granted: Row, expires: str) -> Row:
    claims = {
        "iss": issuer(call, provider),
        "sub": _subject(provider, user),
        "aud": provider["client_id"],
        "exp": int(datetime.fromisoformat(expires).timestamp()),
        "iat": int(now().timestamp()),
        "auth_time": int(datetime.fromisoformat(granted["auth_time"]).timestamp()),
        "acr": DEFAULT_ACR,
        "amr": ["pwd"],
    }
    if granted["session"]:
        claims["sid"] = _key(granted["session"])
    if granted["nonce"]:
        claims["nonce"] = granted["nonce"]
    if provider["include_claims_in_id_token"]:
        claims |= user_claims(call.objects, provider, user, granted["scopes"])
    return claims


def user_claims(objects: Objects, provider: Row, user: Row, scopes: list[str]) -> Row:
    """What the provider's own scope mappings say; a scope without a mapping says nothing."""
    claims: Row = {}
    for pk in provider["property_mappings"]:
        mapping = objects.get(models.SCOPE, pk)
        if mapping and mapping["scope_name"] in scopes:
            claims |= evaluate(objects, mapping["expression"], user, provider=provider) or {}
    return claims


def _subject(provider: Row, user: Row) -> str:
    return {
        "hashed_user_id": uid(user),
        "user_id": str(user["pk"]),
        "user_uuid": user["uuid"],
        "user_username": user["username"],
        "user_email": user["email"],
        "user_upn": user["attributes"].get("upn", uid(user)),
    }[provider["sub_mode"]]


# --- keys ------------------------------------------------------------------------------------------------------------


def _signing_key(objects: Objects, provider: Row) -> tuple[OctKey | RSAKey, dict[str, str]]:
    """The key and the header of a provider's tokens: RS256 with its signing key, HS256 with its secret without one."""
    keypair = objects.get(models.CERTIFICATE, provider["signing_key"]) if provider["signing_key"] else None
    if keypair is None:
        return OctKey.import_key(provider["client_secret"]), {"alg": "HS256"}
    return RSAKey.import_key(keypair["key_data"]), {"alg": "RS256", "kid": _kid(keypair)}


def _kid(keypair: Row) -> str:
    key = load_pem_private_key(keypair["key_data"].encode(), None)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()[:40]


def encode(objects: Objects, provider: Row, claims: Row) -> str:
    key, header = _signing_key(objects, provider)
    return jwt.encode({"typ": "JWT", **header}, claims, key)


def jwks(call: Call) -> Response:
    provider = _provider_of_path(call)
    if provider is None:
        return JSONResponse({"detail": "Not found"}, 404)
    key, header = _signing_key(call.objects, provider)
    if header["alg"] == "HS256":
        return JSONResponse({"keys": []})
    public = key.as_dict(private=False) | {"kid": header["kid"], "alg": "RS256", "use": "sig"}
    return JSONResponse({"keys": [public]})


# --- the rest --------------------------------------------------------------------------------------------------------


def issuer(call: Call, provider: Row) -> str:
    if provider["issuer_mode"] == "global":
        return f"{call.base_url}/"
    application = models.application_of(call.objects, provider["pk"])
    return f"{call.base_url}/application/o/{application['slug'] if application else ''}/"


def configuration(call: Call, provider: Row) -> dict[str, Any]:
    """The discovery document, with the addresses as this request reached us."""
    base = f"{call.base_url}/application/o"
    application = models.application_of(call.objects, provider["pk"])
    slug = application["slug"] if application else ""
    mappings = [call.objects.get(models.SCOPE, pk) for pk in provider["property_mappings"]]
    return {
        "issuer": issuer(call, provider),
        "authorization_endpoint": f"{base}/authorize/",
        "token_endpoint": f"{base}/token/",
        "userinfo_endpoint": f"{base}/userinfo/",
        "end_session_endpoint": f"{base}/{slug}/end-session/",
        "introspection_endpoint": f"{base}/introspect/",
        "revocation_endpoint": f"{base}/revoke/",
        "jwks_uri": f"{base}/{slug}/jwks/",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": provider["grant_types"],
        "id_token_signing_alg_values_supported": ["RS256" if provider["signing_key"] else "HS256"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "acr_values_supported": [DEFAULT_ACR],
        "scopes_supported": sorted({"openid"} | {row["scope_name"] for row in mappings if row}),
        "request_parameter_supported": False,
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "amr", "nonce"],
        "claims_parameter_supported": False,
        "code_challenge_methods_supported": ["plain", "S256"],
    }


def discovery(call: Call) -> Response:
    provider = _provider_of_path(call)
    if provider is None:
        return JSONResponse({"detail": "Not found"}, 404)
    return JSONResponse(configuration(call, provider))


def userinfo(call: Call) -> Response:
    kind, _space, value = call.request.headers.get("authorization", "").partition(" ")
    row = call.objects.get(ACCESS, _key(value)) if kind.lower() == "bearer" else None
    user = call.objects.get(models.USER, row["user"]) if row and not _over(row) else None
    provider = models.provider(call.objects, row["provider"]) if row else None
    if row is None or user is None or provider is None or "openid" not in row["scopes"]:
        challenge = {"WWW-Authenticate": 'error="invalid_token", error_description="invalid_token"'}
        return Response(status_code=401, headers=challenge)
    claims = {"sub": _subject(provider, user)}
    return JSONResponse(claims | user_claims(call.objects, provider, user, row["scopes"]))


def introspect(call: Call) -> Response:
    row = _own_token(call)
    if row is None or _over(row):
        return JSONResponse({"active": False})
    return JSONResponse({"active": True, "scope": " ".join(row["scopes"])} | row["claims"])


def revoke(call: Call) -> Response:
    if row := _own_token(call):
        call.objects.delete(ACCESS, row["pk"])
    return JSONResponse({})


def _own_token(call: Call) -> Row | None:
    """The access token in the body, for the client that it was made for and nobody else."""
    try:
        provider, secret = _client(call)
    except TokenError:
        return None
    row = call.objects.get(ACCESS, _key(call.form.get("token", "")))
    own = row and row["provider"] == provider["pk"]
    return row if own and secrets.compare_digest(secret, provider["client_secret"]) else None


def end_session(call: Call) -> Response:
    provider = _provider_of_path(call)
    if provider is None:
        return error_page("Not found", "There is no such application.", 404)
    parameters = call.form | call.query
    hint = parameters.get("id_token_hint")
    if hint:
        key, header = _signing_key(call.objects, provider)
        try:
            jwt.decode(hint, key, algorithms=[header["alg"]])
        except (JoseError, ValueError):
            return error_page("Bad Request", "The id_token_hint is not one of ours.")
    wanted = parameters.get("post_logout_redirect_uri")
    allowed = [uri for uri in provider["redirect_uris"] if uri.get("redirect_uri_type") == "logout"]
    if wanted and allowed:
        if not hint or wanted not in [uri["url"] for uri in allowed]:
            return error_page("Bad Request", "post_logout_redirect_uri is not registered, or has no hint.")
        return RedirectResponse(wanted, 302)
    flow = call.objects.get(models.FLOW, provider["invalidation_flow"])
    slug = flow["slug"] if flow else "default-invalidation-flow"
    return RedirectResponse(f"/if/flow/{slug}/", 302)


def _provider_of_path(call: Call) -> Row | None:
    slug = call.request.path_params["slug"]
    application = next(iter(call.objects.find(models.APPLICATION, slug=slug)), None)
    return models.provider(call.objects, application["provider"]) if application else None


def _expiry(provider: Row, field: str) -> str:
    lifetime: timedelta = models.duration(provider[field])
    return (now() + lifetime).isoformat()


def _over(row: Row) -> bool:
    return datetime.fromisoformat(row["expires"]) < now()


def _key(token_text: str) -> str:
    """Tokens are kept by their hash, as sessions are named in tokens."""
    return hashlib.sha256(token_text.encode()).hexdigest()


ROUTES = [
    Route("/application/o/authorize/", view(authorize), methods=["GET", "POST"]),
    Route("/application/o/token/", view(token), methods=["POST"]),
    Route("/application/o/userinfo/", view(userinfo), methods=["GET", "POST"]),
    Route("/application/o/introspect/", view(introspect), methods=["POST"]),
    Route("/application/o/revoke/", view(revoke), methods=["POST"]),
    Route("/application/o/{slug}/.well-known/openid-configuration", view(discovery)),
    Route("/application/o/{slug}/jwks/", view(jwks)),
    Route("/application/o/{slug}/end-session/", view(end_session), methods=["GET", "POST"]),
]
