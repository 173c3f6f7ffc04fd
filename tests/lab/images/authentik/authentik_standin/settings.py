"""The AUTHENTIK_* variables: which ones exist, and how their values are read.

authentik itself ignores a misspelt variable; here it is an error, with the nearest name that exists.
"""

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .errors import SettingsError

PREFIX = "AUTHENTIK_"
# From the configuration reference and the shipped default.yml of 2026.8; Redis went with 2025.10.
VARIABLES = """
SECRET_KEY LOG_LEVEL LOG__HTTP_HEADERS COOKIE_DOMAIN DISABLE_UPDATE_CHECK DISABLE_STARTUP_ANALYTICS DEBUG AVATARS
DEFAULT_USER_CHANGE_NAME DEFAULT_USER_CHANGE_EMAIL DEFAULT_USER_CHANGE_USERNAME DEFAULT_TOKEN_LENGTH GDPR_COMPLIANCE
IMPERSONATION FOOTER_LINKS HTTP_TIMEOUT SKIP_MIGRATIONS CERT_DISCOVERY_DIR BLUEPRINTS_DIR
BOOTSTRAP_PASSWORD BOOTSTRAP_PASSWORD_HASH BOOTSTRAP_TOKEN BOOTSTRAP_EMAIL
CACHE__TIMEOUT CACHE__TIMEOUT_FLOWS CACHE__TIMEOUT_POLICIES CACHE__TIMEOUT_REPUTATION
COMPLIANCE__FIPS__ENABLED EVENTS__CONTEXT_PROCESSORS__GEOIP EVENTS__CONTEXT_PROCESSORS__ASN
EMAIL__HOST EMAIL__PORT EMAIL__USERNAME EMAIL__PASSWORD EMAIL__USE_TLS EMAIL__USE_SSL EMAIL__TIMEOUT EMAIL__FROM
ERROR_REPORTING__ENABLED ERROR_REPORTING__SENTRY_DSN ERROR_REPORTING__ENVIRONMENT ERROR_REPORTING__SEND_PII
ERROR_REPORTING__SAMPLE_RATE LDAP__TASK_TIMEOUT_HOURS LDAP__PAGE_SIZE LDAP__TLS__CIPHERS
LISTEN__HTTP LISTEN__HTTPS LISTEN__LDAP LISTEN__LDAPS LISTEN__RADIUS LISTEN__METRICS LISTEN__DEBUG LISTEN__DEBUG_PY
LISTEN__TRUSTED_PROXY_CIDRS
OUTPOSTS__CONTAINER_IMAGE_BASE OUTPOSTS__DISCOVER OUTPOSTS__DISABLE_EMBEDDED_OUTPOST
POSTGRESQL__DEFAULT_SCHEMA POSTGRESQL__USE_POOL POSTGRESQL__POOL_OPTIONS
REPUTATION__EXPIRY REPUTATION__LOWER_LIMIT REPUTATION__UPPER_LIMIT SESSIONS__UNAUTHENTICATED_AGE
WEB__BASE_URL WEB__PATH WEB__WORKERS WEB__THREADS WEB__MAX_REQUESTS WEB__MAX_REQUESTS_JITTER
WEB__TIMEOUT_HTTP_READ_HEADER WEB__TIMEOUT_HTTP_READ WEB__TIMEOUT_HTTP_WRITE WEB__TIMEOUT_HTTP_IDLE
WORKER__PROCESSES WORKER__THREADS WORKER__CONSUMER_LISTEN_TIMEOUT WORKER__TASK_MAX_RETRIES
WORKER__TASK_DEFAULT_TIME_LIMIT WORKER__TASK_PURGE_INTERVAL WORKER__TASK_EXPIRATION WORKER__SCHEDULER_INTERVAL
"""
KNOWN = VARIABLES.split()
DATABASE = "HOST|PORT|NAME|USER|PASSWORD|SSLMODE|SSLROOTCERT|SSLCERT|SSLKEY"
CONNECTION = "CONN_MAX_AGE|CONN_HEALTH_CHECKS|CONN_OPTIONS|DISABLE_SERVER_SIDE_CURSORS"
PATTERNS = [
    rf"POSTGRESQL__({DATABASE}|{CONNECTION})",
    rf"POSTGRESQL__DIRECT__({DATABASE})",
    rf"POSTGRESQL__READ_REPLICAS__\d+__({DATABASE}|{CONNECTION})",
    r"STORAGE__((MEDIA|REPORTS)__)?(BACKEND|FILE__PATH|FILE__URL_EXPIRY|S3__[A-Z_]+)",
    r"LOG__RUST_LOG__[A-Z_]+",
]
BOOTSTRAP = ("PASSWORD", "PASSWORD_HASH", "TOKEN", "EMAIL")

