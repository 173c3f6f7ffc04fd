"""Qdrant's settings from the environment. What the original does not know, or is not done here, is an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "QDRANT__"
# The original's own names, from its documented config.yaml, with what may be said here: a kind, or the only values that
# this stand-in honours.
_BOOLEANS = {"true": True, "false": False}
_SERVICE = {
    "HOST": str,
    "HTTP_PORT": int,
    "GRPC_PORT": int,
    "MAX_REQUEST_SIZE_MB": int,
    "MAX_WORKERS": int,
    "ENABLE_CORS": bool,
    "ENABLE_TLS": ("false",),
    "VERIFY_HTTPS_CLIENT_CERTIFICATE": ("false",),
    "API_KEY": str,
    "ALT_API_KEY": str,
    "READ_ONLY_API_KEY": str,
    "JWT_RBAC": ("false",),
    "HIDE_JWT_DASHBOARD": bool,
    "ENABLE_STATIC_CONTENT": bool,
    "STATIC_CONTENT_DIR": str,
    "SLOW_QUERY_SECS": float,
    "HARDWARE_REPORTING": ("false",),
    "METRICS_PREFIX": str,
    "ENABLE_SNAPSHOT_URL_RECOVERY": bool,
}
_STORAGE = {
    "STORAGE_PATH": str,
    "SNAPSHOTS_PATH": str,
    "TEMP_PATH": str,
    "ON_DISK_PAYLOAD": bool,
    "MAX_COLLECTIONS": int,
    "SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE": ("local",),
    "WAL__WAL_CAPACITY_MB": int,
    "WAL__WAL_SEGMENTS_AHEAD": int,
    "PERFORMANCE__MAX_SEARCH_THREADS": int,
    "PERFORMANCE__OPTIMIZER_CPU_BUDGET": int,
    "OPTIMIZERS__FLUSH_INTERVAL_SEC": int,
    "OPTIMIZERS__INDEXING_THRESHOLD_KB": int,
    "OPTIMIZERS__MAX_OPTIMIZATION_THREADS": int,
    "HNSW_INDEX__ON_DISK": bool,
    "HNSW_INDEX__MAX_INDEXING_THREADS": int,
}
KNOWN = {
    "LOG_LEVEL": str,
    "TELEMETRY_DISABLED": bool,
    "CLUSTER__ENABLED": ("false",),
    **{f"SERVICE__{name}": kind for name, kind in _SERVICE.items()},
    **{f"STORAGE__{name}": kind for name, kind in _STORAGE.items()},
}


class SettingsError(ValueError):
    """A setting that the original would not take, or that this stand-in cannot honour."""


@dataclass(frozen=True)
class Settings:
    """What the server goes by. Paths are relative to /qdrant, as the original's."""

    host: str = "0.0.0.0"
    http_port: int = 6333
    max_request_size_mb: int = 32
    api_key: str = ""
    alt_api_key: str = ""
    read_only_api_key: str = ""
    enable_static_content: bool = True
    enable_cors: bool = True
    enable_snapshot_url_recovery: bool = True
    telemetry_disabled: bool = False
    storage_path: str = "./storage"
    snapshots_path: str = "./snapshots"
    max_collections: int = 0


def read(environment: Mapping[str, str]) -> Settings:
    """The settings of one environment. Raises SettingsError."""
    values = {}
    for name, text in environment.items():
        if name.startswith(PREFIX):
            values[name.removeprefix(PREFIX)] = _value(name, text)
        elif name.startswith("QDRANT_") and name not in (
            "QDRANT_INIT_FILE_PATH",
            "QDRANT_ALLOW_RECOVERY_MODE",
        ):
            raise SettingsError(f"{name} is no setting of Qdrant: those begin with {PREFIX}")
    fields = {name.rpartition("__")[2].lower(): value for name, value in values.items()}
    return Settings(
        **{name: value for name, value in fields.items() if name in Settings.__dataclass_fields__}
    )


def _value(name: str, text: str) -> str | int | float | bool:
    kind = KNOWN.get(name.removeprefix(PREFIX))
    if kind is None:
        raise SettingsError(f"{name} is not among Qdrant's settings")
    if isinstance(kind, tuple):
        if text.lower() not in kind:
            raise SettingsError(f"{name} = {text!r}: this stand-in only does {' or '.join(kind)}")
        return text
    try:
        return _BOOLEANS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise SettingsError(f"{name} = {text!r} is not of type {kind.__name__}") from None
