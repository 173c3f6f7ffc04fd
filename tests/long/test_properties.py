"""For random small inventories and random edits of them: check mode says what the run does, a second run does nothing,
and going back restores every file, byte for byte."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from ..e2e.conftest import BIN, ROOT
from .colours import NAMES, Host, drawn, edited, predict_and_run
from .conftest import HOST, Long, seeded, version_here

pytestmark = pytest.mark.lab

CASES = 20


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


def test_check_mode_is_right_about_a_host_that_has_nothing_yet(host, tags):
    lab = [BIN / "python", "-m", "tests.lab"]
    subprocess.run([*lab, "down", HOST, "--keep-images"], cwd=ROOT, check=True)
    subprocess.run([*lab, "up", HOST], cwd=ROOT, check=True)
    chance = seeded(20261)
    inventory = {name: drawn(chance, tags) for name in NAMES}
    touched = predict_and_run(host, inventory, json.dumps(inventory))
    assert touched == {*NAMES, "host"}
