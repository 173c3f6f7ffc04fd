"""`ak server`: the web server on the plain, the TLS and the metrics port."""

import contextlib
import socket
import ssl
import tempfile
import threading
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from . import api, executor, flows, oidc
from .certificates import self_signed
from .settings import Settings
from .store import PostgresDatabase


async def live(_request: Request) -> Response:
    return Response(status_code=200)


async def ready(request: Request) -> Response:
    """503 while the database cannot be asked."""

    def ask() -> None:
        with request.app.state.database.transaction() as objects:
            objects.get("session", "")

    try:
        await run_in_threadpool(ask)
    except Exception:
        return Response(status_code=503)
    return Response(status_code=200)


async def metrics(request: Request) -> Response:
    return PlainTextResponse(f'authentik_version_info{{version="{request.app.state.version}"}} 1\n')


def application(settings: Settings, database: PostgresDatabase, version: str) -> Starlette:
    health = [Route("/-/health/live/", live), Route("/-/health/ready/", ready)]
    app = Starlette(routes=[*health, *oidc.ROUTES, *flows.ROUTES, *executor.ROUTES, *api.ROUTES])
    app.state.settings, app.state.database, app.state.version = settings, database, version
    return app


def serve(settings: Settings, database: PostgresDatabase, version: str) -> None:
    app = application(settings, database, version)
    numbers = Starlette(routes=[Route("/metrics", metrics)])
    numbers.state.version = version
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = self_signed(Path(folder), "authentik Self-signed Certificate")
        # Only the main thread's server handles signals; the others end with the process.
        for served, name, port, files in (
            (app, "HTTPS", 9443, (certificate, key)),
            (numbers, "METRICS", 9300, None),
        ):
            for address in settings.listen(name, port):
                threading.Thread(target=_run, args=(served, address, files), daemon=True).start()
        first, *others = settings.listen("HTTP", 9000)
        for address in others:
            threading.Thread(target=_run, args=(app, address, None), daemon=True).start()
        _run(app, first, None)


def _run(app: Starlette, address: tuple[str, int], files: tuple[Path, Path] | None) -> None:
    certificate, key = files or (None, None)
    config = uvicorn.Config(
        app,
        log_level="warning",
        ssl_certfile=str(certificate) if certificate else None,
        ssl_keyfile=str(key) if key else None,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        # Which proxies may be believed is decided in web.Call, by the settings.
        proxy_headers=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listen(*address)])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; `::` is every address of both families, where the host has IPv6 at all."""
    if host == "::":
        with contextlib.suppress(OSError):
            return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
        host = "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
