"""Rows of the reach table that nobody derived: what the platform promises of who reaches what, in the lab's inventory.

(origin, what, with credentials, what comes of it). `{edge}` and `{gpu-1}` stand for the hosts' addresses.
"""

from __future__ import annotations

from .reach import ANSWERED, CLOSED, NO_ROUTE, REACHED, TURNED_AWAY

ROWS = [
    # Nobody outside the private ranges, with or without a key.
    ("outsider", "https://chat.hearth.lan/", False, CLOSED),
    ("outsider", "https://openai.hearth.lan/v1/models", True, CLOSED),
    ("outsider", "{edge}:80", False, CLOSED),
    ("outsider", "{edge}:443", False, CLOSED),
    ("outsider", "{edge}:4000", False, CLOSED),
    ("outsider", "{edge}:2375", False, CLOSED),
    ("outsider", "{gpu-1}:11434", False, CLOSED),
    # A neighbour comes in by the front door, and only there.
    ("neighbour", "https://chat.hearth.lan/", False, REACHED),
    ("neighbour", "https://openai.hearth.lan/v1/models", False, TURNED_AWAY),
    ("neighbour", "https://openai.hearth.lan/v1/models", True, ANSWERED),
    ("neighbour", "https://openai.hearth.lan/v1/files", True, TURNED_AWAY),
    ("neighbour", "https://ollama.hearth.lan/api/tags", False, NO_ROUTE),
    ("neighbour", "{edge}:4000", False, CLOSED),
    ("neighbour", "{edge}:8080", False, CLOSED),
    ("neighbour", "{edge}:2375", False, CLOSED),
    ("neighbour", "{gpu-1}:11434", False, CLOSED),
    # The trusted host reaches the model server; so does whatever runs on it.
    ("host on edge", "{gpu-1}:11434", False, REACHED),
    ("container on edge", "{gpu-1}:11434", False, REACHED),
    ("host on edge", "{edge}:2375", False, CLOSED),
    # Containers on `frontend` meet by name, and find neither Docker nor what another host runs.
    ("container on edge", "litellm:4000", False, REACHED),
    ("container on edge", "open-webui:8080", False, REACHED),
    ("container on edge", "socket-proxy:2375", False, CLOSED),
    ("container on edge", "traefik-socket-proxy:2375", False, CLOSED),
    ("container on edge", "ollama:11434", False, CLOSED),
    ("container on gpu-1", "ollama:11434", False, REACHED),
    ("container on gpu-1", "litellm:4000", False, CLOSED),
    # A compute host has no more rights at the front door than a neighbour, and none behind it.
    ("host on gpu-1", "https://openai.hearth.lan/v1/models", False, TURNED_AWAY),
    ("host on gpu-1", "{edge}:4000", False, CLOSED),
    ("container on gpu-1", "{edge}:2375", False, CLOSED),
    # A container on none of our networks knows nobody.
    ("stray on edge", "litellm:4000", False, CLOSED),
    ("stray on gpu-1", "ollama:11434", False, CLOSED),
    ("stray on gpu-1", "{gpu-1}:11434", False, CLOSED),
]
