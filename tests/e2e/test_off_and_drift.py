"""A stack out of the inventory stops and keeps its data; data is deleted by name; verify tells what differs."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.lab
CHAT = "https://chat.hearth.lan"
DATA = "/srv/docker/openwebui"
MARK = f"{DATA}/data/uploads/mark"


@pytest.fixture
def without_chat(platform, inventory_with):
    """The lab's inventory without Open WebUI; afterwards it is deployed again."""

    def leave_out(hosts):
        stacks = hosts["trusted"]["hosts"]["edge"]["stacks"]
        stacks.remove("openwebui")

    yield inventory_with(leave_out)
    platform.deploy().succeeded()


@pytest.fixture
def mended(platform):
    """Whatever a test did to the hosts by hand is put right again."""
    yield
    platform.deploy().succeeded()


def said(run) -> str:
    """A run's output with its columns one blank apart."""
    return " ".join(run.output.split())


def touched(run) -> set[str]:
    """The services that a run changed or stopped, or would."""
    words = ("changed", "would change", "new", "would be new", "stopped", "would stop")
    cells = [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in run.lines]
    return {f"{row[1]} on {row[0]}" for row in cells if len(row) >= 3 and row[2] in words}


def test_a_stack_out_of_the_inventory_is_stopped_and_keeps_its_data(platform, without_chat, http):
    platform.ssh("edge", f"mkdir -p {DATA}/data/uploads; echo kept > {MARK}")
    platform.ssh(
        "edge",
        "docker run -d --name stranger --entrypoint sleep $(docker inspect -f {{.Image}} traefik) 9999",
    )
    try:
        before = platform.containers("edge")
        check = platform.deploy("--check", inventory=without_chat).succeeded()
        assert "openwebui on edge" in touched(check)
        assert platform.containers("edge") == before
        run = platform.deploy(inventory=without_chat).succeeded()
        assert touched(check) == touched(run)
        # Its key, its record, its name in the certificate, its place at the sign-on; and itself.
        others = ("litellm", "bind9", "traefik", "authentik")
        assert touched(run) == {f"{name} on edge" for name in (*others, "openwebui")}
        after = platform.containers("edge")
        assert {after[name] for name in ("bind9", "traefik", "authentik-server")} <= set(before.values())
        assert f"edge openwebui stopped data kept in {DATA}/data" in said(run)
        assert run.lines[-1].startswith("hearth: answered by tiny")
        after = platform.containers("edge")
        assert "open-webui" not in after
        assert after["stranger"] == before["stranger"]
        assert http(f"{CHAT}/")[0] == 404
        assert platform.ssh("edge", "ls -d /opt/stacks/openwebui || true") == ""
        assert platform.ssh("edge", f"cat {MARK}").strip() == "kept"
        assert platform.deploy(inventory=without_chat).succeeded().changed == 0
    finally:
        platform.ssh("edge", "docker rm -f stranger")
    platform.deploy().succeeded()
    assert platform.ssh("edge", f"cat {MARK}").strip() == "kept"
    assert "Open WebUI" in platform.ssh("edge", f"curl -fsSk --resolve chat.hearth.lan:443:127.0.0.1 {CHAT}/")


def test_a_limited_run_stops_what_it_covers_and_says_what_it_left(platform, without_chat):
    run = platform.deploy("--tags", "litellm", inventory=without_chat).succeeded()
    assert touched(run) == {"litellm on edge"}
    assert "openwebui is no longer in its stacks and was not stopped" in run.output
    assert "open-webui" in platform.containers("edge")
    run = platform.deploy("--limit", "edge", "--tags", "openwebui", inventory=without_chat).succeeded()
    assert touched(run) == {"openwebui on edge"}
    assert "open-webui" not in platform.containers("edge")
    run = platform.deploy("--tags", "openwebui", inventory=without_chat)
    assert run.code != 0
    assert "nothing of it runs" in said(run)


