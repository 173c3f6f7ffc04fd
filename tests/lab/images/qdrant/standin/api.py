"""Qdrant's REST API: routes with the access each needs; requests are validated by the client's own models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from qdrant_client.http import models as m

from .settings import Settings
from .store import NotFound, Store, keep

OPEN, READ, WRITE = "open", "read", "write"


class Refused(Exception):
    """An answer other than 200; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Call:
    """One request: the parts of its path, its query, its JSON or its bytes."""

    store: Store
    settings: Settings
    path: Mapping[str, str]
    query: Mapping[str, str]
    json: Any = None
    raw: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path["name"]

    def body(self, kind: Any) -> Any:
        """The JSON as one of the client's request models. Raises pydantic's ValidationError."""
        return TypeAdapter(kind).validate_python(self.json)


@dataclass(frozen=True)
class Route:
    """A path of the API. `plain` answers are not wrapped in `result`."""

    method: str
    pattern: re.Pattern[str]
    access: str
    answer: Callable[[Call], Any]
    plain: bool = False


ROUTES: list[Route] = []


def route(method: str, path: str, access: str, plain: bool = False) -> Callable[[Callable[[Call], Any]], Any]:
    """Register a handler; {x} in the path is one segment."""

    def register(answer: Callable[[Call], Any]) -> Callable[[Call], Any]:
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
        ROUTES.append(Route(method, pattern, access, answer, plain))
        return answer

    return register


# The server itself ---------------------------------------------------------------------------------------------------


@route("GET", "/", OPEN, plain=True)
def version(call: Call) -> Any:
    return {"title": "qdrant - vector search engine", "version": "1.19.0", "commit": "stand-in"}


@route("GET", "/(?:healthz|livez)", OPEN, plain=True)
def health(call: Call) -> Any:
    return "check passed"


@route("GET", "/readyz", OPEN, plain=True)
def ready(call: Call) -> Any:
    return "all shards are ready"


@route("GET", "/metrics", READ, plain=True)
def metrics(call: Call) -> Any:
    count = len(call.store.engine.collections)
    return (
        "# HELP collections_total number of collections\n# TYPE collections_total gauge\n"
        f"collections_total {count}\n"
    )


@route("GET", "/telemetry", READ)
def telemetry(call: Call) -> Any:
    collections = {"number_of_collections": len(call.store.engine.collections)}
    return {"id": "stand-in", "app": {"name": "qdrant", "version": "1.19.0"}, "collections": collections}


# Collections ---------------------------------------------------------------------------------------------------------


@route("GET", "/collections", READ)
def list_collections(call: Call) -> Any:
    return call.store.engine.get_collections()


@route("GET", "/collections/{name}/exists", READ)
def exists(call: Call) -> Any:
    return {"exists": call.store.engine.collection_exists(call.name)}


@route("GET", "/collections/{name}", READ)
def collection_info(call: Call) -> Any:
    return call.store.info(call.name)


@route("PUT", "/collections/{name}", WRITE)
def create_collection(call: Call) -> Any:
    body = call.body(m.CreateCollection)
    if call.store.engine.collection_exists(call.name):
        raise Refused(409, f"Wrong input: Collection `{call.name}` already exists!")
    limit = call.settings.max_collections
    if limit and len(call.store.engine.collections) >= limit:
        raise Refused(400, f"Bad request: there may be no more than {limit} collections")
    return call.store.engine.create_collection(
        call.name,
        vectors_config=body.vectors,
        sparse_vectors_config=body.sparse_vectors,
        metadata=body.metadata,
    )


@route("PATCH", "/collections/{name}", WRITE)
def update_collection(call: Call) -> Any:
    body = call.body(m.UpdateCollection)
    call.store.collection(call.name)
    call.store.engine.update_collection(call.name, body.sparse_vectors, body.metadata)
    return True


@route("DELETE", "/collections/{name}", WRITE)
def delete_collection(call: Call) -> Any:
    return call.store.delete(call.name)


@route("PUT", "/collections/{name}/index", WRITE)
def create_index(call: Call) -> Any:
    body = call.body(m.CreateFieldIndex)
    if body.field_schema is None:
        raise Refused(400, "Wrong input: field_schema is required")
    call.store.set_index(call.name, body.field_name, call.json["field_schema"])
    return _done(call)


@route("DELETE", "/collections/{name}/index/{field}", WRITE)
def delete_index(call: Call) -> Any:
    call.store.set_index(call.name, call.path["field"], None)
    return _done(call)


