# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask an OpenAI-compatible API one question, over a connection whose address and name are given apart.

Standard library only: it runs on the hosts. Source: OpenAI's "Create chat completion" reference.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class ChatError(Exception):
    """No answer; the text says what the other side said or why it could not be reached."""


@dataclass(frozen=True)
class Answer:
    """What came back: the model's words, its name, the backend that LiteLLM names in its header, seconds taken.

    tokens: of the answer, where the server counts them.
    """

    text: str
    model: str
    backend: str | None
    request_id: str | None
    seconds: float
    tokens: int | None = None


class _Connection(http.client.HTTPSConnection):
    """HTTPS to a fixed address while certificate and Host header are those of the name."""

    def __init__(self, name: str, address: tuple[str, int], context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(name, address[1], context=context, timeout=timeout)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection(self._address, self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def ask(
    url: str,
    model: str,
    question: str,
    key: str | None = None,
    address: str | None = None,
    ca_file: str | None = None,
    timeout: float = 300,
    max_tokens: int = 64,
) -> Answer:
    """POST <url>/chat/completions and return the answer. url ends with the API's root (…/v1). Raises ChatError."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": max_tokens}
    started = time.monotonic()
    connection = connect(url, address, ca_file, timeout)
    response, payload = _request(connection, "POST", url, "/chat/completions", json.dumps(body), headers)
    try:
        reply = json.loads(payload)
        text = reply["choices"][0]["message"]["content"] or ""
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ChatError(f"{url} answered something that is no completion: {payload[:200]!r}") from error
    backend = response.headers.get("x-hearth-backend")
    seconds = time.monotonic() - started
    tokens = (reply.get("usage") or {}).get("completion_tokens")
    return Answer(text, str(reply.get("model") or model), backend, reply.get("id"), round(seconds, 2), tokens)


def models(url: str, timeout: float = 30) -> list[dict[str, Any]]:
    """The rows of GET <url>/models, each with its `id`. Raises ChatError."""
    _response, payload = _request(connect(url, None, None, timeout), "GET", url, "/models")
    try:
        return [item for item in json.loads(payload)["data"] if item["id"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ChatError(f"{url} answered something that is no list of models: {payload[:200]!r}") from error


def connect(url: str, address: str | None, ca_file: str | None, timeout: float) -> http.client.HTTPConnection:
    """A connection for requests below url; to `address` where that is given, with the certificate of url's host.

    ca_file: PEM, of who may have signed it; the system's own where it is None. timeout: seconds.
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(address or name, parts.port or 80, timeout=timeout)
    context = ssl.create_default_context(cafile=ca_file)
    return _Connection(name, (address or name, parts.port or 443), context, timeout)


def _request(
    connection: http.client.HTTPConnection,
    method: str,
    url: str,
    path: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to one request below url, which is 200, and its content; the connection is closed."""
    try:
        connection.request(method, urlsplit(url).path + path, body, dict(headers or {}))
        response = connection.getresponse()
        payload = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ChatError(f"{url} did not answer: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise ChatError(f"{url} answered {response.status} {response.reason}: {_message(payload)}")
    return response, payload


def _message(payload: bytes) -> str:
    try:
        found = json.loads(payload)
        error = found.get("error", found)
        return str(error.get("message", error) if isinstance(error, dict) else error)[:500]
    except (ValueError, AttributeError):
        return payload[:200].decode(errors="replace")
