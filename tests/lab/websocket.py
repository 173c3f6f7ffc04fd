"""A WebSocket client of the standard library: text frames, no extensions, enough for the tests."""

import base64
import json
import os
import socket
import ssl
import struct
from typing import Any

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class WebSocket:
    """One connection. address: (host, port) to connect to; tls: a context for TLS; headers: more of them.

    Raises ConnectionError with the status line where the server does not upgrade, and when it closes.
    """

    def __init__(
        self,
        address: tuple[str, int],
        name: str,
        path: str,
        tls: ssl.SSLContext | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        line = socket.create_connection(address, timeout=20)
        self._line = tls.wrap_socket(line, server_hostname=name) if tls else line
        wanted = {
            "Host": name,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **(headers or {}),
        }
        head = "".join(f"{key}: {value}\r\n" for key, value in wanted.items())
        self._line.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        self._stream = self._line.makefile("rb")
        status = self._stream.readline().decode().strip()
        while self._stream.readline().strip():
            pass
        if " 101 " not in status:
            self.close()
            raise ConnectionError(status)

    def send(self, message: Any) -> None:
        """Send a value as JSON."""
        self._send(_TEXT, json.dumps(message).encode())

    def receive(self) -> Any:
        """The next JSON message."""
        while True:
            first, second = self._exactly(2)
            size = second & 0x7F
            if size > 125:
                form = ">H" if size == 126 else ">Q"
                size = struct.unpack(form, self._exactly(struct.calcsize(form)))[0]
            content = self._exactly(size)
            if first & 0x0F == _TEXT:
                return json.loads(content)
            if first & 0x0F == _PING:
                self._send(_PONG, content)
            if first & 0x0F == _CLOSE:
                raise ConnectionError("closed by the server")

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._line.close()

    def _send(self, kind: int, content: bytes) -> None:
        mask = os.urandom(4)
        size = len(content)
        length = struct.pack(">B", 0x80 | size) if size < 126 else struct.pack(">BH", 0xFE, size)
        head = struct.pack(">B", 0x80 | kind) + length
        self._line.sendall(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(content)))

    def _exactly(self, size: int) -> bytes:
        found = self._stream.read(size)
        if len(found) < size:
            raise ConnectionError("closed by the server")
        return found
