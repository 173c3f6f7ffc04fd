# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue's eyes and memory during one run of Ansible on the controller.

Reads service.yml and argument_specs from disk and variables from the inventory, resolves the platform once, and keeps
it as JSON in the run's own temporary directory: workers are forks, so nothing in memory outlives a task. That
directory is 0700 and Ansible removes it at the end. No secret's value is written there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible.errors import AnsibleError

from ..module_utils import catalogue
from ..module_utils.inventory import Host
from ..module_utils.platform import OPTIONS
from ..module_utils.service_file import SpecError, read
from ..module_utils.service_spec import ServiceSpec

COLLECTION = "hearth.llm"
ROOT = Path(__file__).resolve().parents[2]
_ANSIBLES_OWN = frozenset(
    ("groups", "group_names", "hostvars", "inventory_dir", "inventory_file", "inventory_hostname")
    + ("inventory_hostname_short", "playbook_dir", "omit", "environment", "role_names", "play_hosts", "vars")
    + (
        "ansible_run_tags",
        "ansible_skip_tags",
        "role_name",
        "role_path",
        "item",
        "discovered_interpreter_python",
    )
)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_specs(folders: list[Path]) -> dict[str, ServiceSpec]:
    """Every service of the collection, then those of the operator's own folders; one name twice is an error."""
    specs: dict[str, ServiceSpec] = {}
    for folder in [ROOT / "roles", *folders]:
        if not folder.is_dir():
            raise AnsibleError(
                f"service_folders: {folder} is not a directory; a relative one is looked for beside the inventory"
            )
        for file in sorted(folder.glob("*/service.yml")):
            name = file.parent.name
            if name in specs:
                raise AnsibleError(f"The service {name} is in {file.parent} and in {specs[name].role}")
            role = f"{COLLECTION}.{name}" if folder == ROOT / "roles" else str(file.parent)
            try:
                specs[name] = read(name, role, _yaml(file), _options(file.parent))
            except (SpecError, yaml.YAMLError) as error:
                raise AnsibleError(f"{file}: {error}") from error
    return specs


def role_folder(role: str) -> Path:
    """Where the files of a service's role are: of the collection's own by name, of the operator's by path."""
    name = role.removeprefix(f"{COLLECTION}.")
    return Path(role) if name == role else ROOT / "roles" / name


def role_program(role: str, name: str) -> str:
    """The text of a program in the files/ of a service's role."""
    file = role_folder(role) / "files" / name
    if not file.is_file():
        raise AnsibleError(f"{file}: there is no such program")
    return file.read_text(encoding="utf-8")


def _options(role: Path) -> dict[str, Any]:
    file = role / "meta" / "argument_specs.yml"
    return _yaml(file)["argument_specs"]["main"].get("options", {}) if file.is_file() else {}


def _yaml(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader) or {}


def read_hosts(task_vars: Mapping[str, Any], specs: Mapping[str, ServiceSpec]) -> list[Host]:
    """All hosts of the inventory, whatever the limit, with the variables that concern Hearth, templated."""
    hostvars = task_vars["hostvars"]
    prefixes = tuple(f"{name}_" for name in specs)
    wanted = {*OPTIONS, "ansible_host", "ansible_connection"}
    wanted.update(option for spec in specs.values() for option in spec.options)
    wanted.update(variable for spec in specs.values() for variable in spec.variables)
    hosts = []
    for name in task_vars["groups"]["all"]:
        variables: dict[str, Any] = {}
        broken: dict[str, str] = {}
        found = hostvars[name]  # one look-up a host: each costs Ansible a merge of all its variables
        names = [key for key in found if not _is_ansibles(key)]
        for key in {*names, "ansible_host", "ansible_connection"}:
            if key in found and (key in wanted or key.startswith((*prefixes, "vault_"))):
                try:
                    variables[key] = _plain(found[key])
                except Exception as error:  # whatever a template raises is the operator's to see
                    broken[key] = str(error).split("\n", 1)[0]
        groups = tuple(group for group, members in task_vars["groups"].items() if name in members)
        hosts.append(Host(name, groups, variables, tuple(sorted(names)), broken))
    return hosts


def _is_ansibles(name: str) -> bool:
    return name in _ANSIBLES_OWN or name.startswith(("ansible_", "hearth_", "molecule_"))


def _plain(value: Any) -> Any:
    """A templated value without Ansible's lazy containers and tags."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return value


def own_folders(task_vars: Mapping[str, Any]) -> list[Path]:
    """The operator's service folders, whichever host names them; relative ones beside the inventory."""
    base = Path(task_vars.get("inventory_dir") or ".")
    named = (task_vars["hostvars"][host].get("service_folders") or [] for host in task_vars["groups"]["all"])
    return list(dict.fromkeys((base / folder).resolve() for folders in named for folder in folders))


def resolve(task_vars: Mapping[str, Any]) -> tuple[catalogue.Platform, list[Host]]:
    """Look at the whole inventory and resolve the platform."""
    specs = load_specs(own_folders(task_vars))
    hosts = read_hosts(task_vars, specs)
    return catalogue.resolve(specs, hosts), hosts


def keep(name: str, value: Any) -> None:
    """Keep plain data for the rest of this run, whole or not at all."""
    path = _kept(name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps(value, default=str), encoding="utf-8")
    half.replace(path)


def kept(name: str) -> Any:
    """What `keep` kept under this name during this run, or None."""
    path = _kept(name)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def kept_all(folder: str) -> Iterator[Any]:
    """Everything kept under `folder/…`, in the order of names."""
    directory = _kept(folder).with_suffix("")
    for path in sorted(directory.glob("*.json")) if directory.is_dir() else ():
        yield json.loads(path.read_text(encoding="utf-8"))


def _kept(name: str) -> Path:
    return Path(C.DEFAULT_LOCAL_TMP) / "hearth" / f"{name}.json"


def fleet(task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The fleet of this run: from memory, or resolved now where a role is used without the validating playbook."""
    found = kept("fleet")
    if found is None:
        found = resolve(task_vars)[0].fleet
        keep("fleet", found)
    return found
