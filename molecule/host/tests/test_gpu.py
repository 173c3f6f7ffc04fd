"""A card that Ollama asks for reaches a container through the real engine; the toolkit and the driver are stand-ins."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

CARD = "GPU-5c3f1d7a-0f0e-4c1f-9a55-2f1f3a6f0b11"
TOLD = "/var/tmp/hook-was-told.json"


def run(host: Host, *arguments: str) -> str:
    """What a shell in a container of some image of this host prints."""
    image = host.check_output("docker image ls --format '{{.ID}}' --filter reference='*/*/ollama' | head -1")
    if not image:
        pytest.skip("the lab's images are not on this host")
    script = "echo $NVIDIA_VISIBLE_DEVICES"
    return host.check_output(f"docker run --rm --entrypoint sh {' '.join(arguments)} {image} -c '{script}'")


def test_the_runtime_is_named_beside_what_was_there_and_is_not_the_default(host: Host) -> None:
    options = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert options["runtimes"] == {"nvidia": {"path": "nvidia-container-runtime", "args": []}}
    assert options["log-opts"] == {"max-size": "10m", "max-file": "3"}
    assert "nvidia" in json.loads(host.check_output("docker info --format '{{json .Runtimes}}'"))
    assert host.check_output("docker info --format '{{.DefaultRuntime}}'") == "runc"


def test_the_engine_was_started_after_the_toolkit_came(host: Host) -> None:
    hook = host.file("/usr/bin/nvidia-container-runtime-hook").mtime.timestamp()
    since = host.check_output('date -d "$(systemctl show -p ActiveEnterTimestamp --value docker)" +%s')
    assert int(since) >= int(hook)


def test_a_container_that_asks_for_the_card_gets_it_by_its_uuid(host: Host) -> None:
    assert run(host, "--gpus", f"device={CARD}") == CARD
    told = json.loads(host.file(TOLD).content_string)
    assert told["pid"] > 0, "the engine did not call the hook"


def test_a_container_that_asks_for_none_gets_none(host: Host) -> None:
    host.check_output(f"rm -f {TOLD}")
    run(host, "--env", "NVIDIA_VISIBLE_DEVICES=void")
    assert not host.file(TOLD).exists


def test_inside_a_container_host_control_groups_are_left_to_the_machine_outside(host: Host) -> None:
    text = host.file("/etc/nvidia-container-runtime/config.toml").content_string
    outside = host.run("systemd-detect-virt --container").stdout.strip() == "none"
    assert ("\nno-cgroups = true" in text) is not outside
