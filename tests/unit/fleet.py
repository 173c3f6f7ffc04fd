"""A small platform of services that do not exist, for the tests of what is general."""

from ansible_collections.hearth.llm.plugins.module_utils import catalogue
from ansible_collections.hearth.llm.plugins.module_utils.inventory import Host
from ansible_collections.hearth.llm.plugins.module_utils.service_file import read

DOOR = {
    "http": {"port": 8080, "signs_in": False, "routes": [{"guard": "internal"}]},
    "title": "Door",
    "tier": "trusted",
    "order": 90,
    "variables": {
        "door_version": "1",
        "door_hostname": "door",
        "door_https_port": 443,
        "door_http_port": 80,
        "door_certificate": {},
    },
    "images": {"door": {"name": "docker.io/library/door", "version": "door_version"}},
    "front_door": {
        "http": "door_http_port",
        "https": "door_https_port",
        "ca": "door/ca.crt",
        "certificate": "door_certificate",
        "name_server": "names",
    },
    "uses": {"names": {"which": "optional"}},
}
GATE = {
    "title": "Gate",
    "tier": "trusted",
    "variables": {"gate_version": "2", "gate_hostname": "gate", "gate_clients": []},
    "images": {"gate": {"name": "ghcr.io/some/gate", "version": "gate_version"}},
    "resources": {"gate": {"cpus": 1, "memory": "1g"}},
    "http": {"port": 4000, "routes": [{"guard": "key", "paths": ["/v1"]}]},
    "api": {"port": 4000},
    "serves": {"api": "openai", "path": "/v1", "key": "gate_probe_key"},
    "uses": {"model": {"which": "each"}},
    "secrets": {
        "gate_probe_key": {"kind": "key", "prefix": "sk-", "client_of": "gate"},
        "gate_client_{name}": {"kind": "key", "prefix": "sk-", "each": "gate_clients", "client": True},
    },
}
MODEL = {
    "title": "Model",
    "tier": "compute",
    "order": 30,
    "variables": {"model_version": "3", "model_port": 11434, "model_models": []},
    "images": {"model": {"name": "docker.io/some/model", "version": "model_version"}},
    "api": {"port": 11434, "variable": "model_port"},
    "serves": {"api": "openai", "path": "/v1", "models": "model_models"},
    "data": {"store": {"owner": "1:1"}},
}
PAGE = {
    "title": "Page",
    "tier": "trusted",
    "order": 60,
    "variables": {"page_version": "4", "page_hostname": "page"},
    "images": {"page": {"name": "ghcr.io/some/page", "version": "page_version"}},
    "http": {"port": 8080, "routes": [{"guard": "open"}]},
    "uses": {"gate": {"which": "one"}},
    "secrets": {"page_gate_key": {"kind": "key", "prefix": "sk-", "client_of": "gate"}},
}
NAMES = {
    "title": "Names",
    "tier": "trusted",
    "order": 10,
    "variables": {
        "names_version": "5",
        "names_port": 53,
        "names_open_to": "private",
        "names_records": [],
        "names_forwarders": [],
        "names_resolves_for": [],
    },
    "images": {"names": {"name": "docker.io/some/names", "version": "names_version"}},
    "listens": {
        "dns": {
            "port": "names_port",
            "container_port": 53,
            "protocols": ["udp", "tcp"],
            "open_to": "names_open_to",
        }
    },
    "resolver": {
        "port": "names_port",
        "records": "names_records",
        "forwarders": "names_forwarders",
        "resolves_for": "names_resolves_for",
    },
}
OPTIONS = {
    "gate": {
        "gate_clients": {
            "type": "list",
            "elements": "dict",
            "options": {"name": {"type": "str", "required": True}},
        },
        "gate_hostname": {"type": "str"},
        "gate_version": {"type": "str"},
    },
    "model": {"model_port": {"type": "int"}, "model_models": {"type": "list", "elements": "raw"}},
}


def specs():
    services = {"door": DOOR, "gate": GATE, "model": MODEL, "names": NAMES, "page": PAGE}
    return {name: read(name, f"test.{name}", text, OPTIONS.get(name, {})) for name, text in services.items()}


def host(name, groups, address, stacks, **variables):
    values = {"address": address, "stacks": stacks, "access": "lan", **variables}
    return Host(name, tuple(groups), values, tuple(values))


def two_hosts(**edge_variables):
    models = {"model_models": ["small:1b"]}
    return [
        host("edge", ["trusted"], "10.0.0.1", ["door", "gate", "page"], **models, **edge_variables),
        host("gpu-1", ["compute"], "10.0.0.2", ["model"], **models),
    ]


def resolved(hosts):
    platform = catalogue.resolve(specs(), hosts)
    assert platform.problems == []
    return platform.fleet


def one(fleet, name, on=None):
    return catalogue.instances(fleet, on, name)[0]
