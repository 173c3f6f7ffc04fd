# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One service on one host: its description and its variables as the plain data that templates get."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import off
from . import secrets as secret_rules
from ._catalogue_cards import cards
from ._catalogue_gateway import gateway
from ._catalogue_sign_on import SHARED_NETWORK
from .chosen import chosen
from .digest import digest
from .inventory import Host
from .models import parse_models
from .problems import Problem, show
from .service_spec import Secret, ServiceSpec
from .weights import WEIGHTS, is_weight

_DOOR_PORTS = ("http", "https")
_MEMORY = re.compile(r"\d+(\.\d+)?\s*([kmgtKMGT]([iI]?[bB])?|[bB])?")
_CPUS = re.compile(r"\d+(\.\d+)?")
_PINNED = re.compile(r"(?!latest$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(@sha256:[0-9a-f]{64})?")
_LIMITS = ("cpus", "memory", "reserve_cpus", "reserve_memory")


def instance(
    spec: ServiceSpec, host: Host, settings: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> dict[str, Any]:
    spec = chosen(spec, host.variables)
    own = settings[host.name]
    variables = {name: host.variables.get(name, default) for name, default in spec.variables.items()}
    in_volumes = own["data_in"] == "volumes"
    volumes = off.volumes(spec)
    directories = off.directories(spec, own["data_dir"])
    secrets = [
        item for secret in spec.secrets for item in expand(secret, {**spec.variables, **host.variables})
    ]
    return {
        "name": spec.name,
        "role": spec.role,
        "title": spec.title,
        "description": spec.description,
        "host": host.name,
        "tier": spec.tier,
        "order": spec.order,
        "stage": spec.stage,
        "early": spec.early,
        "address": own["address"],
        "access": _access(spec, host, own, problems),
        "domain": own["domain"],
        "hostname": variables.get(f"{spec.name}_hostname"),
        "fqdn": None,
        "url": None,
        "front": None,
        "front_door": {
            name: variables.get(variable) for name, variable in spec.front_door.items() if name in _DOOR_PORTS
        },
        "acme": None,
        "authority": None,
        "ca_file": f"{own['data_dir']}/{spec.front_door['ca']}" if "ca" in spec.front_door else None,
        "images": _images(spec, host, variables, own["image_mirror"], problems),
        "versions": {name: str(variables.get(image.version)) for name, image in spec.images.items()},
        "variables": variables,
        "resources": _resources(spec, host, problems),
        "http": _http(spec, host, problems),
        "network": SHARED_NETWORK,
        "groups": host.variables.get(f"{spec.name}_groups") or [],
        "sign_on": None,
        "forward_auth": False,
        "oidc": None,
        "trust": None,
        "api": {"port": spec.api.port, "container": spec.api.container} if spec.api else None,
        "publish": None,
        "listens": _listens(spec, own["address"], variables),
        "resolver": _resolver(spec, variables),
        "serial_floor": variables[spec.serials.floor] if spec.serials else None,
        "dns": [],
        "extra_hosts": {},
        "serves": _serves(spec, variables, host, problems),
        "models": _models(spec, variables, host, problems),
        "cards": cards(spec, variables, host.name, problems),
        "gateway": gateway(spec, variables, host.name, problems),
        "uses": {name: [] for name in spec.uses},
        "clients": [],
        "secrets": [item.name for item in secrets],
        "secrets_owner": spec.secrets_owner,
        "mounts": volumes if in_volumes else directories,
        "volumes": sorted(volumes.values()) if in_volumes else [],
        "directories": []
        if in_volumes
        else [
            {"path": directories[n], "owner": item.owner, "mode": item.mode} for n, item in spec.data.items()
        ],
        "data": {
            name: {
                "place": (volumes if in_volumes else directories)[name],
                "container": item.container,
                "dump": list(item.dump),
                "restore": list(item.restore),
                "replaceable": item.replaceable,
                "regain": item.regain,
                "save": item.save,
                "databases": list(item.databases),
                "changed_by": list(item.changed_by),
            }
            for name, item in spec.data.items()
        },
        "saved": list(spec.saved),
        "drill": dict(spec.drill),
        "update": _update(spec, own),
        "replicas": (replicas := _replicas(spec, host, problems)),
        "replicated": spec.main_container if replicas > 1 else None,
        "drain": list(spec.drain),
        # The kernel takes 15 characters for an interface's name: these, and a digit for each network.
        "bridge": f"hearth-{digest(spec.name)[:7]}",
        "stack_dir": f"{own['stacks_dir']}/{spec.name}",
        "data_dir": f"{own['data_dir']}/{spec.name}",
        "state_dir": own["state_dir"],
        "deadline": spec.deadline,
        "reload": dict(spec.reload),
        "check": dict(spec.check),
        "exports": None,
    }


def _access(spec: ServiceSpec, host: Host, own: Mapping[str, Any], problems: list[Problem]) -> str:
    """How people reach the service: its own word, where that can be kept."""
    variable = f"{spec.name}_access"
    wanted = host.variables.get(variable)
    why = None
    if wanted and spec.front_door:
        why = f"{spec.name} takes the requests of all services, and each may have an access of its own"
    elif wanted and own["access"] == "local":
        why = "nobody outside this machine reaches a platform whose access is local"
    if why:
        problems.append(Problem(host.name, variable, wanted, why, "remove it, or set access"))
    return str(own["access"] if why or not wanted else wanted)


def _images(
    spec: ServiceSpec, host: Host, variables: Mapping[str, Any], mirror: str, problems: list[Problem]
) -> dict[str, str]:
    found = {}
    for container, image in spec.images.items():
        version = str(variables.get(image.version))
        if not _PINNED.fullmatch(version):
            expected = "is not a pinned version: a tag, not latest, or tag@sha256:…"
            remedy = f"leave it out for {spec.variables[image.version]}"
            problems.append(Problem(host.name, image.version, show(version), expected, remedy))
        name = image.name
        if mirror:
            registry, _sep, path = name.partition("/")
            name = f"{mirror}/{path}" if "." in registry or ":" in registry else f"{mirror}/{name}"
        found[container] = f"{name}:{variables.get(image.version)}"
    return found


def _resources(spec: ServiceSpec, host: Host, problems: list[Problem]) -> dict[str, dict[str, Any]]:
    merged = {container: dict(limits) for container, limits in spec.resources.items()}
    override = host.variables.get(f"{spec.name}_resources")
    for container, limits in override.items() if isinstance(override, Mapping) else ():
        variable = f"{spec.name}_resources.{container}"
        unknown = set(limits) - set(_LIMITS) if isinstance(limits, Mapping) else {"?"}
        if container not in merged:
            remedy = f"containers of {spec.name}: {', '.join(merged)}"
            problems.append(Problem(host.name, variable, show(limits), "no such container", remedy))
        elif unknown:
            expected = f"unknown keys {', '.join(sorted(unknown))}"
            problems.append(
                Problem(host.name, variable, show(limits), expected, f"known: {', '.join(_LIMITS)}")
            )
        else:
            problems.extend(_wrong_limits(host.name, variable, limits))
            merged[container].update(limits)
    return merged


def _wrong_limits(host: str, variable: str, limits: Mapping[str, Any]) -> list[Problem]:
    """Limits that Compose would refuse, on a host that was touched by then."""
    problems = []
    for name, value in limits.items():
        memory = name.endswith("memory")
        if not (_MEMORY if memory else _CPUS).fullmatch(str(value)):
            expected = "is not an amount of memory" if memory else "is not a number of processors"
            remedy = "write it like 512m or 2g" if memory else "write it like 2 or 0.5; 0 is no limit"
            problems.append(Problem(host, f"{variable}.{name}", show(value), expected, remedy))
    return problems


def _update(spec: ServiceSpec, own: Mapping[str, Any]) -> dict[str, Any]:
    """What a new version means: `copies` is where the data from before it are kept."""
    return {
        "reversible": spec.update.reversible,
        "why": spec.update.why,
        "copies": off.copies(spec, own),
        "versions": {
            variable: {"path": versions.path, "known": list(versions.known)}
            for variable, versions in spec.update.versions.items()
        },
        "variables": {name: image.version for name, image in spec.images.items()},
    }


def _replicas(spec: ServiceSpec, host: Host, problems: list[Problem]) -> int:
    if spec.replicas is None:
        return 1
    variable = f"{spec.name}_replicas"
    wanted = host.variables.get(variable, spec.replicas)
    if isinstance(wanted, int) and wanted >= 1:
        return wanted
    problems.append(Problem(host.name, variable, show(wanted), "is less than one container", "1 or more"))
    return 1


def _http(spec: ServiceSpec, host: Host, problems: list[Problem]) -> dict[str, Any] | None:
    if spec.http is None:
        return None
    guard = host.variables.get(f"{spec.name}_guard")
    routes = [
        {
            "name": spec.name if index == 0 else f"{spec.name}-{index}",
            "guard": route.guard,
            "paths": list(route.paths),
        }
        for index, route in enumerate(spec.http.routes)
    ]
    if guard in ("open", "key") and not spec.http.signs_in:
        expected = f"would let in everybody: {spec.name} does not ask who people are"
        remedy = "use admin, basic, sso or internal"
        problems.append(Problem(host.name, f"{spec.name}_guard", guard, expected, remedy))
    elif guard:
        routes[0]["guard"] = guard
    return {
        "port": spec.http.port,
        "container": spec.http.container,
        "health": spec.http.health,
        "repeatable": spec.http.repeatable,
        "routes": routes,
    }


def _listens(spec: ServiceSpec, address: Any, variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each protocol: what is bound on the host's address."""
    return [
        {
            "name": name,
            "address": address,
            "port": variables[listen.port],
            "protocol": protocol,
            "container_port": listen.container_port,
            "open_to": variables.get(listen.open_to, listen.open_to),
            "variable": listen.port,
        }
        for name, listen in spec.listens.items()
        for protocol in listen.protocols
    ]


def _resolver(spec: ServiceSpec, variables: Mapping[str, Any]) -> dict[str, Any] | None:
    if spec.resolver is None:
        return None
    names = vars(spec.resolver)
    return {**{key: variables[variable] for key, variable in names.items()}, "variables": dict(names)}


def _serves(
    spec: ServiceSpec, variables: Mapping[str, Any], host: Host, problems: list[Problem]
) -> dict[str, Any] | None:
    if spec.serves is None:
        return None
    weight = variables[spec.serves.weight] if spec.serves.weight else 1
    if not is_weight(weight):
        expected = f"is not a share of the load: {WEIGHTS}"
        remedy = "leave it out where all hosts are alike"
        problems.append(Problem(host.name, str(spec.serves.weight), show(weight), expected, remedy))
        weight = 1
    return {
        "api": spec.serves.api,
        "path": spec.serves.path,
        "key": spec.serves.key,
        "weight": weight,
    }


def _models(
    spec: ServiceSpec, variables: Mapping[str, Any], host: Host, problems: list[Problem]
) -> list[dict[str, Any]]:
    if spec.serves is None or spec.serves.models is None:
        return []
    variable, model = spec.serves.models, spec.serves.model
    wanted = variables.get(variable) or []
    if model:
        reference = str(variables.get(model) or "")
        if not reference:
            problems.append(Problem(host.name, model, None, "is missing", f"what {spec.name} shall serve"))
            return []
        wanted = wanted or [reference.partition("@")[0]]
    models, faults = parse_models(wanted)
    for fault in faults:
        value = None if fault["value"] is None else show(fault["value"])
        problems.append(
            Problem(host.name, variable + fault["where"], value, fault["expected"], fault["remedy"])
        )
    return [{**item, "reference": reference} for item in models] if model else models


def expand(secret: Secret, variables: Mapping[str, Any]) -> list[Secret]:
    try:
        return secret_rules.expand(secret, variables)
    except (AttributeError, TypeError):  # not a list of named items: reported by its argument_spec
        return []
