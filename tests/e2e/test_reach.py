"""Who reaches what, tried in the lab: the table that the catalogue generates, and the rows written by hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..lab import table
from .conftest import BIN, EDGE, LAB, ROOT
from .reach import CLOSED, Cell, Origin, Target, cells
from .reach_by_hand import ROWS
from .reach_lab import ReachLab
from .signed_in import cookie_headers

pytestmark = pytest.mark.lab
IMAGES = {image.reference: image for image in table.images().values()}


@pytest.fixture(scope="module")
def fleet(platform: Any) -> dict[str, Any]:
    """The catalogue of the lab's inventory, as a run of Ansible sees it."""
    run = subprocess.run(
        [
            *(BIN / "ansible", "-i", platform.inventory, "edge", "-c", "local"),
            *("-e", f"@{LAB / 'images.yml'}", "--vault-password-file", LAB / "vault_pass", "-o"),
            *("-m", "ansible.builtin.debug", "-a", "msg={{ lookup('hearth.llm.fleet') }}"),
        ],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    return json.loads(run.stdout.partition("=> ")[2])["msg"]


@pytest.fixture(scope="module")
def lab(platform: Any, fleet: dict[str, Any]) -> Iterator[ReachLab]:
    headers = {("litellm", "key"): {"Authorization": f"Bearer {platform.secret('litellm_probe_key')}"}}
    guarded = {
        (service["name"], route["guard"]): service["fqdn"]
        for service in fleet["services"]
        for route in (service["http"]["routes"] if service["forward_auth"] else ())
        if route["guard"] in ("sso", "admin")
    }
    cookies = cookie_headers(
        EDGE, fleet["sign_on"]["fqdn"], platform.secret("authentik_admin_password"), list(guarded.values())
    )
    found = ReachLab(fleet, headers | {key: cookies[fqdn] for key, fqdn in guarded.items()})
    found.open()
    yield found
    found.close()


def image_ports(reference: str) -> list[int]:
    """The ports of the image's original, where the lab has built it."""
    image = IMAGES.get(reference)
    ports = image.shape.ports if image and image.shape else []
    return [int(port.partition("/")[0]) for port in ports]


def test_every_cell_of_the_table_comes_out_as_the_catalogue_says(
    fleet: dict[str, Any], lab: ReachLab
) -> None:
    everything = cells(fleet, image_ports)
    assert [cell for cell in everything if not lab.has_credentials(cell)] == []
    print(f"{len(everything)} cells, {sum(cell.expected == CLOSED for cell in everything)} of them closed")
    wrong = lab.wrong(everything)
    assert not wrong, "\n".join(wrong)


def guard_of(service: dict[str, Any] | None, path: str) -> str:
    """Whose credentials a request with credentials brings along."""
    routes = service["http"]["routes"] if service and service["http"] else []
    found = [
        (len(prefix), route["guard"])
        for route in routes
        for prefix in route["paths"] or ["/"]
        if (path + "/").startswith(prefix.rstrip("/") + "/")
    ]
    return max(found, default=(0, "internal"))[1]


def by_hand(fleet: dict[str, Any], origin: str, what: str, credentials: bool, expected: str) -> Cell:
    kind, _on, host = origin.partition(" on ")
    services = fleet["services"]
    if what.startswith("https://"):
        url = urlsplit(what)
        [door] = [service for service in services if service["front_door"]]
        service = next((service for service in services if service["fqdn"] == url.hostname), None)
        where = {"address": door["address"], "fqdn": url.hostname, "path": url.path}
        where["guard"] = guard_of(service, url.path)
        name = service["name"] if service else ""
        target = Target("route", name, door["host"], door["front_door"]["https"], **where)
    else:
        place, _colon, port = what.format(
            **{name: row["address"] for name, row in fleet["hosts"].items()}
        ).rpartition(":")
        way = "address" if "{" in what else "name"
        where = {"address": place} if way == "address" else {"container": place}
        target = Target(way, "by hand", host, int(port), **where)
    return Cell(Origin(kind, host or None), target, credentials, expected)


def test_the_rows_written_by_hand_hold(fleet: dict[str, Any], lab: ReachLab) -> None:
    assert len(ROWS) >= 30
    wrong = lab.wrong(by_hand(fleet, *row) for row in ROWS)
    assert not wrong, "\n".join(wrong)
