"""A stack that is to run on another host: never without its data."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from ..e2e.conftest import BIN, ROOT
from .colours import Host, drawn
from .conftest import HOST, Long, seeded, version_here

pytestmark = pytest.mark.lab

OTHER = "gpu-1"
KEPT = "/srv/docker/red/kept"


@pytest.fixture(scope="module")
def host(platform: Long, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Two hosts without anything on them."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", OTHER], cwd=ROOT, check=True)
    platform.clear(OTHER)
    platform.play("stop-stacks", "--limit", HOST).succeeded()
    found = Host(platform, tmp_path_factory.mktemp("moves"))
    yield found
    platform.clear(OTHER)
    platform.deploy(*platform.chosen(word="zero")).succeeded()


def test_a_stack_moves_only_together_with_its_data(host: Host) -> None:
    chance, tag = seeded(7), version_here()
    red, blue = ({name: drawn(chance, (tag, tag))} for name in ("red", "blue"))
    host.write({**red, **blue}, {OTHER: {}})
    host.run()
    host.platform.host(f"echo precious > {KEPT}/word")
    before = host.containers()

    host.write(blue, {OTHER: red})
    for arguments in (("--check",), ()):
        run = host.platform.play("deploy-stacks", *arguments)
        said = " ".join(run.output.split())
        assert run.code != 0
        assert f"is new here, and its data are on {HOST}" in said
        assert f"copy {KEPT} from there first" in said
    assert host.containers() == before
    assert "red" not in host.platform.ssh(
        OTHER, "docker ps -a; ls /opt/stacks /srv/docker 2>/dev/null || true"
    )

    # As the refusal says.
    word = host.platform.host(f"cat {KEPT}/word").strip()
    host.platform.ssh(OTHER, f"mkdir -p {KEPT} && echo {word} > {KEPT}/word")
    run = host.platform.play("deploy-stacks").succeeded()
    assert f"data kept in {KEPT}" in run.output
    assert host.platform.ssh(OTHER, "docker exec red cat /kept/word").strip() == "precious"
    assert list(host.containers()) == ["blue"]
    assert host.containers()["blue"] == before["blue"]
    assert host.platform.host(f"cat {KEPT}/word").strip() == "precious"
    assert host.platform.play("deploy-stacks").succeeded().changed == 0
