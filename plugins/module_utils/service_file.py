# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads a service.yml into a ServiceSpec (service_spec.py), or says what is wrong with it.

Reading is strict: an unknown key is an error, because a misspelt key in a service's description would otherwise be a
feature that silently is not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from .service_spec import (
    GUARDS,
    KINDS,
    OPEN_TO,
    PATHS,
    PROTOCOLS,
    ROTATIONS,
    SAVES,
    TIERS,
    USES,
    Api,
    Cards,
    Data,
    Gateway,
    Http,
    Image,
    Listen,
    Oidc,
    Resolver,
    Route,
    Secret,
    Serials,
    Serves,
    ServiceSpec,
    SignOn,
    Update,
    Versions,
)

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_./-]*")


class SpecError(ValueError):
    """A service.yml that cannot be read; the text says which service and which key."""


def read(
    name: str, role: str, text: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]
) -> ServiceSpec:
    """Make a ServiceSpec of a parsed service.yml.

    name: the service (the role folder's name); role: how Ansible includes it; text: the parsed YAML;
    options: the role's argument_specs (`argument_specs.main.options`). Raises SpecError.
    """
    reader = _Reader(name, dict(text))
    if not _NAME.fullmatch(name):
        raise SpecError(f"{name}: a service's name is lower-case letters, digits and _")
    http = reader.mapping("http")
    api = reader.mapping("api")
    resolver = reader.mapping("resolver")
    serials = reader.mapping("serials")
    serves = reader.mapping("serves")
    gateway = reader.mapping("gateway")
    cards = reader.mapping("cards")
    sign_on = reader.mapping("sign_on")
    oidc = reader.mapping("oidc")
    health = reader.mapping("health")
    spec = ServiceSpec(
        name=name,
        role=role,
        title=reader.take("title", str),
        description=reader.take("description", str, ""),
        tier=reader.choice("tier", TIERS),
        order=reader.take("order", int, 50),
        variables=reader.mapping("variables"),
        images={
            key: reader.make(Image, f"images.{key}", value) for key, value in reader.mapping("images").items()
        },
        resources=reader.mapping("resources"),
        http=_http(reader, name, http) if http else None,
        api=reader.make(Api, "api", {"container": name, **api}) if api else None,
        listens={
            key: reader.make(
                Listen, f"listens.{key}", {**value, "protocols": tuple(value.get("protocols", ()))}
            )
            for key, value in reader.mapping("listens").items()
        },
        resolver=reader.make(Resolver, "resolver", resolver) if resolver else None,
        serials=reader.make(Serials, "serials", serials) if serials else None,
        front_door=reader.mapping("front_door"),
        sign_on=reader.make(SignOn, "sign_on", {**sign_on, "headers": tuple(sign_on.get("headers", ()))})
        if sign_on
        else None,
        oidc=reader.make(Oidc, "oidc", {**oidc, "redirects": tuple(oidc.get("redirects", ()))})
        if oidc
        else None,
        serves=reader.make(Serves, "serves", serves) if serves else None,
        gateway=reader.make(Gateway, "gateway", gateway) if gateway else None,
        cards=reader.make(Cards, "cards", cards) if cards else None,
        uses=_uses(reader),
        secrets=tuple(_secret(reader, key, value or {}) for key, value in reader.mapping("secrets").items()),
        client_keys=_client_keys(reader),
        secrets_owner=reader.take("secrets_owner", str, "0:0"),
        data={key: _data(reader, key, value or {}) for key, value in reader.mapping("data").items()},
        saved=tuple(map(str, reader.take("saved", list, []))),
        drill=_drill(reader),
        update=_update(reader),
        replicas=reader.take("replicas", int, None),
        drain=tuple(reader.take("drain", list, [])),
        renamed=reader.mapping("renamed"),
        early=reader.take("early", str, None),
        deadline=int(health.get("deadline", 120)),
        reload=reader.mapping("reload"),
        check=reader.mapping("check"),
        options=options,
    )
    reader.nothing_left()
    _check_names(spec)
    _check_when(spec)
    _check_data(spec)
    if spec.drill and spec.drill["container"] not in spec.images:
        raise SpecError(f"{name}: drill.container names {spec.drill['container']}, not in images")
    return spec


def _http(reader: _Reader, name: str, value: Mapping[str, Any]) -> Http:
    routes = tuple(
        reader.make(Route, f"http.routes[{index}]", {**route, "paths": tuple(route.get("paths", ()))})
        for index, route in enumerate(value.get("routes", [{"guard": "internal"}]))
    )
    for route in routes:
        if route.guard not in GUARDS:
            raise SpecError(f"{name}: http.routes guard {route.guard!r} is none of {', '.join(GUARDS)}")
    return reader.make(Http, "http", {"container": name, **value, "routes": routes})


