"""Only a role that is the one task of deploying its stack may be left out where nothing differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible_collections.hearth.llm.plugins.plugin_utils import platform_run, roles

TASK = {"name": "Deploy it", "hearth.llm.stack": {"name": "svc"}}


def role(folder: Path, tasks: object = None, **files: str) -> Path:
    made = folder / "svc"
    (made / "tasks").mkdir(parents=True)
    (made / "tasks" / "main.yml").write_text(yaml.safe_dump([TASK] if tasks is None else tasks))
    for name, text in files.items():
        place = made / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_suffix(".yml").write_text(text)
    return made


def test_one_task_that_deploys_is_all_there_is(tmp_path):
    assert roles.only_deploys(role(tmp_path, defaults__main="svc_level: info"), "svc")


@pytest.mark.parametrize(
    "tasks",
    [
        [],
        {},
        ["text"],
        [TASK, {"name": "More", "ansible.builtin.debug": {}}],
        [{**TASK, "when": "something"}],
        [{**TASK, "vars": {"svc_level": "debug"}}],
        [{"hearth.llm.stack": {"name": "svc", "state": "absent"}}],
        [{"hearth.llm.stack": {"name": "other"}}],
        [{"ansible.builtin.include_tasks": "more.yml"}],
    ],
)
def test_whatever_else_a_role_does_it_is_entered_for(tmp_path, tasks):
    assert not roles.only_deploys(role(tmp_path, tasks), "svc")


@pytest.mark.parametrize("file", ["vars__main", "meta__main", "defaults__main__more"])
def test_what_only_ansible_resolves_is_left_to_it(tmp_path, file):
    assert not roles.only_deploys(role(tmp_path, **{file: "a: 1"}), "svc")


def test_a_folder_without_tasks_is_entered(tmp_path):
    assert not roles.only_deploys(tmp_path, "svc")


def test_defaults_are_templates_as_in_the_role(tmp_path):
    found = roles.defaults(DataLoader(), role(tmp_path, defaults__main="svc_level: '{{ other }}'"))
    assert found == {"svc_level": "{{ other }}"}
    assert roles.defaults(DataLoader(), tmp_path) == {}


def test_the_collections_own_roles_are_told_apart():
    """Ollama's role sees to its models besides, Traefik's to certificates."""
    specs = platform_run.load_specs([])
    alone = {
        name for name, spec in specs.items() if roles.only_deploys(platform_run.role_folder(spec.role), name)
    }
    assert {"litellm", "openwebui", "qdrant", "rustpad", "bind9", "authentik"} <= alone
    assert not alone & {"ollama", "traefik"}
