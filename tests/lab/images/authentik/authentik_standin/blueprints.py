"""Blueprints: parsed, checked and applied as a whole or not at all."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from . import models
from .errors import BlueprintError, Invalid
from .outposts import reconcile
from .store import Database, Objects, Row
from .tags import Loader, Resolver

STATES = ("present", "created", "must_created", "absent")
INSTANTIATE = "blueprints.goauthentik.io/instantiate"


@dataclass(frozen=True)
class Entry:
    """One object that a blueprint wants; every field may hold tags."""

    model: Any
    state: Any = "present"
    identifiers: Any = field(default_factory=dict)
    attrs: Any = field(default_factory=dict)
    conditions: Any = field(default_factory=list)
    id: str | None = None


@dataclass(frozen=True)
class Blueprint:
    entries: list[Entry]
    context: dict[str, Any]
    name: str | None
    labels: dict[str, str]


def parse(text: str) -> Blueprint:
    """Raises BlueprintError for anything that is no blueprint of version 1, with any key that it does not know."""
    try:
        document = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise BlueprintError(f"not YAML, or an unknown tag: {error}") from error
    if not isinstance(document, dict):
        raise BlueprintError("a blueprint is a mapping")
    _known(document, {"version", "metadata", "context", "entries"}, "a blueprint")
    if document.get("version", 1) != 1:
        raise BlueprintError(f"version {document['version']} is not 1")
    metadata = document.get("metadata") or {}
    _known(metadata, {"name", "labels"}, "metadata")
    entries = document.get("entries") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BlueprintError("entries are a list of mappings")
    for entry in entries:
        _known(entry, set(Entry.__dataclass_fields__), f"entry {entry.get('model')}")
        if "model" not in entry:
            raise BlueprintError("an entry has no model")
    return Blueprint(
        [Entry(**entry) for entry in entries],
        document.get("context") or {},
        metadata.get("name"),
        metadata.get("labels") or {},
    )


def _known(mapping: dict[str, Any], keys: set[str], where: str) -> None:
    if unknown := sorted(set(mapping) - keys):
        raise BlueprintError(f"{where} has no key {', '.join(unknown)}")


def apply(
    objects: Objects,
    blueprint: Blueprint,
    context: dict[str, Any] | None = None,
    apply_other: Callable[[dict[str, Any], bool], None] | None = None,
) -> None:
    """Make every entry so, in its order. `apply_other` applies the blueprint with these identifiers first.

    Raises BlueprintError naming the entry; the caller's transaction then undoes the ones before it.
    """
    resolve = Resolver(objects, blueprint.context | (context or {}))
    for number, entry in enumerate(blueprint.entries):
        try:
            if all(resolve(entry.conditions)):
                _apply_entry(objects, resolve, entry, apply_other)
        except (Invalid, BlueprintError, TypeError, ValueError) as error:
            name = f" ({entry.id})" if entry.id else ""
            raise BlueprintError(f"entry {number + 1}, {entry.model}{name}: {error}") from error


def _apply_entry(objects: Objects, resolve: Resolver, entry: Entry, apply_other: Any) -> None:
    name = str(resolve(entry.model))
    state = str(resolve(entry.state))
    if state not in STATES:
        raise BlueprintError(f"state {state} is none of {', '.join(STATES)}")
    attributes = resolve(entry.attrs) or {}
    if name == models.APPLY_BLUEPRINT:
        _known(attributes, {"identifiers", "required"}, "the attrs")
        if not isinstance(attributes.get("identifiers"), dict):
            raise Invalid({"identifiers": "is missing"})
        if apply_other:
            apply_other(attributes["identifiers"], attributes.get("required", True))
        return
    model = models.MODELS.get(name)
    if model is None:
        raise BlueprintError("the stand-in has no such model")
    identifiers = resolve(entry.identifiers)
    existing = _existing(objects, model, identifiers)
    if state == "absent":
        if existing:
            objects.delete(name, existing["pk"])
        return
    if existing and state == "must_created":
        raise BlueprintError("state is must_created and the object exists")
    row = model.write(objects, existing, attributes | identifiers, blueprint=True)
    if not existing or state != "created":
        objects.save(name, row)
    if entry.id:
        resolve.keys[entry.id] = row["pk"]


def _existing(objects: Objects, model: models.Model, identifiers: dict[str, Any]) -> Row | None:
    """The object with this primary key, or else with all the other identifiers."""
    if not identifiers:
        raise BlueprintError("no identifiers")
    if unknown := sorted(set(identifiers) - model.fields - {"pk"}):
        raise BlueprintError(f"{unknown[0]} is no field to identify by")
    others = {key: value for key, value in identifiers.items() if key != "pk"}
    if "pk" in identifiers:
        if not model.numbered:
            identifiers["pk"] = str(uuid.UUID(str(identifiers["pk"])))
        if row := objects.get(model.name, identifiers["pk"]):
            return row
    return next(iter(objects.find(model.name, **others)), None) if others else None


class Discovery:
    """The blueprint files below a folder, as instances with a status in the database."""

    def __init__(self, database: Database, root: Path, log: Callable[..., None]) -> None:
        self._database = database
        self._root = root
        self._log = log
        self._running: list[str] = []

    def discover(self) -> None:
        """Register every file, then apply the ones that changed since they were last applied.

        authentik promises no order. Custom ones come first here, so that one which needs another and does not say so
        fails on the first start instead of on an unlucky one.
        """
        paths = sorted(self._root.rglob("*.yaml"))
        names = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
        instances = [instance for path in names if (instance := self._register(path))]
        for instance in instances:
            if instance["last_applied_hash"] != _hash(self._root / instance["path"]):
                self.apply(instance["pk"])

    def modified(self, path: Path) -> None:
        """Apply one file again, if it is registered."""
        with self._database.transaction() as objects:
            known = objects.find(models.BLUEPRINT, path=str(path.relative_to(self._root)))
        for instance in known:
            self.apply(instance["pk"])

    def _register(self, path: Path) -> Row | None:
        relative = str(path.relative_to(self._root))
        try:
            blueprint = parse(path.read_text(encoding="utf-8"))
        except (BlueprintError, OSError) as error:
            self._log("error", "failed to parse blueprint", path=relative, error=str(error))
            blueprint = Blueprint([], {}, None, {})
        if blueprint.labels.get(INSTANTIATE, "").lower() == "false":
            return None
        with self._database.transaction() as objects:
            for instance in objects.find(models.BLUEPRINT, path=relative):
                return instance
            instance = {
                "pk": str(uuid.uuid4()),
                "name": blueprint.name or relative,
                "path": relative,
                "context": {},
                "enabled": True,
                "status": "unknown",
                "last_applied": datetime.now(timezone.utc).isoformat(),
                "last_applied_hash": "",
                "managed_models": [],
                "metadata": {"name": blueprint.name, "labels": blueprint.labels},
                "content": "",
            }
            objects.save(models.BLUEPRINT, instance)
        return instance

    def apply(self, pk: str) -> None:
        """Apply an instance and keep how it went; what fails leaves nothing of itself behind."""
        with self._database.transaction() as objects:
            instance = objects.get(models.BLUEPRINT, pk)
        if instance is None or not instance["enabled"] or pk in self._running:
            return
        self._running.append(pk)
        path = self._root / instance["path"]
        try:
            text = path.read_text(encoding="utf-8")
            blueprint = parse(text)
            with self._database.transaction() as objects:
                apply(objects, blueprint, instance["context"], self._apply_named)
            instance |= {
                "status": "successful",
                "last_applied_hash": hashlib.sha512(text.encode()).hexdigest(),
            }
            self._log("info", "blueprint applied", path=instance["path"])
        except (BlueprintError, OSError) as error:
            instance["status"] = "error"
            self._log("error", "blueprint not applied", path=instance["path"], error=str(error))
        finally:
            self._running.remove(pk)
        instance["last_applied"] = datetime.now(timezone.utc).isoformat()
        with self._database.transaction() as objects:
            objects.save(models.BLUEPRINT, instance)
            reconcile(objects)

    def apply_now(self, path: str) -> None:
        """Apply one file, whether it is registered or not. Raises BlueprintError and OSError."""
        blueprint = parse((self._root / path).read_text(encoding="utf-8"))
        with self._database.transaction() as objects:
            apply(objects, blueprint, None, self._apply_named)
            reconcile(objects)

    def _apply_named(self, identifiers: dict[str, Any], required: bool) -> None:
        with self._database.transaction() as objects:
            found = objects.find(models.BLUEPRINT, **identifiers)
        if not found and required:
            raise BlueprintError(f"the required blueprint {identifiers} does not exist")
        for instance in found[:1]:
            self.apply(instance["pk"])


def _hash(path: Path) -> str:
    return hashlib.sha512(path.read_bytes()).hexdigest()
