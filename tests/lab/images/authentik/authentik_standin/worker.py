"""`ak worker`: what exists from the start, and the blueprints, at the start, on change and every hour."""

import threading
import time
from pathlib import Path
from typing import Any

from watchdog.events import FileCreatedEvent, FileModifiedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from . import models
from .blueprints import Discovery
from .certificates import keypair
from .log import log
from .outposts import reconcile
from .settings import Settings
from .store import Objects, PostgresDatabase
from .web import now

ADMINISTRATOR = "akadmin"
ADMINISTRATORS = "authentik Admins"
HOUR = 3600
# Sessions, codes and tokens that are over are removed with every discovery.
EXPIRING = ("session", "plan", "authorization_code", "access_token", "refresh_token")


def bootstrap(objects: Objects, settings: Settings) -> None:
    """The first start makes the administrators, the keypair and the embedded outpost; a later one changes nothing."""
    _once(objects, models.GROUP, {"name": ADMINISTRATORS}, {"is_superuser": True})
    group = objects.find(models.GROUP, name=ADMINISTRATORS)[0]
    administrator = {"name": "authentik Default Admin", "groups": [group["pk"]]}
    email, password = settings.bootstrap("EMAIL"), settings.bootstrap("PASSWORD")
    if email:
        administrator["email"] = email
    if password:
        administrator["password"] = password
    if digest := settings.bootstrap("PASSWORD_HASH"):
        administrator["password_hash"] = digest
    if _once(objects, models.USER, {"username": ADMINISTRATOR}, administrator) and settings.bootstrap(
        "TOKEN"
    ):
        user = objects.find(models.USER, username=ADMINISTRATOR)[0]
        token = {"intent": "api", "user": user["pk"], "expiring": False, "key": settings.bootstrap("TOKEN")}
        _once(objects, models.TOKEN, {"identifier": "authentik-bootstrap-token"}, token)
    name = "authentik Self-signed Certificate"
    if not objects.find(models.CERTIFICATE, name=name):
        certificate, key = keypair(name)
        _once(objects, models.CERTIFICATE, {"name": name}, {"certificate_data": certificate, "key_data": key})
    if settings.get("OUTPOSTS__DISABLE_EMBEDDED_OUTPOST", "false").lower() != "true":
        embedded = {"name": "authentik Embedded Outpost", "type": "proxy", "providers": [], "config": {}}
        _once(objects, models.OUTPOST, {"managed": models.EMBEDDED}, embedded)
    reconcile(objects)


def _once(objects: Objects, model: str, identifiers: dict[str, Any], attributes: dict[str, Any]) -> bool:
    """Make an object that is not there. Whether it was made."""
    if objects.find(model, **identifiers):
        return False
    objects.save(model, models.MODELS[model].write(objects, None, identifiers | attributes, blueprint=True))
    return True


class Watch(FileSystemEventHandler):
    """As the original's: it sees files that are made or written, not ones that another takes the place of."""

    def __init__(self, discovery: Discovery, lock: threading.Lock) -> None:
        self._discovery = discovery
        self._lock = lock

    def on_created(self, event: FileSystemEvent) -> None:
        if not event.is_directory:
            with self._lock:
                self._discovery.discover()

    def on_modified(self, event: FileSystemEvent) -> None:
        path = Path(str(event.src_path))
        if not event.is_directory and path.suffix == ".yaml":
            with self._lock:
                self._discovery.modified(path)


def work(settings: Settings, database: PostgresDatabase, heartbeat: Path) -> None:
    with database.transaction() as objects:
        bootstrap(objects, settings)
    root = Path(settings.get("BLUEPRINTS_DIR", "/blueprints"))
    discovery = Discovery(database, root, log)
    lock = threading.Lock()
    observer = Observer()
    observer.schedule(
        Watch(discovery, lock), str(root), recursive=True, event_filter=[FileCreatedEvent, FileModifiedEvent]
    )
    observer.start()
    log("info", "worker started", blueprints=str(root))
    next_discovery = 0.0
    while True:
        try:
            with lock:
                if time.monotonic() >= next_discovery:
                    discovery.discover()
                    purge(database)
                    next_discovery = time.monotonic() + HOUR
                _apply_requested(database, discovery)
            heartbeat.touch()
        except Exception as error:
            log("error", "worker cannot work", error=str(error).strip())
        time.sleep(2)


def _apply_requested(database: PostgresDatabase, discovery: Discovery) -> None:
    """What the API asked for."""
    with database.transaction() as objects:
        requests = objects.find("apply_request")
        for request in requests:
            objects.delete("apply_request", request["pk"])
    for request in requests:
        discovery.apply(request["blueprint"])


def purge(database: PostgresDatabase) -> None:
    with database.transaction() as objects:
        for model in EXPIRING:
            for row in objects.find(model):
                if row["expires"] < now().isoformat():
                    objects.delete(model, row["pk"])
