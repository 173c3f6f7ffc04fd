"""Run on a lab host by Python alone: `asker.py PLAN`, where PLAN is JSON; prints JSON.

PLAN is {model, key, clients, stream, rounds, seconds, ways: {name: {url, ca, name}}}. In each round every way is asked
once, in an order drawn by chance: so many clients ask for one completion after the other, for so many seconds, each
over a connection of its own that is made before and stays open. What it prints is, for each way, [{rate, first}, …] by
round: answers in a second, and the median of the seconds until the first piece. A round of each before the first is not
counted. A lost answer ends it, with a line that says which.
"""

import json
import random
import re
import socket
import ssl
import statistics
import sys
import threading
import time
from urllib.parse import urlsplit


class Line:
    """A connection that stays open. It reads no more of an answer than has to be known: what asks must cost little."""

    def __init__(self, place: tuple[str, int], context: ssl.SSLContext | None, name: str) -> None:
        self.sock = socket.create_connection(place, timeout=300)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname=name)

    def ask(self, question: bytes) -> tuple[int, bytes, float]:
        """The answer's status and body, as it came, and when its first piece had come. Raises OSError, ValueError."""
        self.sock.sendall(question)
        text, end = b"", -1
        while end < 0:
            text += self.read()
            end = text.find(b"\r\n\r\n")
        head, body = text[:end].lower(), text[end + 4 :]
        length = re.search(rb"\r\ncontent-length: *(\d+)", head)
        if not length and b"\r\ntransfer-encoding: chunked" not in head:
            raise ValueError(f"an answer without an end: {head!r}")
        if not body:
            body = self.read()
        first = time.monotonic()
        while len(body) < int(length[1]) if length else not body.endswith(b"\r\n0\r\n\r\n"):
            body += self.read()
        return int(head.split()[1]), body, first

    def read(self) -> bytes:
        piece = self.sock.recv(65536)
        if not piece:
            raise ConnectionError("the answer broke off")
        return piece


class Asker:
    def __init__(self, model: str, key: str, stream: bool, url: str, ca: str, name: str) -> None:
        self.parts = urlsplit(url)
        self.name = name
        self.context = ssl.create_default_context(cafile=ca) if ca else None
        asked = {
            "model": model,
            "messages": [{"role": "user", "content": "Hello."}],
            "max_tokens": 8,
            "seed": 1,
        }
        body = json.dumps({**asked, "stream": stream})
        self.question = (
            f"POST {self.parts.path} HTTP/1.1\r\nHost: {name or self.parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self.first: list[float] = []
        self.lost: list[str] = []

    def line(self) -> Line:
        port = self.parts.port or (443 if self.context else 80)
        return Line((str(self.parts.hostname), port), self.context, self.name)

    def ask(self, line: Line, until: float) -> None:
        while time.monotonic() < until and not self.lost:
            began = time.monotonic()
            try:
                status, text, first = line.ask(self.question)
            except (OSError, ValueError) as problem:
                self.lost.append(repr(problem))
                return
            if status == 200 and b"choices" in text and b'"error"' not in text:
                self.first.append(first - began)
            else:
                self.lost.append(f"{status} {text[:200]!r}")

    def round(self, clients: int, seconds: float) -> dict:
        self.first = []
        lines = [self.line() for _client in range(clients)]
        began = time.monotonic()
        threads = [threading.Thread(target=self.ask, args=(line, began + seconds)) for line in lines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        for line in lines:
            line.sock.close()
        if self.lost:
            sys.exit(f"{self.parts.geturl()} did not answer everything: {self.lost[:5]}")
        return {"rate": len(self.first) / took, "first": statistics.median(self.first)}


def main(plan: dict) -> None:
    askers = {
        name: Asker(plan["model"], plan["key"], plan["stream"], **way) for name, way in plan["ways"].items()
    }
    found: dict[str, list[dict]] = {name: [] for name in askers}
    for number in range(plan["rounds"] + 1):
        for name, asker in random.sample(sorted(askers.items()), len(askers)):
            answer = asker.round(plan["clients"], plan["seconds"])
            if number:
                found[name].append(answer)
    print(json.dumps(found))


main(json.loads(sys.argv[1]))
