"""Run on a lab host by Python alone: `asker.py URL MODEL KEY CLIENTS SECONDS STREAM [CA NAME]`; prints JSON.

So many clients ask for one completion after the other, for so many seconds, each over a connection of its own that
stays open. The answer is {count, lost, rate, seconds: [until complete], first: [until the first piece]}.
"""

import http.client
import json
import socket
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit


class Named(http.client.HTTPSConnection):
    """Connects to an address, and asks there for the platform's name."""

    def __init__(self, name: str, place: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(name, context=context, timeout=300)
        self.place, self.context = place, context

    def connect(self) -> None:
        sock = socket.create_connection(self.place)
        # As http.client itself does: a head and a body that go out apart wait for nothing.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.context.wrap_socket(sock, server_hostname=self.host)


class Asker:
    def __init__(self, url: str, model: str, key: str, stream: bool, ca: str, name: str) -> None:
        self.parts = urlsplit(url)
        self.name = name
        self.context = ssl.create_default_context(cafile=ca) if ca else None
        asked = {
            "model": model,
            "messages": [{"role": "user", "content": "Hello."}],
            "max_tokens": 8,
            "seed": 1,
        }
        self.body = json.dumps({**asked, "stream": stream})
        self.headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        self.done: list[tuple[float, float]] = []
        self.lost: list[str] = []

    def connection(self) -> http.client.HTTPConnection:
        host, port = str(self.parts.hostname), self.parts.port
        if self.context:
            return Named(self.name, (host, port or 443), self.context)
        return http.client.HTTPConnection(host, port or 80, timeout=300)

    def ask(self, until: float) -> None:
        connection = self.connection()
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                connection.request("POST", self.parts.path, self.body, self.headers)
                response = connection.getresponse()
                piece = response.read1(65536)
                first = time.monotonic() - began
                text = piece + response.read()
            except (OSError, http.client.HTTPException) as problem:
                self.lost.append(repr(problem))
                connection = self.connection()
                continue
            if response.status == 200 and b"choices" in text and b'"error"' not in text:
                self.done.append((first, time.monotonic() - began))
            else:
                self.lost.append(f"{response.status} {text[:200]!r}")


def main(
    url: str, model: str, key: str, clients: str, seconds: str, stream: str, ca: str = "", name: str = ""
) -> None:
    asker = Asker(url, model, key, stream == "stream", ca, name)
    began = time.monotonic()
    threads = [
        threading.Thread(target=asker.ask, args=(began + float(seconds),)) for _client in range(int(clients))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {
        "count": len(asker.done),
        "lost": asker.lost[:5],
        "rate": len(asker.done) / (time.monotonic() - began),
        "first": sorted(first for first, _whole in asker.done),
        "seconds": sorted(whole for _first, whole in asker.done),
    }
    print(json.dumps(found))


main(*sys.argv[1:])
