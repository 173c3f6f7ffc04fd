"""The outpost's variables. An unknown AUTHENTIK_* one is an error; authentik itself would ignore it."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PREFIX = "AUTHENTIK_"
VARIABLES = """
HOST HOST_BROWSER TOKEN INSECURE LOG_LEVEL DEBUG COOKIE_DOMAIN LISTEN__HTTP LISTEN__HTTPS LISTEN__METRICS LISTEN__DEBUG
LISTEN__TRUSTED_PROXY_CIDRS ERROR_REPORTING__ENABLED ERROR_REPORTING__SENTRY_DSN ERROR_REPORTING__ENVIRONMENT
ERROR_REPORTING__SEND_PII ERROR_REPORTING__SAMPLE_RATE
"""
KNOWN = VARIABLES.split()
PRIVATE = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fe80::/10,::1/128"


class SettingsError(Exception):
    """A setting that the outpost does not know, or cannot work with."""


@dataclass(frozen=True)
class Settings:
    environment: Mapping[str, str]

    def __post_init__(self) -> None:
        for variable in self.environment:
            if variable.startswith(PREFIX) and variable.removeprefix(PREFIX) not in KNOWN:
                raise SettingsError(f"the proxy outpost knows no variable {variable}")
        for name, needed in (("HOST", True), ("HOST_BROWSER", False)):
            url = urlsplit(self.get(name))
            given = self.get(name)
            if (needed or given) and (url.scheme not in ("http", "https") or not url.hostname):
                raise SettingsError(f"AUTHENTIK_{name}: {given!r} is not a URL with http or https and a host")
        if not self.get("TOKEN"):
            raise SettingsError("AUTHENTIK_TOKEN is missing")

    def get(self, name: str, default: str = "") -> str:
        """A value, with `file://PATH` and `env://NAME` followed."""
        value = self.environment.get(PREFIX + name, default)
        if value.startswith("file://"):
            try:
                return Path(value.removeprefix("file://")).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingsError(f"{PREFIX}{name}: {error}") from error
        if value.startswith("env://"):
            return self.environment.get(value.removeprefix("env://"), "")
        return value

    @property
    def insecure(self) -> bool:
        return self.get("INSECURE").lower() in ("true", "1", "yes")

    def port(self, name: str, default: int) -> int:
        return int(self.get(f"LISTEN__{name}", f":{default}").split(",")[0].rpartition(":")[2])

    def trusts(self, address: str) -> bool:
        """Whether this peer's X-Forwarded-* headers are believed."""
        peer = ipaddress.ip_address(address)
        peer = getattr(peer, "ipv4_mapped", None) or peer
        networks = [
            ipaddress.ip_network(cidr.strip())
            for cidr in self.get("LISTEN__TRUSTED_PROXY_CIDRS", PRIVATE).split(",")
        ]
        return any(peer in network for network in networks if network.version == peer.version)
