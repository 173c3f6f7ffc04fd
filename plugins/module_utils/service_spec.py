# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service is, before any host runs it: the shapes of what its service.yml says (service_file.py reads it).

The schema is explained in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TIERS = ("trusted", "compute", "every")
GUARDS = ("open", "key", "basic", "admin", "internal", "sso", "oidc")
USES = ("each", "one", "optional")
KINDS = ("password", "key", "hex", "base64", "bcrypt", "sha512", "ed25519", "rsa", "tsig", "given")
PROTOCOLS = ("udp", "tcp")
OPEN_TO = ("platform", "private", "anyone")
ROTATIONS = ("restart", "overlap", "in-place", "migrate", "never")
PATHS = ("any", "one_minor", "every_major", "dump_restore")
SAVES = ("files", "dump", "sqlite", "paused")


@dataclass(frozen=True)
class Image:
    """A container's upstream image; `version` names the variable that holds the tag (tag@digest works too).

    when: the variable that says whether there is such a container; of data and secrets likewise (chosen.py).
    """

    name: str
    version: str
    when: str | None = None


@dataclass(frozen=True)
class Route:
    """Path prefixes under the service's name and who may use them; no paths means every path."""

    guard: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Http:
    """The web side of a service: the container's port and its routes, the service's own guard first."""

    port: int
    container: str
    routes: tuple[Route, ...]
    # Behind `sso` it believes the identity headers: it then shares a network with Traefik and nobody else.
    trusts_sign_on: bool = False
    # Whether it asks people by itself who they are; without it, `open` and `key` would let in everybody.
    signs_in: bool = True
    # A path that answers 200 without a key: how Traefik looks at each of several replicas.
    health: str | None = None
    # Whether a request that a replica broke off may be sent to another one, though the first may have acted on it.
    repeatable: bool = False


@dataclass(frozen=True)
class SignOn:
    """Single sign-on, as the front door and applications see it.

    container, port: what forward-auth asks, at the path `check`; headers: what it answers of who signed in, by which
    applications know them; path: what it needs under every name that it guards; issuer: the path of an OIDC
    application's issuer, in which `{name}` is the service.
    """

    container: str
    port: int
    check: str
    headers: tuple[str, ...]
    path: str
    issuer: str


@dataclass(frozen=True)
class Oidc:
    """How a service signs people in at the sign-on by itself: paths that it redirects to, the secret it shares."""

    redirects: tuple[str, ...]
    secret: str


@dataclass(frozen=True)
class Api:
    """The port that other services use; `port` is the container's, `variable` may name one for the published port."""

    port: int
    container: str
    variable: str | None = None


@dataclass(frozen=True)
class Listen:
    """A port published on the host's address besides `api` and the front door; `port` names its variable.

    open_to: `platform` (the inventory's hosts), `private` (private ranges), `anyone`, or the variable that says which.
    """

    port: str
    container_port: int
    protocols: tuple[str, ...]
    open_to: str


@dataclass(frozen=True)
class Resolver:
    """Answers for the platform's names. Each value names a variable.

    port: what it answers on; records: the operator's own; forwarders: addresses that it asks for other names;
    resolves_for: networks for which it does, beside the platform.
    """

    port: str
    records: str
    forwarders: str
    resolves_for: str


@dataclass(frozen=True)
class Serials:
    """Files with a number that grows when they change; `floor` names the variable with a number that it is above."""

    floor: str


@dataclass(frozen=True)
class Serves:
    """A completion API: `models` names the variable with its models, none means those of the services it uses.

    model: the variable with the one model that all of them are names of, and the only name where there is none;
    weight: the variable with how much of the load it takes, beside others that serve the same model.
    """

    api: str
    path: str
    models: str | None = None
    model: str | None = None
    key: str | None = None
    weight: str | None = None


@dataclass(frozen=True)
class Gateway:
    """What an operator adds to the models of the services that it uses. Each value names a variable.

    servers: model servers that Hearth does not manage; providers: those on the Internet, each with a key; aliases:
    other names of models; fallbacks: which models answer in another's place.
    """

    servers: str
    providers: str
    aliases: str
    fallbacks: str


