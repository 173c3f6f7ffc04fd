"""Clients that go on asking a gateway while something happens to it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

GATEWAY = "openai.hearth.lan"


@contextmanager
def at(address: str) -> Iterator[None]:
    """The platform's names resolve to an address in this process, as a name server would have it."""
    look_up = socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest, **more: look_up(
                address if str(host).endswith(".hearth.lan") else host, *rest, **more
            ),
        )
        yield


@dataclass(frozen=True)
class Answer:
    """began: seconds since the load began; seconds: until it was complete; status 0: the connection broke."""

    began: float
    seconds: float
    status: int
    backend: str
    replica: str
    text: str

    @property
    def ended(self) -> float:
        return self.began + self.seconds


class Load:
    """Clients that ask for one completion after the other, through Traefik, and keep every answer."""

    def __init__(self, ca: Path, key: str, model: str = "tiny", clients: int = 3, **body: Any) -> None:
        self.answers: list[Answer] = []
        self._context = ssl.create_default_context(cafile=str(ca))
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        asked = {"model": model, "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 2, **body}
        self._body = json.dumps(asked)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _client in range(clients)]

    def __enter__(self) -> Load:
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def now(self) -> float:
        return time.monotonic() - self._begun

    @property
    def lost(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    def more(self, count: int = 20, patience: float = 120.0) -> None:
        """Return when that many more requests were answered."""
        self.until(len(self.answers) + count, len, patience)

    def until(self, least: int, count: Any, patience: float = 120.0) -> None:
        """Return when `count` of the answers so far is at least so much."""
        end = time.monotonic() + patience
        while count(list(self.answers)) < least:
            assert time.monotonic() < end, f"{count(list(self.answers))} of {least} after {patience:.0f} s"
            time.sleep(0.1)

    def by_backend(self, since: float = 0.0) -> Counter[str]:
        """Backend → answers that began after a time of this load."""
        return Counter(answer.backend for answer in list(self.answers) if answer.began >= since)

    def _ask(self) -> None:
        connection: http.client.HTTPSConnection | None = None
        while not self._stop.is_set():
            began = self.now
            try:
                connection = connection or http.client.HTTPSConnection(
                    GATEWAY, context=self._context, timeout=120
                )
                connection.request("POST", "/v1/chat/completions", self._body, self._headers)
                response = connection.getresponse()
                text = response.read().decode(errors="replace")
                status, headers = response.status, response.headers
            except (OSError, http.client.HTTPException) as problem:
                connection, status, headers, text = None, 0, {}, repr(problem)
            backend, replica = (str(headers.get(f"x-hearth-{name}", "")) for name in ("backend", "replica"))
            self.answers.append(Answer(began, self.now - began, status, backend, replica, text))


def percentile(answers: Sequence[Answer], share: float) -> float:
    """The seconds within which that share of the answers was complete."""
    seconds = sorted(answer.seconds for answer in answers)
    return seconds[min(len(seconds) - 1, int(len(seconds) * share))]