def test_a_run_that_fails_anywhere_stops_nothing_and_the_next_needs_no_folder(
    platform, inventory_with, own_service
):
    def add(hosts):
        gpu_1 = hosts["compute"]["hosts"]["gpu-1"]
        gpu_1["stacks"] = [*gpu_1["stacks"], "echo"]
        gpu_1["service_folders"] = [str(own_service.folder)]
        gpu_1["vault_echo_word"] = own_service.word

    # Of an image that this host has.
    image = platform.ssh("gpu-1", "docker inspect ollama --format '{{.Config.Image}}'").strip()
    description = own_service.folder / "echo" / "service.yml"
    text = description.read_text().replace("docker.io/library/traefik", "docker.io/ollama/ollama")
    description.write_text(re.sub(r"echo_version: [^}]+", f"echo_version: {image.rpartition(':')[2]}", text))
    platform.deploy("--tags", "echo", inventory=inventory_with(add)).succeeded()
    before = platform.containers("gpu-1")
    assert "echo" in before
    run = platform.deploy("-e", "litellm_version=nowhere")
    assert run.code != 0
    assert "gpu-1: echo is no longer in its stacks and was not stopped" in said(run)
    assert platform.containers("gpu-1") == before
    run = platform.deploy().succeeded()
    assert touched(run) == {"echo on gpu-1"}
    assert "its data stays; where, only its service.yml tells" in run.output
    assert platform.containers("gpu-1") == {name: before[name] for name in before if name != "echo"}


def test_data_is_deleted_only_by_name_and_only_of_what_no_host_lists(platform, without_chat):
    def remove(*arguments, inventory=without_chat):
        return platform.play("remove-stack", "-e", "service=openwebui", *arguments, inventory=inventory)

    confirmed = ("-e", "confirm=openwebui")
    still_there = f"test -f {DATA}/data/webui.db"
    refused = remove(*confirmed, inventory=platform.inventory)
    assert refused.code != 0
    assert "is still listed" in refused.output
    refused = remove(*confirmed)
    assert refused.code != 0
    assert "still deployed here" in refused.output
    platform.ssh("edge", still_there)
    platform.deploy(inventory=without_chat).succeeded()
    refused = remove()
    assert refused.code != 0
    assert "-e service=openwebui -e confirm=openwebui" in refused.output
    assert remove("-e", "confirm=open-webui").code != 0
    listed = remove("--check").succeeded()
    assert f"directory {DATA}/data would be deleted, " in listed.output
    platform.ssh("edge", still_there)
    neighbours = "find /srv/docker/traefik | sort | sha256sum"
    before = platform.ssh("edge", neighbours)
    done = remove(*confirmed).succeeded()
    assert f"directory {DATA}/data deleted, " in done.output
    assert platform.ssh("edge", f"ls -d {DATA} || true") == ""
    assert platform.ssh("edge", neighbours) == before
    again = remove(*confirmed).succeeded()
    assert again.changed == 0
    assert "has no data here" in again.output


def test_data_of_a_name_without_a_service_is_an_error(platform):
    run = platform.play("remove-stack", "-e", "service=openwebuy", "-e", "confirm=openwebuy")
    assert run.code != 0
    assert "did you mean openwebui?" in run.output


def test_verify_is_silent_about_a_platform_that_is_as_it_should_be(platform):
    before = platform.containers("edge")
    run = platform.play("verify").succeeded()
    assert "8 stacks compared, none differs" in run.output
    assert run.changed == 0
    assert run.lines[-1].startswith("hearth: answered by tiny")
    assert platform.containers("edge") == before


def test_verify_tells_what_was_changed_by_hand_and_mends_nothing(platform, mended):
    platform.ssh("edge", "echo '# by hand' >> /opt/stacks/traefik/compose.yaml")
    platform.ssh("edge", "docker stop open-webui")
    platform.ssh(
        "edge", "docker rm -f litellm && cd /opt/stacks/litellm && docker compose up -d --no-deps litellm"
    )
    platform.ssh("gpu-1", "docker exec ollama ollama rm tiny")
    before = platform.containers("edge")
    run = platform.play("verify")
    assert run.code != 0
    for words in (
        "edge litellm differs container litellm was replaced by hand",
        "edge openwebui differs container open-webui is exited",
        "edge traefik differs compose.yaml changed",
        "gpu-1 ollama differs model tiny missing",
        "playbooks/deploy-stacks.yml --limit edge,gpu-1",
    ):
        assert words in said(run)
    assert platform.containers("edge") == before
    assert "by hand" in platform.ssh("edge", "tail -1 /opt/stacks/traefik/compose.yaml")
    platform.deploy("--limit", "edge,gpu-1").succeeded()
    assert "none differs" in platform.play("verify").succeeded().output


def test_verify_tells_what_left_the_inventory_and_what_is_new_in_it(platform, without_chat):
    run = platform.play("verify", inventory=without_chat)
    assert run.code != 0
    assert "edge openwebui differs is no longer in its stacks and runs" in said(run)
    platform.deploy(inventory=without_chat).succeeded()
    run = platform.play("verify", "--limit", "edge")
    assert run.code != 0
    assert "edge openwebui differs is not deployed" in said(run)
