"""A container without a check of its own is as healthy as it answers the host."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _probe


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/stats" else 503)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def inspected(label: str | None, state: str = "running", address: str = "127.0.0.1") -> dict:
    return {
        "Config": {"Labels": {_probe.LABEL: label} if label else None},
        "State": {"Status": state},
        "NetworkSettings": {"Networks": {"frontend": {"IPAddress": address}}},
    }


def test_it_is_healthy_while_it_answers(port: int) -> None:
    health, seen = _probe.health(inspected(f"{port}/api/stats"), 0)
    assert health == "healthy"
    assert seen is not None
    assert seen.endswith("/api/stats: 200")


def test_an_error_is_no_answer(port: int) -> None:
    assert _probe.health(inspected(f"{port}/broken"), 0)[0] == "unhealthy"


def test_silence_is_forgiven_only_right_after_the_start() -> None:
    silent = inspected("1/api/stats")
    assert _probe.health(silent, time.time())[0] == "starting"
    assert _probe.health(silent, time.time() - 60)[0] == "unhealthy"
    assert _probe.health(inspected("1/", address=""), 0) == ("unhealthy", "it has no address")


def test_nothing_is_asked_without_the_label_or_of_a_stopped_container(port: int) -> None:
    assert _probe.health(inspected(None), 0) == (None, None)
    assert _probe.health(inspected(f"{port}/api/stats", state="exited"), 0) == (None, None)
