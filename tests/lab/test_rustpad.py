"""The stand-in for Rustpad speaks its protocol, keeps pads in its database and takes no other settings."""

import json
import time
import urllib.request
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from . import engine, table
from .websocket import WebSocket

pytestmark = pytest.mark.docker
IMAGE = table.images()["rustpad"]
PORT = 3030


@pytest.fixture
def server(client: docker.DockerClient) -> Iterator[Container]:
    container = client.containers.run(
        IMAGE.reference,
        environment={"SQLITE_URI": "sqlite:///data/pads.db", "EXPIRY_DAYS": "2"},
        read_only=True,
        volumes={"hearth-lab-rustpad-test": {"bind": "/data"}},
        user="0:0",  # of a fresh volume; elsewhere the image's own
        labels={engine.LABEL: "1"},
        detach=True,
    )
    try:
        yield container
    finally:
        container.remove(force=True, v=True)
        client.volumes.get("hearth-lab-rustpad-test").remove()


def address(container: Container) -> tuple[str, int]:
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"]
    return next(iter(networks.values()))["IPAddress"], PORT


def get(container: Container, path: str) -> str:
    host, port = address(container)
    return urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=10).read().decode()


def wait_until_it_answers(container: Container) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            get(container, "/api/stats")
            return
        except OSError:
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.2)


def join(container: Container, pad: str) -> WebSocket:
    return WebSocket(address(container), "pad", f"/api/socket/{pad}")


def edit(revision: int, *operation: str | int) -> dict:
    return {"Edit": {"revision": revision, "operation": list(operation)}}


def test_two_people_type_at_once_and_see_one_text(server: Container) -> None:
    wait_until_it_answers(server)
    one, other = join(server, "plan"), join(server, "plan")
    assert (one.receive(), other.receive()) == ({"Identity": 0}, {"Identity": 1})
    one.send(edit(0, "milk"))
    first = {"History": {"start": 0, "operations": [{"id": 0, "operation": ["milk"]}]}}
    assert one.receive() == other.receive() == first
    other.send(edit(1, 4, " and bread"))
    one.receive()
    # Made of the text before the other's edit: it has to be transformed.
    one.send(edit(1, "soy ", 4))
    for _message in range(2):
        news = other.receive()
    assert news["History"]["operations"] == [{"id": 0, "operation": ["soy ", 14]}]
    assert get(server, "/api/text/plan") == "soy milk and bread"
    other.send({"ClientInfo": {"name": "Ann", "hue": 12}})
    one.receive()
    assert one.receive() == {"UserInfo": {"id": 1, "info": {"name": "Ann", "hue": 12}}}
    other.close()
    assert one.receive() == {"UserInfo": {"id": 1, "info": None}}


def test_a_newcomer_learns_everything(server: Container) -> None:
    wait_until_it_answers(server)
    one = join(server, "notes")
    one.send(edit(0, "text"))
    one.send({"SetLanguage": "markdown"})
    one.send({"CursorData": {"cursors": [4], "selections": [[0, 2]]}})
    for _message in range(4):
        one.receive()
    newcomer = join(server, "notes")
    messages = [newcomer.receive() for _message in range(4)]
    assert [next(iter(message)) for message in messages] == ["Identity", "History", "Language", "UserCursor"]


@pytest.mark.parametrize(
    "wrong", [{"Invalid": 1}, {"ClientInfo": {"name": "no hue"}}, edit(0, 99), edit(7, "x")]
)
def test_whatever_is_not_the_protocol_ends_the_connection(server: Container, wrong: dict) -> None:
    wait_until_it_answers(server)
    one = join(server, "strict")
    one.receive()
    one.send(wrong)
    with pytest.raises(ConnectionError):
        one.receive()


def test_pads_outlive_the_container(server: Container) -> None:
    wait_until_it_answers(server)
    one = join(server, "kept")
    one.send(edit(0, "héron"))
    for _message in range(2):
        one.receive()
    deadline = time.monotonic() + 30
    while json.loads(get(server, "/api/stats"))["database_size"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    server.restart(timeout=1)
    wait_until_it_answers(server)
    assert get(server, "/api/text/kept") == "héron"
    again = join(server, "kept")
    again.receive()
    assert again.receive()["History"]["operations"] == [{"id": 2**64 - 1, "operation": ["héron"]}]


def test_nothing_can_be_run_in_the_image(client: docker.DockerClient) -> None:
    for program in ("sh", "curl", "wget"):
        container = client.containers.create(IMAGE.reference, [program], labels={engine.LABEL: "1"})
        try:
            with pytest.raises(docker.errors.APIError, match="executable file not found"):
                container.start()
        finally:
            container.remove()


def test_a_setting_that_is_not_rustpads_ends_it(client: docker.DockerClient) -> None:
    container = client.containers.run(
        IMAGE.reference, environment={"SQLITE_URL": "sqlite:///x"}, labels={engine.LABEL: "1"}, detach=True
    )
    try:
        assert container.wait(timeout=30)["StatusCode"] == 101
        assert "SQLITE_URL" in container.logs().decode()
    finally:
        container.remove(force=True)
