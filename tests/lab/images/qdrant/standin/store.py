"""Collections and snapshots over the engine of Qdrant's own client. It is not for threads, hence one lock."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

from qdrant_client.http import models
from qdrant_client.local.local_collection import LocalCollection
from qdrant_client.local.qdrant_local import QdrantLocal

_CONFIG, _POINTS = "config.json", "storage.sqlite"


class NotFound(Exception):
    """There is no such collection, point or snapshot."""


class Store:
    """Everything durable. storage and snapshots: directories, made where they are missing."""

    def __init__(self, storage: Path, snapshots: Path) -> None:
        self.lock = threading.RLock()
        self.storage, self.snapshots = storage, snapshots
        for folder in (storage, snapshots):
            folder.mkdir(parents=True, exist_ok=True)
        self.engine = QdrantLocal(str(storage), force_disable_check_same_thread=True)
        self._indexes = storage / "payload_indexes.json"
        # The engine finds without them; who asks for a collection must see them all the same.
        self.indexes: dict[str, dict[str, Any]] = (
            json.loads(self._indexes.read_text()) if self._indexes.exists() else {}
        )

    def collection(self, name: str) -> LocalCollection:
        """A collection by name or alias. Raises NotFound."""
        if not self.engine.collection_exists(name):
            raise NotFound(f"Collection `{name}` doesn't exist!")
        return self.engine._get_collection(name)

    def info(self, name: str) -> dict[str, Any]:
        """What the server tells of a collection, its payload indexes among it."""
        found = self.collection(name).info().model_dump(mode="json")
        found["payload_schema"] = {
            field: {"data_type": _data_type(schema), "params": _params(schema), "points": 0}
            for field, schema in self.indexes.get(name, {}).items()
        }
        return found

    def set_index(self, name: str, field: str, schema: Any) -> None:
        """Remember a payload index, or forget it where there is no schema."""
        self.collection(name)
        indexes = self.indexes.setdefault(name, {})
        indexes.pop(field, None)
        if schema is not None:
            indexes[field] = schema
        self._save_indexes()

    def delete(self, name: str) -> bool:
        """Remove a collection; False where there is none."""
        if name not in self.engine.collections:
            return False
        self.engine.collections[name].close()
        self.engine.delete_collection(name)
        self.indexes.pop(name, None)
        self._save_indexes()
        return True

    def _save_indexes(self) -> None:
        half = self._indexes.with_suffix(".half")
        half.write_text(json.dumps(self.indexes))
        half.replace(self._indexes)

    # Snapshots ----------------------------------------------------------------------------------------------------

    def snapshot(self, name: str) -> dict[str, Any]:
        """Write one collection into a file of its own; its description."""
        self.collection(name)
        file = self._folder(name) / f"{name}-0-{_stamp()}.snapshot"
        with tarfile.open(file, "w") as tar:
            self._add(tar, name, "")
        return describe(file)

    def full_snapshot(self) -> dict[str, Any]:
        """Write every collection into one file; its description."""
        file = self.snapshots / f"full-snapshot-{_stamp()}.snapshot"
        with tarfile.open(file, "w") as tar:
            for name in self.engine.collections:
                self._add(tar, name, f"{name}/")
        return describe(file)

    def list_snapshots(self, name: str | None) -> list[dict[str, Any]]:
        """The snapshots of a collection, or the full ones."""
        if name is not None:
            self.collection(name)
        folder = self.snapshots if name is None else self.snapshots / name
        return [describe(file) for file in sorted(folder.glob("*.snapshot"))]

    def snapshot_file(self, name: str | None, snapshot: str) -> Path:
        """A snapshot's file. Raises NotFound."""
        folder = self.snapshots if name is None else self.snapshots / name
        file = folder / Path(snapshot).name
        if not file.is_file():
            raise NotFound(f"Snapshot {snapshot} not found")
        return file

    def restore(self, name: str, file: Path) -> None:
        """Put a snapshot in a collection's place; the collection is made where it is missing."""
        with tarfile.open(file) as tar:
            config = tar.extractfile(_CONFIG)
            points = tar.extractfile(_POINTS)
            if config is None or points is None:
                raise ValueError("the file is no snapshot of a collection")
            kept = json.loads(config.read())
            rows = points.read()
        self.delete(name)
        place = self.storage / "collection" / name
        place.mkdir(parents=True)
        (place / _POINTS).write_bytes(rows)
        self.engine.collections[name] = LocalCollection(
            models.CreateCollection(**kept["collection"]), str(place), force_disable_check_same_thread=True
        )
        self.engine._save()
        self.indexes[name] = kept["indexes"]
        self._save_indexes()

    def _folder(self, name: str) -> Path:
        folder = self.snapshots / name
        folder.mkdir(exist_ok=True)
        return folder

    def _add(self, tar: tarfile.TarFile, name: str, prefix: str) -> None:
        config = {
            "collection": self.engine.collections[name].config.model_dump(mode="json"),
            "indexes": self.indexes.get(name, {}),
        }
        half = self.snapshots / f".{name}.half"
        half.write_text(json.dumps(config))
        tar.add(half, f"{prefix}{_CONFIG}")
        half.unlink()
        with sqlite3.connect(half) as copy:
            self.engine.collections[name].storage.storage.backup(copy)
        copy.close()
        tar.add(half, f"{prefix}{_POINTS}")
        half.unlink()


def describe(file: Path) -> dict[str, Any]:
    """A snapshot as the server lists it."""
    made = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(file.stat().st_mtime))
    return {
        "name": file.name,
        "creation_time": made,
        "size": file.stat().st_size,
        "checksum": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def keep(folder: Path, name: str, content: bytes) -> Path:
    """Store what was uploaded, under the last part of its name only."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (Path(name).name or f"upload-{_stamp()}.snapshot")
    half = file.with_name(f".{file.name}.half")
    half.write_bytes(content)
    shutil.move(half, file)
    return file


def _data_type(schema: Any) -> str:
    return schema["type"] if isinstance(schema, dict) else str(schema)


def _params(schema: Any) -> Any:
    return schema if isinstance(schema, dict) else None


def _stamp() -> str:
    return time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime()) + f"-{os.urandom(2).hex()}"
