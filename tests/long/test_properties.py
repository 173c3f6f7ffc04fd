"""For random small inventories and random edits of them: check mode says what the run does, a second run does nothing,
and going back restores every file, byte for byte."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..e2e.conftest import GPU_2, Dumper, Run
from .conftest import HOST, Long, seeded, version_here

pytestmark = pytest.mark.lab

CASES = 20
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

    def write(self, inventory: Inventory) -> None:
        variables = {
            f"{name}_{key}": {name: value} if key == "resources" else value
            for name, values in inventory.items()
            for key, value in values.items()
        }
        host = {
            "ansible_host": GPU_2,
            "stacks": list(inventory),
            "service_folders": [str(self.roles)],
            **variables,
        }
        text = yaml.dump({"compute": {"hosts": {HOST: host}}}, Dumper=Dumper)
        (self.folder / "hosts.yml").write_text(text)

    def run(self, *arguments: str) -> Run:
        plain = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
        return self.platform.play("deploy-stacks", *arguments, environment=plain).succeeded()

    def files(self) -> dict[str, str]:
        """Path → mode, owner and hash of every file below the stacks' directory."""
        listed = self.platform.host(
            "cd /opt/stacks; find . -type f -printf '%p %m %U:%G ' -exec sha256sum {} ';' | sort"
        )
        return {line.split(" ")[0]: line for line in listed.splitlines()}

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
    """The services that a run changed, or would change."""
    found, task = set(), ""
    for line in run.lines:
        if line.startswith("TASK ["):
            task = line
        elif line.startswith("changed: "):
            item = re.search(r"\(item=(\w+)\)", line)
            role = re.search(r"/roles/(\w+) : ", task)
            assert item or role, f"{task}: {line}"
            found.add((item or role).group(1))  # type: ignore[union-attr]
    return found


@pytest.fixture(scope="module")
def tags(platform: Long) -> tuple[str, str]:
    """Two tags of two images that differ."""
    one, two = version_here(), "other"
    image = platform.host(
        "docker image ls --format '{{.Repository}}' | grep 'ollama/ollama$' | head -1"
    ).strip()
    platform.host(
        f"docker rm -f other 2>/dev/null; docker create --name other {image}:{one} && "
        f"docker commit --change 'LABEL which=other' other {image}:{two} && docker rm other"
    )
    return one, two


@pytest.fixture(scope="module")
def host(platform: Long, tmp_path_factory: pytest.TempPathFactory) -> Any:
    platform.play("stop-stacks", "--limit", HOST).succeeded()
    found = Host(platform, tmp_path_factory.mktemp("property"))
    yield found
    # Back to what the other tests of this session stand on.
    platform.deploy(*platform.chosen(word="zero")).succeeded()


@pytest.mark.parametrize("number", range(CASES))
def test_check_mode_is_right_a_second_run_is_quiet_and_back_is_back(host, tags, number):
    chance = seeded(20260, number)
    inventory = {name: drawn(chance, tags) for name in chance.sample(NAMES, chance.randint(1, 3))}
    other = edited(inventory, chance, tags)
    said = f"{json.dumps(inventory)} to {json.dumps(other)}"
    print(said)
    host.write(inventory)
    host.run()
    files = host.files()
    if chance.random() < 0.4:
        print("by hand:", host.drift(chance, inventory))
        if chance.random() < 0.5:  # without an edit only what was done by hand is mended
            predict_and_run(host, inventory, said)
            assert host.files() == files, said
    predict_and_run(host, other, said)
    predict_and_run(host, inventory, said)
    assert host.files() == files, said


def predict_and_run(host: Host, inventory: Inventory, said: str) -> None:
    host.write(inventory)
    before = host.files()
    predicted = changed(host.run("--check", "--diff"))
    assert host.files() == before, f"check mode changed something; {said}"
    assert changed(host.run()) == predicted, said
    again = host.run()
    assert changed(again) == set(), f"{said}\n{again.output}"
