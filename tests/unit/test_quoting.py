"""Text reaches a container unchanged: the filters' output, read back by Compose itself."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.hearth.llm.plugins.module_utils.quoting import compose_string, env_value

TRAPS = [
    *("", " ", "plain", "a b", " lead", "trail ", "a #b", "# c", "a=b", "true"),
    *("$", "$$", "a$b", "${HOME}", "${X:-y}", "$(id)", "a$", "pa$$word#1"),
    *("'", "''", "it's", '"', '""', 'say "x"', "\\'", '\\"'),
    *("\\", "a\\", "\\\\", "a\\\\", "\\n", "\\$x", "\\\\$", "C:\\new\\t"),
    *("a\nb", "\n", "a\r\nb", "\r", "\t", "\x01\x1b\x7f", "`id`", "!x", "%s", "{a: [b]}"),
    *("é", "日本", "😀", "\u2028", "\x85", "\ufeff", "e\u0301", "\ufffe"),
]
PIECES = sorted({piece for trap in TRAPS for piece in (trap, trap[:1]) if piece})


def random_texts(count: int) -> list[str]:
    source = random.Random(20261121)
    return ["".join(source.choices(PIECES, k=source.randint(1, 8))) for number in range(count)]


def compose_binaries() -> list[str]:
    """Every Compose at hand: the environment's, the engine's plugin, and those that HEARTH_COMPOSE names (a:b)."""
    own = Path(sys.executable).parent / "docker-compose"
    plugin = Path("~/.docker/cli-plugins/docker-compose").expanduser()
    found = [*os.environ.get("HEARTH_COMPOSE", "").split(":"), str(own), str(plugin)]
    real = {os.path.realpath(path): path for path in found if path and shutil.which(path)}
    return sorted(real.values())


def read_by_compose(binary: str, folder: Path, texts: list[str]) -> dict[str, dict[str, str]]:
    names = {f"K{number}": text for number, text in enumerate(texts)}
    env = "".join(f"{name}={env_value(text)}\n" for name, text in names.items())
    (folder / ".env.app").write_bytes(env.encode())
    labels = "".join(f"      {name}: {compose_string(text)}\n" for name, text in names.items())
    head = "name: app\nservices:\n  app:\n    image: app\n    env_file: [.env.app]\n    labels:\n"
    (folder / "compose.yaml").write_bytes((head + labels).encode())
    command = [binary, "-f", str(folder / "compose.yaml"), "config", "--format", "json"]
    surroundings = {**os.environ, "X": "from outside", "b": "from outside"}
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]["app"]


@pytest.mark.parametrize("binary", compose_binaries())
def test_compose_reads_every_text_back_as_it_was(binary: str, tmp_path: Path) -> None:
    texts = [*TRAPS, *random_texts(400)]
    found = read_by_compose(binary, tmp_path, texts)
    for place in ("environment", "labels"):
        # `config` doubles each $ again, so that its output could be read as a compose file.
        read = [found[place][f"K{number}"].replace("$$", "$") for number in range(len(texts))]
        assert read == texts


def test_there_is_a_compose_to_ask() -> None:
    assert compose_binaries()


def test_what_needs_no_quotes_gets_none() -> None:
    assert env_value("https://host.example:8443/v1") == "https://host.example:8443/v1"
    assert env_value(4000) == "4000"
    assert env_value(True) == "true"


def test_a_yaml_reader_agrees_about_compose_strings() -> None:
    for text in [*TRAPS, *random_texts(200)]:
        assert yaml.safe_load(compose_string(text)).replace("$$", "$") == text


@pytest.mark.parametrize("quote", [env_value, compose_string])
def test_what_no_environment_can_hold_is_refused_without_showing_it(quote) -> None:
    with pytest.raises(ValueError, match="NUL character") as refusal:
        quote("hunter2\0")
    assert "hunter2" not in str(refusal.value)
    with pytest.raises(ValueError, match="no valid Unicode at character 7") as refusal:
        quote("hunter2\ud800")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("value", [None, [], {}])
def test_only_single_values_are_quoted(value) -> None:
    with pytest.raises(TypeError, match="expected text, a number, true or false"):
        env_value(value)
