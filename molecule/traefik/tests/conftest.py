"""What the scenario's tests share: the certificates that are served, and the first one of the public service."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from testinfra.host import Host

PUBLIC_NAME = "shop.hearth.lan"
Served = Callable[[str], dict[str, str]]
_FIRST: dict[str, str] = {}


@pytest.fixture(scope="module")
def served(host: Host) -> Served:
    """Name → `serial`, `issuer` and `notBefore` of the certificate that is served under it."""

    def look(name: str) -> dict[str, str]:
        text = host.check_output(
            "openssl s_client -connect 127.0.0.1:443 -servername %s </dev/null 2>/dev/null"
            " | openssl x509 -noout -serial -issuer -startdate -dateopt iso_8601",
            name,
        )
        return dict(line.split("=", 1) for line in text.splitlines())

    return look


@pytest.fixture(scope="session")
def wait_for() -> Callable[[Callable[[], bool], int], None]:
    """Ask once a second until the answer is yes, at most so many seconds."""

    def wait(what: Callable[[], bool], seconds: int) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(1)

    return wait


@pytest.fixture(scope="module", autouse=True)
def first_certificate(served: Served, wait_for: Callable[[Callable[[], bool], int], None]) -> dict[str, str]:
    """Looked at before every other test, so that its renewal, due a minute later, keeps nobody waiting."""
    if not _FIRST:
        wait_for(lambda: "Pebble" in served(PUBLIC_NAME)["issuer"], 60)
        _FIRST.update(served(PUBLIC_NAME))
    return _FIRST