@route("GET", "/aliases", READ)
def list_aliases(call: Call) -> Any:
    return call.store.engine.get_aliases()


@route("GET", "/collections/{name}/aliases", READ)
def collection_aliases(call: Call) -> Any:
    call.store.collection(call.name)
    return call.store.engine.get_collection_aliases(call.name)


@route("POST", "/collections/aliases", WRITE)
def update_aliases(call: Call) -> Any:
    return call.store.engine.update_collection_aliases(call.body(m.ChangeAliasesOperation).actions)


# Points --------------------------------------------------------------------------------------------------------------


@route("PUT", "/collections/{name}/points", WRITE)
def upsert(call: Call) -> Any:
    body = call.body(m.PointsBatch | m.PointsList)
    collection = call.store.collection(call.name)
    collection.upsert(body.batch if isinstance(body, m.PointsBatch) else body.points, body.update_filter)
    return _done(call)


@route("POST", "/collections/{name}/points/delete", WRITE)
def delete_points(call: Call) -> Any:
    call.store.collection(call.name).delete(call.body(m.PointsSelector))
    return _done(call)


@route("POST", "/collections/{name}/points/payload", WRITE)
def set_payload(call: Call) -> Any:
    body = call.body(m.SetPayload)
    call.store.collection(call.name).set_payload(body.payload, _selector(body), body.key)
    return _done(call)


@route("PUT", "/collections/{name}/points/payload", WRITE)
def overwrite_payload(call: Call) -> Any:
    body = call.body(m.SetPayload)
    call.store.collection(call.name).overwrite_payload(body.payload, _selector(body))
    return _done(call)


@route("POST", "/collections/{name}/points/payload/delete", WRITE)
def delete_payload(call: Call) -> Any:
    body = call.body(m.DeletePayload)
    call.store.collection(call.name).delete_payload(body.keys, _selector(body))
    return _done(call)


@route("POST", "/collections/{name}/points/payload/clear", WRITE)
def clear_payload(call: Call) -> Any:
    call.store.collection(call.name).clear_payload(call.body(m.PointsSelector))
    return _done(call)


@route("PUT", "/collections/{name}/points/vectors", WRITE)
def update_vectors(call: Call) -> Any:
    call.store.collection(call.name).update_vectors(call.body(m.UpdateVectors).points)
    return _done(call)


@route("POST", "/collections/{name}/points", READ)
def retrieve(call: Call) -> Any:
    body = call.body(m.PointRequest)
    payload = True if body.with_payload is None else body.with_payload
    return call.store.collection(call.name).retrieve(body.ids, payload, body.with_vector or False)


@route("GET", "/collections/{name}/points/{id}", READ)
def point(call: Call) -> Any:
    wanted = call.path["id"]
    found = call.store.collection(call.name).retrieve(
        [int(wanted) if wanted.isdigit() else wanted], True, True
    )
    if not found:
        raise NotFound(f"Point with id {wanted} does not exists!")
    return found[0]


@route("POST", "/collections/{name}/points/scroll", READ)
def scroll(call: Call) -> Any:
    body = call.body(m.ScrollRequest)
    points, following = call.store.collection(call.name).scroll(
        scroll_filter=body.filter,
        limit=10 if body.limit is None else body.limit,
        order_by=body.order_by,
        offset=body.offset,
        with_payload=True if body.with_payload is None else body.with_payload,
        with_vectors=body.with_vector or False,
    )
    return {"points": points, "next_page_offset": following}


@route("POST", "/collections/{name}/points/count", READ)
def count(call: Call) -> Any:
    return call.store.collection(call.name).count(call.body(m.CountRequest).filter)


@route("POST", "/collections/{name}/facet", READ)
def facet(call: Call) -> Any:
    body = call.body(m.FacetRequest)
    call.store.collection(call.name)
    return call.store.engine.facet(call.name, body.key, body.filter, body.limit or 10)


@route("POST", "/collections/{name}/points/query", READ)
def query(call: Call) -> Any:
    return _query(call, call.body(m.QueryRequest))


@route("POST", "/collections/{name}/points/query/batch", READ)
def query_batch(call: Call) -> Any:
    return [_query(call, body) for body in call.body(m.QueryRequestBatch).searches]


@route("POST", "/collections/{name}/points/query/groups", READ)
def query_groups(call: Call) -> Any:
    body = call.body(m.QueryGroupsRequest)
    call.store.collection(call.name)
    return call.store.engine.query_points_groups(
        call.name,
        group_by=body.group_by,
        query=body.query,
        using=body.using,
        prefetch=body.prefetch,
        query_filter=body.filter,
        limit=body.limit or 3,
        group_size=body.group_size or 3,
        with_payload=body.with_payload or False,
        with_vectors=body.with_vector or False,
        score_threshold=body.score_threshold,
    )