def _data(reader: _Reader, key: str, value: Mapping[str, Any]) -> Data:
    lists = _listed(value, "dump", "restore", "databases", "changed_by")
    made: Data = reader.make(Data, f"data.{key}", {"save": "dump" if value.get("dump") else "files", **lists})
    return made


def _drill(reader: _Reader) -> dict[str, Any]:
    """What finds the service's content again in a drill: {container, port, program of files/}."""
    found = reader.mapping("drill")
    if found:
        keys = {"container", "port", "program"}
        _check_keys(f"{reader.name}: drill", found, keys, keys)
    return found


def _update(reader: _Reader) -> Update:
    value = reader.mapping("update")
    versions = {
        key: reader.make(Versions, f"update.versions.{key}", _listed(item or {}, "known"))
        for key, item in value.get("versions", {}).items()
    }
    return reader.make(Update, "update", {**value, "versions": versions})


def _listed(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The mapping with YAML's lists under these keys as tuples of text."""
    return {key: tuple(map(str, item)) if key in keys else item for key, item in value.items()}


def _uses(reader: _Reader) -> dict[str, str]:
    found = {}
    for other, value in reader.mapping("uses").items():
        which = value.get("which") if isinstance(value, Mapping) else value
        if which not in USES:
            raise SpecError(f"{reader.name}: uses.{other} is {which!r}, expected one of {', '.join(USES)}")
        found[other] = which
    return found


def _secret(reader: _Reader, key: str, value: Mapping[str, Any]) -> Secret:
    where = f"{reader.name}: secrets.{key}"
    text = {**value, "name": key, "service": reader.name, "consumers": tuple(value.get("consumers", ()))}
    secret: Secret = reader.make(Secret, f"secrets.{key}", text)
    if secret.kind not in KINDS:
        raise SpecError(f"{where}.kind is {secret.kind!r}, expected one of {', '.join(KINDS)}")
    if secret.rotate not in ROTATIONS:
        raise SpecError(f"{where}.rotate is none of {', '.join(ROTATIONS)}")
    if secret.kind == "given" and secret.rotate != "never":
        raise SpecError(f"{where} is given by somebody else, so it is rotated there: rotate: never")
    if secret.rotate == "never" and not secret.why:
        raise SpecError(
            f"{where} is never rotated, so it needs `why`: the reason, and what rotating would cost"
        )
    if secret.apply:
        _check_keys(f"{where}.apply", secret.apply, {"container", "program"}, {"container", "program"})
    if secret.prove:
        _check_proof(f"{where}.prove", secret.prove)
    return secret


def _client_keys(reader: _Reader) -> dict[str, Any]:
    """How the service takes its clients' keys: {overlap, restart, prove}."""
    found = reader.mapping("client_keys")
    if found:
        _check_keys(f"{reader.name}: client_keys", found, {"overlap", "restart", "prove"}, set())
        _check_proof(f"{reader.name}: client_keys.prove", found.get("prove") or {})
    return found


def _check_proof(where: str, proof: Mapping[str, Any]) -> None:
    kinds = {
        "path": {"path", "port", "container", "headers", "basic", "body", "accepted", "refused"},
        "program": {"container", "program"},
        "guard": {"guard", "user"},
    }
    form = next((name for name in kinds if name in proof), None)
    if form is None:
        raise SpecError(f"{where} needs one of path, program, guard")
    required = {"container", "program"} if form == "program" else {form}
    _check_keys(where, proof, kinds[form], required)


def _check_keys(where: str, found: Mapping[str, Any], known: set[str], required: set[str]) -> None:
    if set(found) - known or required - set(found):
        raise SpecError(f"{where} has the keys {', '.join(sorted(found))}; known: {', '.join(sorted(known))}")


def _check_names(spec: ServiceSpec) -> None:
    for variable in spec.variables:
        if not variable.startswith(spec.name + "_"):
            raise SpecError(f"{spec.name}: variable {variable} must begin with {spec.name}_")
    for container, image in spec.images.items():
        if image.version not in spec.variables:
            raise SpecError(
                f"{spec.name}: images.{container}.version names {image.version}, not in variables"
            )
    if spec.http and f"{spec.name}_hostname" not in spec.variables:
        raise SpecError(f"{spec.name}: http needs the variable {spec.name}_hostname")
    for key, listen in spec.listens.items():
        _check_listen(spec, f"{spec.name}: listens.{key}", listen)
    parts = {
        "resolver": spec.resolver,
        "serials": spec.serials,
        "cards": spec.cards,
        "gateway": spec.gateway,
    }
    named = {part: vars(value) for part, value in parts.items() if value}
    named["serves"] = {key: getattr(spec.serves, key, None) for key in ("models", "model", "weight")}
    for part, value in named.items():
        for key, variable in value.items():
            if isinstance(variable, str) and variable not in spec.variables:
                raise SpecError(f"{spec.name}: {part}.{key} names {variable}, not in variables")
    if spec.oidc and spec.oidc.secret not in {secret.name for secret in spec.secrets}:
        raise SpecError(f"{spec.name}: oidc.secret names {spec.oidc.secret}, which is not in secrets")


def _check_when(spec: ServiceSpec) -> None:
    parts: list[Image | Data | Secret] = [*spec.images.values(), *spec.data.values(), *spec.secrets]
    for part in parts:
        if part.when is not None and part.when not in spec.variables:
            raise SpecError(f"{spec.name}: `when` names {part.when}, not in variables")


def _check_data(spec: ServiceSpec) -> None:
    for name, item in spec.data.items():
        named = {*item.changed_by, *((item.container,) if item.container is not None else ())}
        if unknown := named - set(spec.images):
            raise SpecError(f"{spec.name}: data.{name} names {', '.join(sorted(unknown))}, not in images")
        _check_save(f"{spec.name}: data.{name}", item)
    for path in (*spec.saved, *(path for item in spec.data.values() for path in item.databases)):
        if not _PLAIN_PATH.fullmatch(path) or ".." in path.split("/"):
            raise SpecError(f"{spec.name}: {path!r} is no plain relative path")
    if not spec.update.reversible and not (spec.update.why and spec.data):
        raise SpecError(f"{spec.name}: update.reversible: false takes a `why`, and data that it is about")
    tags = {image.version for image in spec.images.values()}
    for variable, versions in spec.update.versions.items():
        if variable not in tags:
            raise SpecError(f"{spec.name}: update.versions.{variable} is the version of no image")
        if versions.path not in PATHS:
            raise SpecError(f"{spec.name}: update.versions.{variable}.path is none of {', '.join(PATHS)}")
    if spec.drain and spec.replicas is None:
        raise SpecError(f"{spec.name}: drain is for a service with replicas")


def _check_save(where: str, item: Data) -> None:
    if bool(item.dump) != bool(item.restore):
        raise SpecError(f"{where} has one of dump and restore; it takes both")
    if item.dump and item.container is None:
        raise SpecError(f"{where}.dump needs {where.partition(' ')[2]}.container to run in")
    if item.regain and not (item.replaceable and item.container and item.save == "files"):
        raise SpecError(f"{where}.regain is for replaceable files of a container")
    if item.save not in SAVES:
        raise SpecError(f"{where}.save is {item.save!r}, expected one of {', '.join(SAVES)}")
    if (item.save == "dump") != bool(item.dump):
        raise SpecError(f"{where} has one of dump and save: dump; data that can be dumped are saved so")
    if (item.save == "sqlite") != bool(item.databases):
        raise SpecError(f"{where} has one of databases and save: sqlite; it takes both")
    if item.save == "paused" and item.container is None:
        raise SpecError(f"{where}.save: paused needs {where.partition(' ')[2]}.container to pause")


def _check_listen(spec: ServiceSpec, where: str, listen: Listen) -> None:
    if listen.port not in spec.variables:
        raise SpecError(f"{where}.port names {listen.port}, not in variables")
    if not listen.protocols or set(listen.protocols) - set(PROTOCOLS):
        raise SpecError(f"{where}.protocols is not a list of {' and '.join(PROTOCOLS)}")
    if listen.open_to not in (*OPEN_TO, *spec.variables):
        raise SpecError(f"{where}.open_to is none of {', '.join(OPEN_TO)} and no variable")


class _Reader:
    """Takes keys out of one mapping and complains about what is left."""

    def __init__(self, name: str, text: dict[str, Any]) -> None:
        self.name = name
        self.text = text

    def take(self, key: str, kind: type, *default: Any) -> Any:
        if key not in self.text and default:
            return default[0]
        if key not in self.text:
            similar = get_close_matches(key, self.text, n=1)
            raise SpecError(f"{self.name}: {key} is missing{f'; is it {similar[0]}?' if similar else ''}")
        value = self.text.pop(key)
        if not isinstance(value, kind):
            raise SpecError(f"{self.name}: {key} must be {kind.__name__}, is {value!r}")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        return dict(self.take(key, Mapping, {}))

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.take(key, str)
        if value not in allowed:
            raise SpecError(f"{self.name}: {key} is {value!r}, expected one of {', '.join(allowed)}")
        return value

    def make(self, kind: type, where: str, value: Mapping[str, Any]) -> Any:
        known = {item.name for item in fields(kind)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise SpecError(
                f"{self.name}: {where} has unknown keys {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )
        try:
            return kind(**value)
        except TypeError as error:
            raise SpecError(f"{self.name}: {where}: {error}") from error

    def nothing_left(self) -> None:
        if self.text:
            raise SpecError(f"{self.name}: unknown keys in service.yml: {', '.join(sorted(self.text))}")
