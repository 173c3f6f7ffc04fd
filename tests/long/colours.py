"""Three small services of an operator's own, drawn at random and edited at random, on one lab host."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import yaml

from ..e2e.conftest import Dumper, Run
from ..lab import table
from .conftest import HOST, Long

NAMES = ("red", "green", "blue")
TEXTS = (
    "",
    "plain\n",
    "with $dollar and # hash\n",
    "a 'quote' and \"another\"\n",
    "{% raw %}{{ x }}\n{% endraw %}é漢",
)
ROLE = {
    "service.yml": """\
title: {name}
tier: compute
order: 40
variables:
  {name}_version: ""
  {name}_text: ""
  {name}_live: ""
  {name}_secret: ""
  {name}_word: a
  {name}_oneshot: false
images: {{{name}: {{name: docker.io/ollama/ollama, version: {name}_version}}}}
resources: {{{name}: {{cpus: 0.5, memory: 64m, reserve_cpus: 0.05, reserve_memory: 16m}}}}
data: {{kept: {{owner: "0:0"}}}}
health: {{deadline: 30}}
reload: {{paths: [config/live/]}}
""",
    "tasks/main.yml": "- name: Deploy the stack\n  hearth.llm.stack:\n    name: {name}\n",
    "templates/env.{name}.j2": "WORD={{{{ {name}_word | hearth.llm.env_value }}}}\n",
    "templates/config/text.j2": "{{{{ {name}_text }}}}",
    "templates/config/live/text.j2": "{{{{ {name}_live }}}}",
    "templates/secrets/key.j2": "{{{{ {name}_secret }}}}",
    "templates/compose.yaml.j2": """\
{{% import 'stack.j2' as stack %}}
name: {name}
services:
  {name}:
    container_name: {name}
    image: {{{{ service.images.{name} }}}}
    entrypoint: [sleep, infinity]
    init: true
    stop_grace_period: 1s
    env_file: .env.{name}
    labels: {{hearth.config: "{{{{ service.config_hash }}}}"}}
    volumes: ["./config:/config:ro", "{{{{ service.mounts.kept }}}}:/kept"]
    healthcheck: {{test: [CMD, "true"], interval: 300ms}}
{{{{ stack.defaults(service, '{name}') }}}}
{{% if {name}_oneshot %}}
  once:
    image: {{{{ service.images.{name} }}}}
    entrypoint: ["true"]
{{% endif %}}
""",
}

Inventory = dict[str, dict[str, Any]]


def drawn(chance: random.Random, tags: tuple[str, str]) -> dict[str, Any]:
    """One service's variables."""
    return {
        "version": chance.choice(tags),
        "text": chance.choice(TEXTS),
        "live": chance.choice(TEXTS),
        "secret": chance.choice(("", f"key-{chance.randrange(1000)}")),
        "word": chance.choice(("a", "b $c", "#d", "")),
        "oneshot": chance.random() < 0.2,
        "resources": {"memory": chance.choice(("48m", "64m"))},
    }


def edited(inventory: Inventory, chance: random.Random, tags: tuple[str, str]) -> Inventory:
    """One to three edits: a variable's value, a service more or less, another order."""
    found = {name: dict(values) for name, values in inventory.items()}
    for _edit in range(chance.randint(1, 3)):
        kind = chance.choice(("value", "value", "value", "service", "order"))
        name = chance.choice(NAMES)
        if kind == "order":
            found = dict(chance.sample(sorted(found.items()), len(found)))
        elif kind == "service" and name in found and len(found) > 1:
            del found[name]
        elif name not in found:
            found[name] = drawn(chance, tags)
        else:
            key = chance.choice(sorted(found[name]))
            found[name][key] = drawn(chance, tags)[key]
    return found


