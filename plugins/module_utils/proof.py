# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What proves that a run did its work: which question to ask where, and which containers must be healthy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Question:
    """A completion to ask for: from which host, of which API at which address, with which secret as key."""

    host: str
    url: str
    address: str | None
    model: str
    about: str | None
    key: str | None
    service: str


def questions(
    fleet: Mapping[str, Any],
    hosts: Collection[str],
    selected: Callable[[Mapping[str, Any]], bool],
    is_up: Callable[[Mapping[str, Any]], bool],
) -> list[Question]:
    """The questions that prove a run over `hosts`.

    Through the public route where a gateway in reach is up, because that path covers the rest; else each model server
    of the run on its own. Empty where no model is in reach: then health is the proof.
    """
    in_run = [service for service in fleet["services"] if service["host"] in hosts]
    models_touched = any(service["serves"] and selected(service) for service in in_run)
    for service in in_run:
        public = service["serves"] and service["url"] and service["front"] in hosts
        if public and _first_chat(service) and models_touched and is_up(service):
            return [_public(fleet, service)]
    return [
        _direct(service)
        for service in in_run
        if service["serves"] and service["publish"] and _first_chat(service) and selected(service)
    ]


def _first_chat(service: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((model for model in service["models"] if model.get("kind", "chat") == "chat"), None)


def _public(fleet: Mapping[str, Any], service: Mapping[str, Any]) -> Question:
    model = _first_chat(service) or {}
    url = service["url"] + service["serves"]["path"]
    address = fleet["hosts"][service["front"]]["address"]
    key = service["serves"]["key"]
    return Question(service["front"], url, address, model["name"], model.get("about"), key, service["name"])


def _direct(service: Mapping[str, Any]) -> Question:
    model = _first_chat(service) or {}
    url = f"http://{service['publish']}{service['serves']['path']}"
    return Question(service["host"], url, None, model["name"], model.get("about"), None, service["name"])


def health(look: Mapping[str, Any], name: str) -> str:
    """One word for a stack: healthy, starting, unhealthy, stopped or missing."""
    stack = look["stacks"].get(name) or {}
    containers = stack.get("containers") or {}
    committed = (stack.get("state") or {}).get("containers") or {}
    if not containers or committed.keys() - containers.keys():
        return "missing"
    words = {_container_health(container, committed.get(name, {})) for name, container in containers.items()}
    return next(word for word in ("stopped", "unhealthy", "starting", "healthy") if word in words)


def _container_health(container: Mapping[str, Any], committed: Mapping[str, Any]) -> str:
    if container["state"] == "exited" and committed.get("state") == "exited" and container["exit_code"] == 0:
        return "healthy"  # a one-shot container that did its work
    if container["state"] != "running":
        return "stopped"
    return container["health"] if container["health"] in ("starting", "unhealthy") else "healthy"


def sentence(model: str, about: str | None, url: str, seconds: float) -> str:
    """The line that a run ends with."""
    kind = f" ({about})" if about else ""
    return f"hearth: answered by {model}{kind} through {url} in {seconds:.1f} s"