# Snapshots -----------------------------------------------------------------------------------------------------------


@route("GET", "/collections/{name}/snapshots", READ)
def list_snapshots(call: Call) -> Any:
    return call.store.list_snapshots(call.name)


@route("POST", "/collections/{name}/snapshots", WRITE)
def create_snapshot(call: Call) -> Any:
    return call.store.snapshot(call.name)


@route("GET", "/collections/{name}/snapshots/{snapshot}", READ, plain=True)
def download_snapshot(call: Call) -> Any:
    return call.store.snapshot_file(call.name, call.path["snapshot"])


@route("DELETE", "/collections/{name}/snapshots/{snapshot}", WRITE)
def delete_snapshot(call: Call) -> Any:
    call.store.snapshot_file(call.name, call.path["snapshot"]).unlink()
    return True


@route("POST", "/collections/{name}/snapshots/upload", WRITE)
def upload_snapshot(call: Call) -> Any:
    name, content = _uploaded(call)
    _compare(call.query.get("checksum"), content)
    file = keep(call.store.snapshots / call.name, name, content)
    call.store.restore(call.name, file)
    return True


@route("PUT", "/collections/{name}/snapshots/recover", WRITE)
def recover_snapshot(call: Call) -> Any:
    body = call.body(m.SnapshotRecover)
    if not body.location.startswith("file://"):
        if not call.settings.enable_snapshot_url_recovery:
            raise Refused(403, "Forbidden: Snapshot recovery from a URL is disabled")
        raise Refused(400, "Bad request: this stand-in recovers from files only")
    file = Path(body.location.removeprefix("file://")).resolve()
    if call.store.snapshots.resolve() not in file.parents or not file.is_file():
        raise Refused(403, "Forbidden: the snapshot is not in the snapshots directory")
    _compare(body.checksum, file.read_bytes())
    call.store.restore(call.name, file)
    return True


@route("GET", "/snapshots", READ)
def list_full_snapshots(call: Call) -> Any:
    return call.store.list_snapshots(None)


@route("POST", "/snapshots", WRITE)
def create_full_snapshot(call: Call) -> Any:
    return call.store.full_snapshot()


@route("GET", "/snapshots/{snapshot}", WRITE, plain=True)
def download_full_snapshot(call: Call) -> Any:
    return call.store.snapshot_file(None, call.path["snapshot"])


@route("DELETE", "/snapshots/{snapshot}", WRITE)
def delete_full_snapshot(call: Call) -> Any:
    call.store.snapshot_file(None, call.path["snapshot"]).unlink()
    return True


# Helpers -------------------------------------------------------------------------------------------------------------


def _done(call: Call) -> Any:
    """What an update answers; without wait=true the original only says that it has it."""
    return {"operation_id": 0, "status": "completed" if call.query.get("wait") == "true" else "acknowledged"}


def _selector(body: Any) -> Any:
    if body.points is not None:
        return m.PointIdsList(points=body.points)
    if body.filter is not None:
        return m.FilterSelector(filter=body.filter)
    raise Refused(400, "Wrong input: either list of ids or filter must be given")


def _query(call: Call, body: m.QueryRequest) -> Any:
    call.store.collection(call.name)
    return call.store.engine.query_points(
        call.name,
        query=body.query,
        using=body.using,
        prefetch=body.prefetch,
        query_filter=body.filter,
        limit=10 if body.limit is None else body.limit,
        offset=body.offset,
        with_payload=body.with_payload or False,
        with_vectors=body.with_vector or False,
        score_threshold=body.score_threshold,
        lookup_from=body.lookup_from,
    )


def _uploaded(call: Call) -> tuple[str, bytes]:
    """Name and content of the form's field `snapshot`."""
    head = f"Content-Type: {call.headers.get('Content-Type', '')}\r\n\r\n".encode()
    message = message_from_bytes(head + call.raw)
    for part in message.get_payload() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "snapshot":
            return part.get_filename() or "", part.get_payload(decode=True)
    raise Refused(400, "Multipart error: field `snapshot` is missing")


def _compare(checksum: str | None, content: bytes) -> None:
    found = hashlib.sha256(content).hexdigest()
    if checksum and checksum.lower() != found:
        raise Refused(400, f"Bad request: Snapshot checksum mismatch: expected {checksum}, got {found}")
