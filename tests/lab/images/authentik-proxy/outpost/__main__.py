"""`/proxy` and `/proxy healthcheck`."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from .application import CALLBACK, LOGOUT, PREFIX, Application
from .controller import Controller
from .log import log
from .settings import Settings, SettingsError

VERSION_FILE = Path(__file__).with_name("VERSION")


async def ping(_request: Request) -> Response:
    return Response(status_code=204)


async def metrics(request: Request) -> Response:
    controller: Controller = request.app.state.controller
    labels = f'outpost_name="{controller.name}",outpost_type="proxy",version="{controller.version}"'
    return PlainTextResponse(
        f"authentik_outpost_info{{{labels}}} 1\n"
        f"authentik_outpost_last_update{{{labels}}} {controller.last_update}\n"
    )


async def handle(request: Request) -> Response:
    """Everything else: for the application of this host, if there is one."""
    controller: Controller = request.app.state.controller
    host = request.headers.get("host", "")
    if request.client and controller.settings.trusts(request.client.host):
        host = request.headers.get("x-forwarded-host", host)
    application = controller.lookup(host)
    if application is None:
        log("warning", "no app for hostname", host=host)
        detail = f"Check the outpost settings and make sure '{host}' is included."
        return JSONResponse({"Message": "no app for hostname", "Host": host, "Detail": detail}, 400)
    return await run_in_threadpool(answer, application, request)


def answer(application: Application, request: Request) -> Response:
    query = parse_qs(request.url.query)
    path = request.url.path
    if path == f"{PREFIX}/auth/traefik":
        return application.forward_auth(request)
    if query.get(CALLBACK, [""])[0].lower() == "true" or path == f"{PREFIX}/callback":
        return application.callback(request, query)
    if query.get(LOGOUT, [""])[0].lower() == "true" or path == f"{PREFIX}/sign_out":
        return application.sign_out(request)
    if path == f"{PREFIX}/start":
        return application.start(request, application.allowed_target(query.get("rd", [""])[0]))
    return PlainTextResponse("not found", 404)


def main(arguments: list[str]) -> int:
    try:
        settings = Settings(dict(os.environ))
    except SettingsError as error:
        log("error", "configuration error", error=str(error))
        return 1
    if arguments == ["healthcheck"]:
        return healthcheck(settings)
    if arguments:
        print("usage: /proxy [healthcheck]", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    controller = Controller(settings, VERSION_FILE.read_text().strip())
    controller.start()
    app = Starlette(
        routes=[
            Route(f"{PREFIX}/ping", ping),
            Route(
                "/{path:path}", handle, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
            ),
        ]
    )
    numbers = Starlette(routes=[Route("/metrics", metrics), Route(f"{PREFIX}/ping", ping)])
    app.state.controller = numbers.state.controller = controller
    with tempfile.TemporaryDirectory() as folder:
        files = self_signed(Path(folder))
        # Only the main thread's server handles signals; the others end with the process.
        for served, port, certificate in (
            (numbers, settings.port("METRICS", 9300), None),
            (app, settings.port("HTTPS", 9443), files),
        ):
            threading.Thread(target=run, args=(served, port, certificate), daemon=True).start()
        run(app, settings.port("HTTP", 9000), None)
    return 0


def healthcheck(settings: Settings) -> int:
    """Nothing answers before the first configuration has come from the server."""
    url = f"http://127.0.0.1:{settings.port('METRICS', 9300)}{PREFIX}/ping"
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return 0 if response.status == 204 else 1
    except (OSError, urllib.error.URLError):
        return 1


def self_signed(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "365",
        "-subj",
        "/CN=authentik",
    ]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, stderr=subprocess.DEVNULL
    )
    return certificate, key


def run(app: Starlette, port: int, files: tuple[Path, Path] | None) -> None:
    config = uvicorn.Config(
        app,
        log_level="warning",
        ssl_certfile=str(files[0]) if files else None,
        ssl_keyfile=str(files[1]) if files else None,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        # Whose forwarded headers are believed is decided in `handle`, by the settings.
        proxy_headers=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listen(port)])


def listen(port: int) -> socket.socket:
    """Every address of both families, where the host has IPv6 at all."""
    with contextlib.suppress(OSError):
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
