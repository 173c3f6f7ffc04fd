"""Somebody who is signed in at authentik, for programs: the cookies that let a request through the guard `sso`."""

from __future__ import annotations

import json
import subprocess
import tempfile
from http.cookiejar import MozillaCookieJar
from pathlib import Path

FLOW = "/api/v3/flows/executor/default-authentication-flow/?query="


def cookie_headers(address: str, sign_on: str, password: str, names: list[str]) -> dict[str, dict[str, str]]:
    """Name → the header of a request to it, for akadmin. address: of the front door; sign_on: authentik's name."""
    with tempfile.TemporaryDirectory() as folder:
        jar = Path(folder) / "cookies"
        for body in (None, {"uid_field": "akadmin"}, {"password": password}):
            said = _curl(jar, address, f"https://{sign_on}{FLOW}", body)
        assert json.loads(said)["component"] == "xak-flow-redirect", said
        for name in names:
            _curl(jar, address, f"https://{name}/")
        cookies = MozillaCookieJar(str(jar))
        cookies.load(ignore_discard=True)
    return {
        name: {
            "Cookie": "; ".join(
                f"{one.name}={one.value}" for one in cookies if one.domain in (name, f".{name}")
            )
        }
        for name in names
    }


def _curl(jar: Path, address: str, url: str, body: object = None) -> str:
    command = ["curl", "-sSkL", "-m", "60", "--connect-to", f"::{address}:", "-b", str(jar), "-c", str(jar)]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return subprocess.run([*command, url], text=True, capture_output=True, check=True).stdout