class Host:
    """The one host with these services, and its inventory's file."""

    def __init__(self, platform: Long, folder: Path) -> None:
        self.folder = folder / "inventory"
        self.roles = folder / "roles"
        self.folder.mkdir()
        (self.folder / "group_vars").symlink_to(platform.inventory / "group_vars")
        self.platform = Long(self.folder)
        for name in NAMES:
            for path, text in ROLE.items():
                file = self.roles / name / path.format(name=name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text.format(name=name))

    def write(self, inventory: Inventory, elsewhere: dict[str, Inventory] | None = None) -> None:
        """The services of this host, and those of other hosts of the lab."""
        chosen = {HOST: inventory, **(elsewhere or {})}
        groups = {"compute": {"hosts": {name: self._variables(name, chosen[name]) for name in chosen}}}
        (self.folder / "hosts.yml").write_text(yaml.dump(groups, Dumper=Dumper))

    def _variables(self, host: str, inventory: Inventory) -> dict[str, Any]:
        variables = {
            f"{name}_{key}": {name: value} if key == "resources" else value
            for name, values in inventory.items()
            for key, value in values.items()
        }
        return {
            "ansible_host": table.hosts()[host].address,
            "stacks": list(inventory),
            "service_folders": [str(self.roles)],
            **variables,
        }

    def run(self, *arguments: str) -> Run:
        plain = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
        return self.platform.play("deploy-stacks", *arguments, environment=plain).succeeded()

    def files(self) -> dict[str, str]:
        """Path → mode, owner and hash of every file below the stacks' directory."""
        listed = self.platform.host(
            "cd /opt/stacks; find . -type f -printf '%p %m %U:%G ' -exec sha256sum {} ';' | sort"
        )
        return {line.split(" ")[0]: line for line in listed.splitlines()}

    def everything(self) -> set[str]:
        """Each file and directory that Hearth could have touched, with what would tell that it did."""
        places = "/etc /opt /srv /usr/local /var/lib/hearth"
        listed = self.platform.host(
            f"find {places} -xdev -printf '%p %m %U:%G %s %T@ %l\\n' 2>/dev/null;"
            " nft -s list ruleset; command -v docker >/dev/null || exit 0;"
            " docker ps -a --no-trunc --format '{{.ID}} {{.Names}}'; docker network ls -q --no-trunc;"
            " docker volume ls -q; docker image ls -aq --no-trunc"
        )
        return set(listed.splitlines())

    def containers(self) -> dict[str, list[str]]:
        """Service → its containers, each with the moment of its last start."""
        listed = self.platform.host(
            "docker ps -aq | xargs -r docker inspect --format"
            " '{{index .Config.Labels \"com.docker.compose.project\"}} {{.Id}} {{.State.StartedAt}}'"
        )
        found: dict[str, list[str]] = {}
        for line in sorted(listed.splitlines()):
            found.setdefault(line.split()[0], []).append(line)
        return found

    def drift(self, chance: random.Random, inventory: Inventory) -> str:
        """Something that a person does by hand."""
        name = chance.choice(sorted(inventory))
        command = chance.choice(
            (
                "docker stop -t 0 {name}",
                "docker rm -f {name}",
                "docker restart -t 0 {name}",
                "echo '# by hand' >> /opt/stacks/{name}/compose.yaml",
                "chmod 0666 /opt/stacks/{name}/.env.{name}",
                "chown 7:7 /opt/stacks/{name}/.env.{name}",
                "rm /opt/stacks/{name}/compose.yaml",
                "mkdir -p /opt/stacks/{name}/config && echo stray > /opt/stacks/{name}/config/stray",
            )
        ).format(name=name)
        self.platform.host(command)
        return command


def changed(run: Run) -> set[str]:
    """The services that a run changed, or would change; `host` for what a host needs before any of them."""
    found, task = set(), ""
    for line in run.lines:
        if line.startswith("TASK ["):
            task = line
        elif line.startswith("changed: "):
            item = re.search(r"\(item=(\w+)\)", line)
            role = re.search(r"(?:/roles/|hearth\.llm\.)(\w+) : ", task)
            assert item or role, f"{task}: {line}"
            found.add((role or item).group(1))  # type: ignore[union-attr]
    return found


def predict_and_run(host: Host, inventory: Inventory, said: str) -> set[str]:
    """Deploy as predicted and no more; returns what changed."""
    host.write(inventory)
    before = host.everything()
    check = host.run("--check", "--diff")
    predicted = changed(check)
    assert not host.everything() ^ before, f"check mode changed something; {said}"
    for values in inventory.values():
        assert not values["secret"] or values["secret"] not in check.output, said
    stood = host.containers()
    assert changed(host.run()) == predicted, said
    stands = host.containers()
    for name in set(stood) - predicted:
        assert stands.get(name) == stood[name], f"{name} was touched; {said}"
    again = host.run()
    assert changed(again) == set(), f"{said}\n{again.output}"
    return predicted
