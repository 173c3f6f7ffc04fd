"""The platform's doors, as those who hold a secret open them, and as those who hold an old one must not."""

from __future__ import annotations

import base64
import http.client
import json
import shlex
import socket
import ssl
import time
from pathlib import Path
from typing import Any

from ...e2e.conftest import Platform
from ...lab import table
from ...lab.websocket import WebSocket

HOST = "solo"
ADDRESS = table.hosts()[HOST].address
QUESTION = {"model": "tiny", "max_tokens": 2, "messages": [{"role": "user", "content": "hello"}]}


class Doors(Platform):
    """A platform on one host that can be asked for everything that it guards. ca: its own authority's certificate."""

    ca: Path

    def host(self, command: str) -> str:
        return self.ssh(HOST, command)

    def ask(self, name: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, answer) through the front door, by a service's first label."""
        connection = _Connection(f"{name}.hearth.lan", ssl.create_default_context(cafile=str(self.ca)))
        try:
            data = None if body is None else json.dumps(body)
            connection.request(
                "POST" if data else "GET", path, data, {"Content-Type": "application/json", **headers}
            )
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def inside(self, container: str, port: int, path: str, **headers: str) -> int:
        """The status that a container answers the host itself with, past the front door."""
        return self.say(container, port, "GET", path, **headers)[0]

    def say(
        self, container: str, port: int, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, str]:
        """Status and text of a container's answer to the host itself, past the front door."""
        form = "{{.NetworkSettings.Networks.frontend.IPAddress}}"
        headers = {"Content-Type": "application/json", **headers}
        asked = json.dumps([method, path, None if body is None else json.dumps(body), headers])
        program = (
            "import http.client,json,sys; c=http.client.HTTPConnection(sys.argv[1],int(sys.argv[2]),timeout=60);"
            " c.request(*json.loads(sys.argv[3])); a=c.getresponse(); print(a.status, a.read().decode())"
        )
        address = f"$(docker inspect -f {shlex.quote(form)} {container})"
        said = self.host(f"python3 -c {shlex.quote(program)} {address} {port} {shlex.quote(asked)}")
        status, _space, text = said.partition(" ")
        return int(status), text

    def chats(self, key: str) -> int:
        """The status of a question with a client's key."""
        return self.ask("openai", "/v1/chat/completions", QUESTION, Authorization=f"Bearer {key}")[0]

    def sign_in(self, password: str) -> tuple[int, Any]:
        body = {"email": "admin@localhost", "password": password}
        return self.ask("chat", "/api/v1/auths/signin", body)

    def vectors(self, key: str) -> int:
        """The status that the vector database answers this key with."""
        return self.inside("qdrant", 6333, "/collections", **{"api-key": key})

    def basic(self, password: str) -> int:
        return self.ask("shop", "/", **reader(password))[0]

    def write_pad(self, password: str, text: str) -> None:
        """Type into the pad `kept`, and wait until it is stored."""
        context = ssl.create_default_context(cafile=str(self.ca))
        socket = WebSocket((ADDRESS, 443), "pad.hearth.lan", "/api/socket/kept", context, reader(password))
        try:
            socket.receive()
            socket.send({"Edit": {"revision": 0, "operation": [text]}})
            socket.receive()
            time.sleep(5)  # stored every three seconds
        finally:
            socket.close()

    def pad(self, password: str) -> tuple[int, Any]:
        return self.ask("pad", "/api/text/kept", **reader(password))

    def administers(self, password: str) -> bool:
        """Whether authentik lets akadmin in with this password, asked as its sign-in page asks."""
        cookies = f"/tmp/cookies-{time.monotonic_ns()}"
        flow = "https://auth.hearth.lan/api/v3/flows/executor/default-authentication-flow/?query="
        curl = f"curl -sSkL --resolve auth.hearth.lan:443:{ADDRESS} -b {cookies} -c {cookies}"
        curl += " -H 'Content-Type: application/json'"
        body = shlex.quote(json.dumps({"password": password}))
        said = self.host(
            f'{curl} {flow} >/dev/null; {curl} -d \'{{"uid_field": "akadmin"}}\' {flow} >/dev/null;'
            f" {curl} -d {body} {flow}; rm {cookies}"
        )
        component = json.loads(said)["component"]
        assert component in ("ak-stage-password", "xak-flow-redirect"), said
        return component == "xak-flow-redirect"

    def signs(self, name: str, key: str) -> bool:
        """Whether named takes a question that is signed with this key; `rndc`: a command."""
        if name == "acme":
            command = f"dig +time=5 -y hmac-sha256:acme:{key} @{ADDRESS} hearth.lan SOA"
            return "status: NOERROR" in self.host(command)
        text = shlex.quote(f'key rndc {{ algorithm hmac-sha256; secret "{key}"; }};')
        inside = "cat >/run/named/key; rndc -k /run/named/key status >/dev/null 2>&1 && echo yes; rm /run/named/key"
        return "yes" in self.host(f"echo {text} | docker exec -i bind9 sh -c {shlex.quote(inside)}")

    def database(self, password: str) -> bool:
        """Whether authentik's database lets authentik in with this password."""
        return self._psql("authentik-database", "authentik", password)

    def store(self, password: str) -> bool:
        """Whether PostgreSQL lets somebody in with this password."""
        return self._psql("store", "store", password)

    def _psql(self, container: str, user: str, password: str) -> bool:
        command = (
            f"docker exec -e PGPASSWORD={password} {container} sh -c "
            f"'psql -h $(hostname -i) -U {user} -d {user} -c \"select 1\"' >/dev/null 2>&1 && echo yes || echo no"
        )
        return self.host(command).strip() == "yes"


def reader(password: str) -> dict[str, str]:
    """What a browser sends of a visitor who typed this password."""
    pair = base64.b64encode(f"reader:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


class _Connection(http.client.HTTPSConnection):
    """HTTPS to the lab's host under one of the platform's names."""

    def __init__(self, name: str, context: ssl.SSLContext) -> None:
        super().__init__(name, 443, context=context, timeout=60)
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((ADDRESS, 443), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
