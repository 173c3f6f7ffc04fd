# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which model servers stand behind each model name of a gateway, as its load balancer is told.

Pure functions over one `service` dictionary of the catalogue (docs/architecture.md). They know no service by name:
every server answers OpenAI's API below `/v1`, and lists its models there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from .models import canonical


def backends(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each model that some server has, in the order of the servers.

    Each is {name, model, kind, about, listed, servers: [{name, address, weight}]}. name: the model's, as it may
    stand in a path and name a part of HAProxy's configuration; listed: a regular expression that finds the model in the
    server's list.
    """
    found: dict[str, dict[str, Any]] = {}
    for server in servers(service):
        for model in server["models"]:
            backend = found.setdefault(model["name"], _backend(model))
            taken = {item["name"] for item in backend["servers"]}
            name = server["host"] if server["host"] not in taken else f"{server['host']}-{server['name']}"
            address = _address(server["url"])
            backend["servers"].append({"name": name, "address": address, "weight": server["weight"]})
    return list(found.values())


def servers(service: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The model servers of a gateway: {name, host, url, weight, models}. The operator's own are hosts by themselves."""
    for providers in service["uses"].values():
        for provider in providers:
            serves = provider["serves"]
            if serves and serves["api"] == "openai" and provider["url"]:
                yield {
                    **{key: provider[key] for key in ("name", "host", "url", "models")},
                    "weight": serves["weight"],
                }
    for server in (service.get("gateway") or {"servers": []})["servers"]:
        yield {**server, "host": server["name"]}


def _backend(model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        # A colon stands in a model's name once at most, so two names never become one.
        "name": model["name"].replace("/", "::"),
        "model": model["name"],
        "kind": model["kind"],
        "about": model.get("about"),
        "listed": _listed(model["name"]),
        "servers": [],
    }


def _listed(name: str) -> str:
    """Ollama lists a model with its tag, whether or not its name was given with one, and takes it in any case."""
    full = canonical(name)
    wanted = re.escape(name)
    if full == f"{name}:latest":
        wanted += "(:latest)?"
    return f'(?i)"id": *"{wanted}"'


def _address(url: str) -> str:
    """Host and port, as HAProxy takes them: an IPv6 address in brackets."""
    parts = urlsplit(url)
    host = str(parts.hostname)
    return f"[{host}]:{parts.port or 80}" if ":" in host else f"{host}:{parts.port or 80}"
