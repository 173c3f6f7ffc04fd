"""Whether a service accepts a value: asked over HTTP, of a server that checks it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import secret_work
from ansible_collections.hearth.llm.plugins.module_utils.secret_work import WorkError, accepted


class Service(BaseHTTPRequestHandler):
    """The right value is `good`, in a header, in basic authentication or in a body; /broken fails whatever it is."""

    def do_GET(self) -> None:
        self.answer(self.headers["Authorization"] in ("Bearer good", f"Basic {PAIR}"))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(
            body == {"user": {"password": "good"}} and self.headers["Content-Type"] == "application/json"
        )

    def answer(self, good: bool) -> None:
        self.send_response(500 if self.path == "/broken" else 200 if good else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


PAIR = base64.b64encode(b"admin:good").decode()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def step(url: str, value: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "value": value, "accepted": 200, "refused": 401, **more}


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"Authorization": "Bearer {secret}"}},
        {"user": "admin"},
        {"body": {"user": {"password": "{secret}"}}},
        {"user": "admin", "accepted": None},
    ],
)
def test_the_service_says_whether_it_accepts_the_value(url: str, more: dict[str, Any]) -> None:
    assert accepted(step(url, "good", **more))
    assert not accepted(step(url, "old", **more))


@pytest.mark.parametrize("expected", [200, None])
def test_an_error_of_the_service_is_neither(url: str, expected: int | None) -> None:
    with pytest.raises(WorkError, match="answered 500"):
        accepted(step(f"{url}/broken", "good", user="admin", accepted=expected))


def test_the_connection_goes_to_the_address_that_is_given(url: str) -> None:
    port = url.rpartition(":")[2]
    assert accepted(step(f"http://hearth.test:{port}", "good", user="admin", address="127.0.0.1"))


def test_of_a_service_that_does_not_answer_one_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_work, "_PATIENCE", 0.0)
    with pytest.raises(WorkError, match="does not answer"):
        accepted(step("http://127.0.0.1:9", "good"))