@dataclass(frozen=True)
class Cards:
    """The variable with the NVIDIA cards that it computes on; of a model server also those with the context of each
    request, the number of parallel requests and the type of its cache, by which its models are weighed.

    needed: it does not run without a card.
    """

    chosen: str
    context: str | None = None
    parallel: str | None = None
    cache_type: str | None = None
    needed: bool = False


@dataclass(frozen=True)
class Secret:
    """A secret's description, never its value. `each` names a list variable: one secret per item's `name`.

    length: characters, prefix included (of base64: random bytes); days: the age at which it should be replaced;
    consumers: other services that read it; ends: what people notice when it is replaced; apply, prove:
    docs/secrets.md; service: who declares it.
    """

    name: str
    kind: str
    prefix: str = ""
    length: int = 48
    rotate: str = "restart"
    why: str = ""
    each: str | None = None
    client: bool = False
    client_of: str | None = None
    consumers: tuple[str, ...] = ()
    days: int = 365
    ends: str = ""
    apply: Mapping[str, Any] = field(default_factory=dict)
    prove: Mapping[str, Any] = field(default_factory=dict)
    when: str | None = None
    service: str = ""


@dataclass(frozen=True)
class Data:
    """A durable directory; `path` is relative to data_dir and defaults to <service>/<name>.

    container: whose data it is. dump, restore: commands (argv) in that container, of which the first writes the data to
    its standard output and the second reads it from its standard input. replaceable: can be had again from elsewhere.
    regain: the program of files/ that tells what of replaceable data cannot, and gets the rest (docs/backups.md).
    save: how a backup takes it, one of SAVES (docs/backups.md). databases: of `sqlite` the files that are databases,
    of which the first is always there. changed_by: the containers of which a new version may change it for good; by
    default its own, or all where it is nobody's.
    """

    owner: str = "0:0"
    mode: str = "0755"
    path: str | None = None
    container: str | None = None
    dump: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()
    replaceable: bool = False
    regain: str | None = None
    save: str = "files"
    databases: tuple[str, ...] = ()
    changed_by: tuple[str, ...] = ()
    when: str | None = None


@dataclass(frozen=True)
class Versions:
    """How one gets from version to version: `path` is one of PATHS, `known` the versions in ascending order."""

    path: str = "any"
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Update:
    """What a new version does to the data. Not reversible: the previous version cannot read them any more.

    versions: by the variable that holds the version.
    """

    reversible: bool = True
    why: str = ""
    versions: Mapping[str, Versions] = field(default_factory=dict)


@dataclass(frozen=True)
class ServiceSpec:
    """Everything that one service.yml says."""

    name: str
    role: str
    title: str
    description: str
    tier: str
    order: int = 50
    variables: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    http: Http | None = None
    api: Api | None = None
    listens: Mapping[str, Listen] = field(default_factory=dict)
    resolver: Resolver | None = None
    serials: Serials | None = None
    front_door: Mapping[str, str] = field(default_factory=dict)
    sign_on: SignOn | None = None
    oidc: Oidc | None = None
    serves: Serves | None = None
    gateway: Gateway | None = None
    cards: Cards | None = None
    uses: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    client_keys: Mapping[str, Any] = field(default_factory=dict)
    secrets_owner: str = "0:0"
    data: Mapping[str, Data] = field(default_factory=dict)
    saved: tuple[str, ...] = ()
    drill: Mapping[str, Any] = field(default_factory=dict)
    update: Update = field(default_factory=Update)
    replicas: int | None = None
    drain: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    early: str | None = None
    deadline: int = 120
    reload: Mapping[str, Any] = field(default_factory=dict)
    check: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """The part of a run that deploys it: names before compute hosts before what people see."""
        if self.order < 20:
            return "names"
        return "compute" if self.order < 50 else "trusted"

    @property
    def main_container(self) -> str:
        """The container that people and other services reach."""
        side = self.http or self.api
        return side.container if side else next(iter(self.images), self.name)
