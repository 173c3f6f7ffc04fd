"""The reach table is generated from the catalogue: what it expects of a small platform."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from fleet import resolved, two_hosts

from tests.e2e import reach
from tests.e2e.reach import ANSWERED, CLOSED, NO_ROUTE, REACHED, TURNED_AWAY, Origin, Target, cells

FLEET = resolved(two_hosts())
CELLS = cells(FLEET, lambda reference: [2375] if "/door" in reference else [])
OUTSIDER, NEIGHBOUR = Origin("outsider"), Origin("neighbour")


def expected(origin, what, credentials=False):
    [found] = [
        cell.expected
        for cell in CELLS
        if cell.origin == origin and str(cell.target).startswith(what) and cell.credentials == credentials
    ]
    return found


@pytest.mark.parametrize(
    ("origin", "what", "credentials", "comes"),
    [
        (OUTSIDER, "https://gate.lan:443/v1 ", True, CLOSED),
        (NEIGHBOUR, "https://gate.lan:443/v1 ", False, TURNED_AWAY),
        (NEIGHBOUR, "https://gate.lan:443/v1 ", True, ANSWERED),
        (NEIGHBOUR, "https://gate.lan:443/hearth-nowhere", True, NO_ROUTE),
        (NEIGHBOUR, "https://page.lan:443/ ", False, ANSWERED),
        (OUTSIDER, "10.0.0.1:80/", False, CLOSED),
        (NEIGHBOUR, "10.0.0.1:80/", False, REACHED),
        (NEIGHBOUR, "10.0.0.1:4000/", False, CLOSED),
        (NEIGHBOUR, "10.0.0.2:11434/", False, CLOSED),
        (Origin("host", "edge"), "10.0.0.2:11434/", False, REACHED),
        (Origin("stray", "edge"), "10.0.0.2:11434/", False, REACHED),
        (Origin("container", "gpu-1"), "10.0.0.2:11434/", False, CLOSED),
        (Origin("container", "gpu-1"), "model:11434/", False, REACHED),
        (Origin("container", "edge"), "model:11434/", False, CLOSED),
        (Origin("stray", "gpu-1"), "model:11434/", False, CLOSED),
        (OUTSIDER, "the address of model:11434/", False, CLOSED),
    ],
)
def test_a_cell_says_what_the_catalogue_means(origin, what, credentials, comes):
    assert expected(origin, what, credentials) == comes


def test_a_container_of_an_image_that_nobody_talks_to_is_tried_at_every_place():
    tried = {str(cell.target) for cell in CELLS if cell.target.port == 2375}
    assert {"10.0.0.1:2375/tcp (door on edge)", "door:2375/tcp (door on edge)"} <= tried


def test_every_origin_is_there_and_every_port_is_tried_from_each_of_them():
    kinds = {"outsider", "neighbour", "host", "container", "stray"}
    assert {cell.origin.kind for cell in CELLS} == kinds
    for target in {cell.target for cell in CELLS if cell.target.way in ("address", "route")}:
        assert {cell.origin.kind for cell in CELLS if cell.target == target} == kinds


def test_a_wider_door_lets_strangers_knock_and_the_route_turns_them_away():
    hosts = two_hosts()
    for each in hosts:
        each.variables.update(access="public", domain="example.org", acme_email="a@example.org")
    fleet = resolved(hosts)
    page = next(service for service in fleet["services"] if service["name"] == "page")
    page["access"] = "lan"
    found = {
        cell.expected
        for cell in cells(fleet, lambda _reference: [])
        if cell.origin == OUTSIDER and cell.target.fqdn == page["fqdn"]
    }
    assert found == {TURNED_AWAY}


def test_an_answer_is_told_from_a_guards():
    fleet = {"sign_on": {"fqdn": "auth.lan"}}

    def tell(**answer):
        return reach.outcome({"reached": True, "location": "", **answer}, fleet)

    assert tell() == REACHED
    assert tell(status=200) == tell(status=307, location="/login") == tell(status=405) == ANSWERED
    assert tell(status=302, location="https://auth.lan/o") == tell(status=403) == TURNED_AWAY
    assert tell(status=404) == NO_ROUTE
    assert reach.outcome({"reached": False}, fleet) == CLOSED


def test_a_port_is_a_target_once():
    assert len({(cell.origin, cell.target, cell.credentials) for cell in CELLS}) == len(CELLS)
    assert isinstance(CELLS[0].target, Target)
