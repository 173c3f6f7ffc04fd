"""The look inside containers of this machine that were given more or less, as an LXC host would be."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import container_host, packet_filter

from . import engine, hosts, table
from .paths import HERE

pytestmark = pytest.mark.lab
MODULES = HERE.parents[1] / "plugins" / "module_utils"
LOOK = (
    "import json; from hearth import _container, _nft; "
    "print(json.dumps({'container': _container.look(), 'filter': _nft.look(True)}))"
)


def look(*flags: str) -> dict[str, Any]:
    image = table.images()["host"].reference
    if not engine.answers() or not engine.client().images.list(name=image):
        pytest.skip("the image of the lab's hosts is not built")
    command = ["docker", "run", "--rm", "-v", f"{MODULES}:/look/hearth:ro", "-e", "PYTHONPATH=/look", *flags]
    done = subprocess.run(
        [*command, image, "python3", "-c", LOOK], capture_output=True, text=True, check=True
    )
    return {**json.loads(done.stdout), "system": {"uid": 0, "systemd": True}}


def named(found: dict[str, Any]) -> set[str]:
    return {problem.variable for problem in container_host.problems("edge", found["container"])}


def test_a_container_as_the_labs_hosts_are_is_fine() -> None:
    found = look(*hosts.FLAGS)
    assert named(found) == set()
    assert packet_filter.problems("edge", "rules", found) == []


def test_without_the_right_to_its_own_network_neither_docker_nor_the_filter_works() -> None:
    found = look(*hosts.FLAGS, "--cap-drop", "NET_ADMIN")
    assert named(found) == {"container (docker): CAP_NET_ADMIN"}
    [problem] = packet_filter.problems("edge", "rules", found)
    assert "Operation not permitted" in problem.expected
    assert "CAP_NET_ADMIN" in problem.remedy


def test_a_container_that_was_given_nothing_is_told_everything() -> None:
    # Control groups are the machine's, of either version.
    assert named(look()) >= {f"container (docker): {what}" for what in ("nesting", "keyctl", "CAP_NET_ADMIN")}
