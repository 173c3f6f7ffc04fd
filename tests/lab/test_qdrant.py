"""The stand-in for Qdrant does what Qdrant's own client expects, and takes no setting that Qdrant would not take."""

import time
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from . import engine, table

pytestmark = pytest.mark.docker
IMAGE = table.images()["qdrant"]
KEYS = {
    "API_KEY": "the-key-of-the-tests",
    "ALT_API_KEY": "the-next-key",
    "READ_ONLY_API_KEY": "the-readers-key",
}
SETTINGS = {
    **{f"QDRANT__SERVICE__{name}": value for name, value in KEYS.items()},
    "QDRANT__SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY": "false",
}

# Runs beside the server with the client that the image brings.
CLIENT = """
import sys, warnings
sys.path.insert(0, '/opt/qdrant/packages')
warnings.simplefilter('ignore')
import httpx
from qdrant_client import QdrantClient, models as m
from qdrant_client.http.exceptions import UnexpectedResponse
URL, NAME = 'http://127.0.0.1:6333', 'pages'
client = QdrantClient(url=URL, api_key='the-key-of-the-tests')
def of(tenant):
    return m.Filter(must=[m.FieldCondition(key='tenant', match=m.MatchValue(value=tenant))])
def refused(call, status):
    try:
        call()
    except UnexpectedResponse as problem:
        assert problem.status_code == status, problem
        return
    raise AssertionError('it was not refused')
"""
FILL = """
client.create_collection(NAME, vectors_config=m.VectorParams(size=2, distance=m.Distance.COSINE),
                         hnsw_config=m.HnswConfigDiff(payload_m=16, m=0))
client.create_payload_index(NAME, 'tenant', m.KeywordIndexParams(type='keyword', is_tenant=True))
client.upload_points(NAME, [m.PointStruct(id=n, vector=[n, 10], payload={'tenant': 'ab'[n % 2], 'n': n})
                            for n in range(10)], wait=True)
"""
USE = """
assert client.count(NAME, count_filter=of('a')).count == 5
found = client.query_points(NAME, query=[9.0, 10.0], query_filter=of('b'), limit=2).points
assert [point.payload['n'] for point in found] == [9, 7], found
page, following = client.scroll(NAME, scroll_filter=of('a'), limit=3)
rest, end = client.scroll(NAME, scroll_filter=of('a'), limit=3, offset=following)
assert [point.id for point in page + rest] == [0, 2, 4, 6, 8] and end is None
assert client.get_collection(NAME).payload_schema['tenant'].data_type == 'keyword'
client.set_payload(NAME, {'seen': True}, points=[1])
assert client.retrieve(NAME, [1])[0].payload == {'tenant': 'b', 'n': 1, 'seen': True}
client.delete(NAME, points_selector=m.FilterSelector(filter=of('b')))
assert [point.id for point in client.scroll(NAME)[0]] == [0, 2, 4, 6, 8]
refused(lambda: client.create_collection(NAME, vectors_config=m.VectorParams(size=2, distance='Dot')), 409)
refused(lambda: client.upsert(NAME, [m.PointStruct(id=1, vector=[1, 2, 3])]), 400)
refused(lambda: client.count('nothing'), 404)
body = {'vectors': {'size': 2, 'distance': 'Cosine'}, 'misspelt': 1}
assert httpx.put(URL + '/collections/x', json=body, headers={'api-key': 'the-key-of-the-tests'}).status_code == 400
"""
SNAPSHOTS = """
key = {'api-key': 'the-key-of-the-tests'}
made = client.create_snapshot(NAME)
assert [item.name for item in client.list_snapshots(NAME)] == [made.name]
file = httpx.get(f'{URL}/collections/{NAME}/snapshots/{made.name}', headers=key).content
client.delete_collection(NAME)
upload = f'{URL}/collections/{NAME}/snapshots/upload?priority=snapshot'
wrong = httpx.post(upload + '&checksum=' + '0' * 64, headers=key, files={'snapshot': (made.name, file)})
assert wrong.status_code == 400 and not client.collection_exists(NAME)
assert httpx.post(upload, headers=key, files={'snapshot': (made.name, file)}).json()['result'] is True
assert client.count(NAME).count == 10
assert client.get_collection(NAME).payload_schema['tenant'].params.is_tenant
refused(lambda: client.recover_snapshot(NAME, 'http://127.0.0.1:6333/'), 403)
refused(lambda: client.recover_snapshot(NAME, 'file:///etc/passwd'), 403)
full = client.create_full_snapshot()
assert [item.name for item in client.list_full_snapshots()] == [full.name]
assert client.delete_snapshot(NAME, made.name)
"""
ACCESS = """
reader = QdrantClient(url=URL, api_key='the-readers-key')
assert reader.count(NAME).count == 10
refused(lambda: reader.delete_collection(NAME), 403)
refused(lambda: reader.create_snapshot(NAME), 403)
assert QdrantClient(url=URL, api_key='the-next-key').delete_collection(NAME)
refused(lambda: QdrantClient(url=URL, api_key='wrong').get_collections(), 401)
assert httpx.get(URL + '/collections').status_code == 401
assert httpx.get(URL + '/collections', headers={'Authorization': 'Bearer the-readers-key'}).status_code == 200
assert [httpx.get(URL + path).status_code for path in ('/', '/healthz', '/livez', '/readyz')] == [200] * 4
assert [httpx.get(URL + path).status_code for path in ('/metrics', '/telemetry')] == [401] * 2
"""


