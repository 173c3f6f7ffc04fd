"""The newcomer's two commands on this machine: `make up` until a model answers, again without a change, `make down`."""

from __future__ import annotations

import os
import subprocess

import pytest

from .conftest import BIN, ROOT, Run

pytestmark = pytest.mark.docker


def make(*arguments: str) -> Run:
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return Run(done)


def listed(kind: str) -> set[str]:
    """The names of this engine's volumes or networks."""
    command = ["docker", kind, "ls", "--format", "{{.Name}}"]
    return set(subprocess.run(command, text=True, capture_output=True, check=True).stdout.split())


@pytest.fixture(scope="module")
def up():
    """What `make up` said; what it leaves on purpose goes too, unless somebody had it before."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "engine"], cwd=ROOT, check=True)
    made = {"volume": {"openwebui_data", "ollama_models"}, "network": {"frontend"}}
    before = {kind: listed(kind) for kind in made}
    yield make("up")
    make("down")
    for kind, names in made.items():
        ours = (names & listed(kind)) - before[kind]
        if ours:
            subprocess.run(["docker", kind, "rm", *ours], check=True)


def test_make_up_ends_with_a_models_answer(up):
    up.succeeded()
    assert up.lines[-1].startswith("hearth: answered by ")
    assert "https://openai.localhost" in up.lines[-1]


def test_make_up_again_changes_nothing(up):
    again = make("up").succeeded()
    assert again.changed == 0, again.output
    assert again.lines[-1].startswith("hearth: answered by ")


def test_make_ask_prints_an_answer(up):
    asked = make("ask", 'Q=What\'s the "answer" to {{ 1 }} for $5 and $(HOME)?').succeeded()
    assert "hearth: answered by" in asked.output or "msg:" in asked.output


def test_secrets_are_shown_only_when_asked_for(up):
    password = make("show-password").succeeded().lines[-1]
    vault = (ROOT / "inventories" / "local" / "group_vars" / "all" / "vault.yml").read_text()
    assert len(password) >= 16
    assert password not in up.output
    assert password not in vault
    assert "vault_openwebui_admin_password: !vault" in vault


def test_make_down_removes_the_containers_and_keeps_the_data(up):
    before = listed("volume")
    make("down").succeeded()
    names = subprocess.run(
        ["docker", "ps", "-a", "--format", "{{.Names}}"], text=True, capture_output=True, check=True
    )
    assert not {"traefik", "litellm", "open-webui", "ollama"} & set(names.stdout.split())
    assert listed("volume") >= before
    assert any("open" in name for name in before)
