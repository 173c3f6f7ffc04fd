"""Pads as people have them: through the front door, typed in at the same time, and still there tomorrow."""

from __future__ import annotations

import base64
import json
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scenario import secret
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.lab.websocket import WebSocket  # noqa: E402

NAME = "pad.hearth.lan"
DYNAMIC = "/opt/stacks/traefik/config/dynamic/test.yaml"
# What the engine on the host says of the container, as the deploy, the proof and verify.yml hear it.
HEALTH = """
import sys
sys.path.insert(0, '/var/lib/hearth/engine.py')
from hearth_engine._docker import Docker
print(*[item['health'] for item in Docker().containers('rustpad')])
"""
STORED = """
import sqlite3
pads = sqlite3.connect('file:/srv/docker/rustpad/pads/pads.db?mode=ro', uri=True)
print(pads.execute("select count(*) from document where id = 'kept'").fetchone()[0])
"""


@pytest.fixture(scope="module")
def authorization() -> dict[str, str]:
    password = secret("traefik_user_reader")
    return {"Authorization": f"Basic {base64.b64encode(f'reader:{password}'.encode()).decode()}"}


@pytest.fixture(scope="module")
def join(host: Host, authorization: dict[str, str]) -> Iterator[Callable[..., WebSocket]]:
    """Opens a pad as a browser does: HTTPS, the platform's own authority, the visitor's password."""
    context = ssl.create_default_context(
        cadata=host.file("/srv/docker/traefik/certificates/ca.crt").content_string
    )
    door = (host.ansible.get_variables()["ansible_host"], 443)
    made = []

    def open_pad(pad: str, headers: dict[str, str] = authorization) -> WebSocket:
        made.append(WebSocket(door, NAME, f"/api/socket/{pad}", context, headers))
        return made[-1]

    yield open_pad
    for socket in made:
        socket.close()


def edit(revision: int, *operation: str | int) -> dict[str, Any]:
    return {"Edit": {"revision": revision, "operation": list(operation)}}


def typed(message: dict[str, Any]) -> list[Any]:
    return message["History"]["operations"][-1]["operation"]


def container(host: Host) -> dict[str, Any]:
    return json.loads(host.check_output("docker inspect rustpad"))[0]


def inside(host: Host, path: str) -> str:
    """What Rustpad answers the host itself."""
    address = container(host)["NetworkSettings"]["Networks"]["frontend"]["IPAddress"]
    return host.check_output("curl -sS --fail --max-time 10 http://%s:3030%s", address, path)


def health(host: Host) -> str:
    return host.check_output("python3 -c %s", HEALTH)


def wait_for(what: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.5)


def test_a_stranger_opens_no_pad(join: Callable[..., WebSocket]) -> None:
    with pytest.raises(ConnectionError, match="401"):
        join("secret", {})


def test_two_people_stay_connected_while_routes_change(host: Host, join: Callable[..., WebSocket]) -> None:
    one, other = join("shared"), join("shared")
    for socket in (one, other):
        socket.receive()
    one.send(edit(0, "before"))
    assert typed(other.receive()) == typed(one.receive()) == ["before"]
    router = {
        "rule": "Host(`new.hearth.lan`)",
        "service": "noop@internal",
        "entryPoints": ["websecure"],
        "tls": {},
    }
    text = base64.b64encode(json.dumps({"http": {"routers": {"test-reload": router}}}).encode()).decode()
    try:
        before = reached(host, "new.hearth.lan")
        host.check_output("echo %s | base64 -d > %s", text, DYNAMIC)
        wait_for(lambda: reached(host, "new.hearth.lan") != before, "Traefik did not take its new route")
        other.send(edit(1, 6, " and after"))
        assert typed(one.receive()) == [6, " and after"]
    finally:
        host.run("rm -f %s", DYNAMIC)
    assert inside(host, "/api/text/shared") == "before and after"


def reached(host: Host, name: str) -> str:
    """The status that Traefik answers for a name."""
    options = ("-sk", "-o", "/dev/null", "-w", "%{http_code}", "--resolve", f"{name}:443:127.0.0.1")
    places = " ".join(["%s"] * len(options))
    return host.check_output(f"curl {places} %s", *options, f"https://{name}/")


def test_a_pad_outlives_its_container(host: Host, join: Callable[..., WebSocket]) -> None:
    writer = join("kept")
    writer.receive()
    writer.send(edit(0, "remember the milk"))
    writer.receive()
    wait_for(lambda: host.check_output("python3 -c %s", STORED) == "1", "the pad was not stored")
    host.check_output("docker compose --project-directory /opt/stacks/rustpad up -d --force-recreate")
    wait_for(lambda: health(host) == "healthy", "Rustpad did not come back")
    assert inside(host, "/api/text/kept") == "remember the milk"


def test_its_health_is_what_it_answers(host: Host) -> None:
    """Docker itself has no check for it: the image holds nothing that could be run."""
    assert "Health" not in container(host)["State"]
    assert host.run("docker exec rustpad sh -c true").rc != 0
    assert health(host) == "healthy"
    process = container(host)["State"]["Pid"]
    host.check_output(f"kill -STOP {process}")
    try:
        assert health(host) in ("starting", "unhealthy")
    finally:
        host.check_output(f"kill -CONT {process}")


def test_it_has_no_more_rights_than_it_needs(host: Host) -> None:
    inspected = container(host)
    settings = inspected["HostConfig"]
    assert inspected["Config"]["User"] == "1000:1000"
    assert settings["ReadonlyRootfs"]
    assert settings["CapDrop"] == ["ALL"]
    assert settings["Memory"] == 256 * 1024**2
    assert not any((inspected["NetworkSettings"]["Ports"] or {}).values())