PRIVATE = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fe80::/10,::1/128"


@dataclass(frozen=True)
class Settings:
    """The environment of a server or worker, checked once at its start."""

    environment: Mapping[str, str]

    def __post_init__(self) -> None:
        for variable in self.environment:
            if variable.startswith(PREFIX):
                _check_name(variable)
        if not self.get("SECRET_KEY"):
            raise SettingsError("AUTHENTIK_SECRET_KEY is missing")
        _check_base_url(self.get("WEB__BASE_URL"))
        self.trusted_proxies()
        self._check_bootstrap()

    def get(self, name: str, default: str = "") -> str:
        """A value, with `file://PATH` and `env://NAME` (each with `?DEFAULT`) followed at every call."""
        value = self.environment.get(PREFIX + name, default)
        scheme, _separator, rest = value.partition("://")
        if scheme not in ("file", "env"):
            return value
        source, _question, fallback = rest.partition("?")
        if scheme == "env":
            return self.environment.get(source, fallback)
        try:
            with open(source, encoding="utf-8") as file:
                return file.read().strip()
        except OSError as error:
            if not fallback:
                raise SettingsError(f"{PREFIX}{name}: {error}") from error
            return fallback

    def bootstrap(self, name: str) -> str:
        """Only blueprints read these, by `!Env`: neither file:// nor env:// is followed."""
        return self.environment.get(f"{PREFIX}BOOTSTRAP_{name}", "")

    def database(self) -> dict[str, Any]:
        """psycopg's connection parameters."""
        parameters = {
            "host": self.get("POSTGRESQL__HOST", "localhost"),
            "port": int(self.get("POSTGRESQL__PORT", "5432")),
            "dbname": self.get("POSTGRESQL__NAME", "authentik"),
            "user": self.get("POSTGRESQL__USER", "authentik"),
            "password": self.get("POSTGRESQL__PASSWORD", "env://POSTGRES_PASSWORD"),
        }
        for option in ("sslmode", "sslrootcert", "sslcert", "sslkey"):
            if value := self.get(f"POSTGRESQL__{option.upper()}"):
                parameters[option] = value
        return parameters

    def listen(self, name: str, port: int) -> list[tuple[str, int]]:
        """Address and port pairs; every address of both families by default, as since 2026.5."""
        pairs = []
        for text in self.get(f"LISTEN__{name}", f"[::]:{port}").split(","):
            host, colon, number = text.strip().rpartition(":")
            if not colon or not number.isdigit():
                raise SettingsError(f"AUTHENTIK_LISTEN__{name}: {text} is not ADDRESS:PORT")
            pairs.append((host.strip("[]"), int(number)))
        return pairs

    def trusted_proxies(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        text = self.get("LISTEN__TRUSTED_PROXY_CIDRS", PRIVATE)
        try:
            return [ipaddress.ip_network(cidr.strip()) for cidr in text.split(",")]
        except ValueError as error:
            raise SettingsError(f"AUTHENTIK_LISTEN__TRUSTED_PROXY_CIDRS: {error}") from error

    def _check_bootstrap(self) -> None:
        if self.bootstrap("PASSWORD") and self.bootstrap("PASSWORD_HASH"):
            raise SettingsError("AUTHENTIK_BOOTSTRAP_PASSWORD and _PASSWORD_HASH exclude each other")
        for name in BOOTSTRAP:
            if self.bootstrap(name).startswith(("file://", "env://")):
                raise SettingsError(
                    f"AUTHENTIK_BOOTSTRAP_{name} would be taken literally: no file:// or env:// here"
                )


def _check_name(variable: str) -> None:
    name = variable.removeprefix(PREFIX)
    if name in KNOWN or any(re.fullmatch(pattern, name) for pattern in PATTERNS):
        return
    names = [*KNOWN, *(f"POSTGRESQL__{part}" for part in DATABASE.split("|"))]
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {PREFIX}{nearest[0]}?" if nearest else ""
    raise SettingsError(f"authentik knows no variable {variable}{hint}")


def _check_base_url(url: str) -> None:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/")):
        raise SettingsError(
            f"AUTHENTIK_WEB__BASE_URL: {url} must be scheme and host only, such as https://auth.example.org"
        )
