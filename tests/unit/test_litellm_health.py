"""Docker's health check of LiteLLM, against servers that answer, refuse and keep silent."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "roles" / "litellm" / "templates" / "config" / "hearth_health.py"


@pytest.fixture
def health(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    # A __pycache__ beside the file would be deployed with the templates.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("hearth_health", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "DRAIN", tmp_path / "drain")
    monkeypatch.setattr(module, "SILENT", tmp_path / "silent")
    return module


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What was killed, instead of everything here."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *asked: found.append(asked))
    return found


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that says how it is; its port."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/liveliness" else 404)
            self.end_headers()

        def log_message(self, *_said: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silent() -> Iterator[int]:
    """A server that takes connections and is frozen."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refused() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(("status", "verdict"), [(200, 0), (503, 1)])
def test_what_it_says_counts(health: Any, killed: list[tuple[int, int]], status: int, verdict: int) -> None:
    with answering(status) as port:
        assert [health.main(port, 5) for _check in range(health.SILENCES)] == [verdict] * health.SILENCES
    assert not killed


def test_one_that_drains_is_not_to_be_asked(health: Any) -> None:
    health.DRAIN.touch()
    with answering(200) as port:
        assert health.main(port, 5) == 1


def test_one_that_starts_is_left_alone(health: Any, killed: list[tuple[int, int]]) -> None:
    port = refused()
    assert [health.main(port, 5) for _check in range(health.SILENCES)] == [1] * health.SILENCES
    assert not killed


def test_one_that_stays_silent_is_ended(health: Any, killed: list[tuple[int, int]]) -> None:
    with silent() as port:
        for _check in range(health.SILENCES - 1):
            assert health.main(port, 0.05) == 1
        assert not killed
        assert health.main(port, 0.05) == 1
    assert killed == [(-1, signal.SIGKILL)]


def test_one_that_answers_in_between_is_busy(health: Any, killed: list[tuple[int, int]]) -> None:
    with silent() as frozen, answering(200) as well:
        for port in ([frozen] * (health.SILENCES - 1) + [well]) * 2:
            health.main(port, 0.05 if port == frozen else 5)
    assert not killed