@pytest.fixture
def server(client: docker.DockerClient) -> Iterator[Container]:
    container = client.containers.run(
        IMAGE.reference, environment=SETTINGS, labels={engine.LABEL: "1"}, detach=True
    )
    try:
        ready(container)
        yield container
    finally:
        container.remove(force=True, v=True)


def ready(container: Container) -> None:
    check = "exec 3<>/dev/tcp/127.0.0.1/6333; printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3; read -r l <&3"
    check += "; [[ $l == *' 200 '* ]]"
    deadline = time.monotonic() + 60
    while container.exec_run(["bash", "-c", check]).exit_code:
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.3)


def run(container: Container, *parts: str) -> None:
    """A program of the client's, beside the server."""
    done = container.exec_run(["/opt/qdrant/python", "-c", "".join([CLIENT, *parts])])
    assert done.exit_code == 0, done.output.decode()


def test_its_own_client_finds_what_it_stored(server: Container) -> None:
    run(server, FILL, USE)


def test_snapshots_go_out_and_come_back(server: Container) -> None:
    run(server, FILL, SNAPSHOTS)


def test_every_key_opens_what_it_should_and_no_more(server: Container) -> None:
    run(server, FILL, ACCESS)


def test_points_and_indexes_outlive_a_restart(server: Container) -> None:
    run(server, FILL)
    server.restart(timeout=10)
    ready(server)
    run(server, "assert client.count(NAME).count == 10; assert client.get_collection(NAME).payload_schema")


@pytest.mark.parametrize(
    "setting",
    [
        {"QDRANT__SERVICE__APIKEY": "misspelt"},
        {"QDRANT__TELEMETRY": "false"},
        {"QDRANT_API_KEY": "one underscore"},
        {"QDRANT__SERVICE__HTTP_PORT": "many"},
        {"QDRANT__SERVICE__ENABLE_CORS": "perhaps"},
        {"QDRANT__CLUSTER__ENABLED": "true"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_a_setting_that_is_not_qdrants_ends_it(client: docker.DockerClient, setting: dict[str, str]) -> None:
    container = client.containers.run(
        IMAGE.reference, environment=setting, labels={engine.LABEL: "1"}, detach=True
    )
    try:
        assert container.wait(timeout=60)["StatusCode"] == 101
        assert next(iter(setting)) in container.logs().decode()
    finally:
        container.remove(force=True, v=True)
