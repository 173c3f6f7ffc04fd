"""The catalogue and every view of it for a platform far larger than any home: CPU time, and how it grows."""

import gc
import statistics
import time
from pathlib import Path

import yaml
from ansible_collections.hearth.llm.plugins.module_utils import catalogue, view_litellm, view_traefik
from ansible_collections.hearth.llm.plugins.module_utils.inventory import Host
from ansible_collections.hearth.llm.plugins.module_utils.service_file import read
from ansible_collections.hearth.llm.plugins.module_utils.service_spec import ServiceSpec

from . import figures
from .farm import ROOT
from .figures import Figure

# Issue 5, 'Speed'.
SECONDS = 1.0
# Twice the hosts: 2 is linear; more would be the start of a curve.
TWICE_THE_HOSTS = 2.3

SIZES = (25, 50, 100, 200, 400)
SERVICES = 15
ROUNDS = 5


def measure(points: dict[int, float]) -> list[Figure]:
    """The median CPU seconds of each size are put into `points`."""
    points.update({size: statistics.median(_seconds(size)) for size in SIZES})
    gc.disable()
    try:
        growth = [_seconds(size) for size in (400, 200)]
    finally:
        gc.enable()
    what = f"catalogue and views, 200 hosts × {SERVICES} services, CPU"
    return [
        figures.amount("catalogue", what, _seconds(200), SECONDS, "s"),
        figures.ratio(
            *("catalogue/growth", "catalogue and views for 400 hosts, CPU", "200 hosts"),
            *(*growth, TWICE_THE_HOSTS),
            note="without Python's garbage collector, whose share depends on what else is in memory",
        ),
    ]


def _seconds(size: int) -> list[float]:
    specs, hosts = platform(size)
    found = []
    for _round in range(ROUNDS):
        begun = time.process_time()
        resolve(specs, hosts)
        found.append(time.process_time() - begun)
    return found


def resolve(specs: dict[str, ServiceSpec], hosts: list[Host]) -> int:
    """All that a run works out: the platform, the checks, and each service's view; how many routes there were."""
    resolved = catalogue.resolve(specs, hosts)
    problems = resolved.problems + catalogue.check_secrets(resolved, hosts)
    if problems:
        raise AssertionError(problems[:3])
    fleet = resolved.fleet
    for service in fleet["services"]:
        view_traefik.labels(service)
        view_litellm.models(service)
        view_litellm.clients(service, {client["secret"]: "x" * 32 for client in service["clients"]})
    doors = [service["host"] for service in fleet["services"] if service["front_door"]]
    return sum(len(view_traefik.routes(fleet, host)) + len(view_traefik.names(fleet, host)) for host in doors)


def platform(size: int) -> tuple[dict[str, ServiceSpec], list[Host]]:
    """One trusted host with the front door, the gateway and the chat; model servers on all others; small services."""
    specs = {name: _shipped(name) for name in ("traefik", "litellm", "openwebui", "ollama")}
    for number in range(SERVICES - 1):
        specs[f"app{number:02}"] = _app(f"app{number:02}")
    apps = [name for name in specs if name.startswith("app")]
    secrets = ("litellm_master_key", "litellm_probe_key", "openwebui_gateway_key")
    vault = {f"vault_{name}": "sk-" + "k3YwT7" * 6 for name in secrets}
    vault |= {f"vault_{name}": "k3YwT7" * 6 for name in ("openwebui_secret_key", "openwebui_admin_password")}
    vault["vault_openwebui_data_key"] = "k3YwT7pQ" * 5 + "abcd"
    vault |= {f"vault_{name}_word": "k3YwT7" * 6 for name in apps}
    hosts = []
    for number in range(size):
        own = ["traefik", "litellm", "openwebui"] if number == 0 else ["ollama"]
        stacks = own + apps[: SERVICES - len(own)]
        variables = {
            "access": "lan",
            "address": f"10.{number // 250}.{number % 250}.1",
            "stacks": stacks,
            "ollama_models": ["small:1b", "large:70b"],
            **{f"{name}_hostname": f"{name}-{number}" for name in apps},
            **vault,
        }
        group = "trusted" if number == 0 else "compute"
        hosts.append(Host(f"host{number}", (group,), variables, tuple(variables)))
    return specs, hosts


def _shipped(name: str) -> ServiceSpec:
    role = ROOT / "roles" / name
    options = _yaml(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    return read(name, f"hearth.llm.{name}", _yaml(role / "service.yml"), options)


def _app(name: str) -> ServiceSpec:
    text = {
        "title": name,
        "tier": "every",
        "variables": {f"{name}_version": "1", f"{name}_hostname": name, f"{name}_port": 8000 + int(name[3:])},
        "images": {name: {"name": "docker.io/library/app", "version": f"{name}_version"}},
        "resources": {name: {"cpus": 1, "memory": "64m"}},
        "http": {"port": 8080, "routes": [{"guard": "basic"}, {"guard": "key", "paths": ["/api"]}]},
        "api": {"port": 8080, "variable": f"{name}_port"},
        "secrets": {f"{name}_word": {"kind": "password"}},
        "data": {"data": {}},
    }
    return read(name, f"bench.{name}", text, {})


def _yaml(path: Path) -> dict:
    return yaml.safe_load(path.read_text())
