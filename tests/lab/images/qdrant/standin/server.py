"""The HTTP side: keys, sizes, errors in the original's form, and Qdrant's log line where it begins to listen."""

from __future__ import annotations

import hmac
import json
import os
import shutil
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ValidationError

from .api import OPEN, READ, ROUTES, Call, Refused
from .settings import Settings, SettingsError, read
from .store import NotFound, Store


def may(settings: Settings, key: str | None, access: str) -> tuple[int, str] | None:
    """What keeps a request with this key out: status and text, None where nothing does."""
    writers = [item for item in (settings.api_key, settings.alt_api_key) if item]
    readers = [settings.read_only_api_key] if settings.read_only_api_key else []
    if access == OPEN or not (writers or readers):
        return None
    if key is None:
        return 401, "Must provide an API key or an Authorization bearer token"
    if _among(key, writers):
        return None
    if _among(key, readers):
        return None if access == READ else (403, "Forbidden: Global manage access is required")
    return 401, "Invalid API key or JWT"


def _among(key: str, known: list[str]) -> bool:
    return any(hmac.compare_digest(key.encode(), item.encode()) for item in known)


class Handler(BaseHTTPRequestHandler):
    """One connection; `settings` and `store` are the class's, set by `main`."""

    protocol_version = "HTTP/1.1"
    settings: Settings
    store: Store

    def do_any(self) -> None:
        """Every method: find the route, check the key, answer."""
        started = time.monotonic()
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self._page(url.path):
                return
            self._route(url.path, dict(parse_qsl(url.query)), raw, started)
        except Refused as problem:
            self._error(problem.status, str(problem), started)
        except NotFound as problem:
            self._error(404, f"Not found: {problem}", started)
        except ValidationError as problem:
            self._error(400, f"Format error in JSON body: {problem.errors()[0]['msg']}", started)
        except ValueError as problem:
            text = str(problem).removeprefix("Wrong input: ")
            found = "not found" not in text
            self._error(400 if found else 404, f"{'Wrong input' if found else 'Not found'}: {text}", started)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any

    def _route(self, path: str, query: dict[str, str], raw: bytes, started: float) -> None:
        for route in ROUTES:
            match = route.pattern.fullmatch(path)
            if route.method != self.command or not match:
                continue
            kept_out = may(self.settings, self._key(), route.access)
            if kept_out:
                self._send(kept_out[0], "text/plain; charset=utf-8", kept_out[1].encode())
                return
            parts = {name: unquote(value) for name, value in match.groupdict().items()}
            call = Call(self.store, self.settings, parts, query, *self._body(raw), dict(self.headers))
            with self.store.lock:
                answer = route.answer(call)
            self._answer(answer, route.plain, started)
            return
        self._send(404, "text/plain", b"")

    def _key(self) -> str | None:
        bearer = self.headers.get("Authorization", "")
        return self.headers.get("api-key") or (bearer[7:] if bearer.startswith("Bearer ") else None)

    def _body(self, raw: bytes) -> tuple[Any, bytes]:
        """JSON or bytes. A form has no limit, as in the original: snapshots are large."""
        if self.headers.get("Content-Type", "").startswith("multipart/"):
            return None, raw
        if len(raw) > self.settings.max_request_size_mb * 1024 * 1024:
            raise Refused(413, f"JSON payload ({len(raw)} bytes) is larger than allowed")
        try:
            return (json.loads(raw) if raw else None), raw
        except json.JSONDecodeError as problem:
            raise Refused(400, f"Format error in JSON body: {problem}") from problem

    def _page(self, path: str) -> bool:
        """The web page, which needs no key itself."""
        if self.command != "GET" or not (path == "/dashboard" or path.startswith("/dashboard/")):
            return False
        if self.settings.enable_static_content:
            self._send(200, "text/html; charset=utf-8", b"<!doctype html><title>Qdrant Web UI</title>")
        else:
            self._send(404, "text/plain", b"")
        return True

    def _answer(self, answer: Any, plain: bool, started: float) -> None:
        if isinstance(answer, Path):
            self._file(answer)
        elif plain and isinstance(answer, str):
            self._send(200, "text/plain; charset=utf-8", answer.encode())
        else:
            content = (
                answer if plain else {"result": answer, "status": "ok", "time": time.monotonic() - started}
            )
            self._send(200, "application/json", json.dumps(content, default=_plain).encode())

    def _error(self, status: int, text: str, started: float) -> None:
        content = {"status": {"error": text}, "time": time.monotonic() - started}
        self._send(status, "application/json", json.dumps(content).encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.settings.enable_cors:
            self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(content)

    def _file(self, file: Path) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(file.stat().st_size))
        self.end_headers()
        with file.open("rb") as stream:
            shutil.copyfileobj(stream, self.wfile)

    def log_message(self, form: str, *arguments: Any) -> None:
        if self.path not in ("/readyz", "/livez", "/healthz"):
            sys.stderr.write(
                f"INFO actix_web::middleware::logger: {self.client_address[0]} {form % arguments}\n"
            )


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"cannot be JSON: {type(value)}")


def main() -> None:
    """Serve until a stop signal. A setting that is not Qdrant's ends it with status 101, as a panic of the original."""
    try:
        settings = read(os.environ)
        store = Store(Path(settings.storage_path), Path(settings.snapshots_path))
        marker = Path(os.environ.get("QDRANT_INIT_FILE_PATH", ".qdrant-initialized"))
        marker.touch()
    except (SettingsError, OSError) as problem:
        sys.stderr.write(f"ERROR qdrant: {problem}\n")
        sys.exit(101)
    Handler.settings, Handler.store = settings, store
    server = ThreadingHTTPServer((settings.host, settings.http_port), Handler)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stderr.write(
        f"INFO qdrant: Telemetry reporting {'disabled' if settings.telemetry_disabled else 'enabled'}\n"
    )
    sys.stderr.write(f"INFO qdrant::actix: Qdrant HTTP listening on {settings.http_port}\n")
    server.serve_forever()
