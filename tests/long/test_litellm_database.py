"""LiteLLM with PostgreSQL and Valkey: all but LiteLLM's own database client, whose engine the lab's image lacks.

Upstream's image brings it; one built from the package would download it. So here LiteLLM ends at its start, and the
deploy is undone. Until then PostgreSQL and Valkey run as they would, and LiteLLM's own code reads the settings.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..e2e.conftest import ROOT, Run
from .gateway import Solo

pytestmark = pytest.mark.lab

ROLE = ROOT / "roles" / "litellm"
WANTED = {"litellm_database": True, "litellm_valkey": True, "litellm_spend_days": 30}
SETTINGS = Path(__file__).with_name("litellm_settings.py")
ENVIRONMENT = ("DATABASE_URL", "LITELLM_SALT_KEY", "LITELLM_MIGRATION_DIR")
STACK = "/opt/stacks/litellm"
STATES = "docker inspect litellm-database litellm-valkey --format '{{.State.Health.Status}}'"


class Attempt:
    """A deploy with the database, and what can be seen while it lasts."""

    def __init__(self, solo: Solo) -> None:
        self.solo = solo
        self.run: Run | None = None
        self._thread = threading.Thread(target=self._deploy)

    def __enter__(self) -> Attempt:
        self._thread.start()
        until = time.monotonic() + 150
        while self.solo.host(f"{STATES} 2>/dev/null || true").split() != ["healthy", "healthy"]:
            assert time.monotonic() < until, self.solo.host("docker ps --all")
            time.sleep(1)
        return self

    def __exit__(self, *_problem: object) -> None:
        self._thread.join()

    def _deploy(self) -> None:
        self.run = self.solo.deploy("--tags", "litellm")

    def sql(self, text: str) -> str:
        return self.solo.host(
            f"docker exec litellm-database psql -U litellm -d litellm -qAtc '{text}'"
        ).strip()

    def program(self, name: str, *lines: str) -> int:
        """The status of one of the role's programs in PostgreSQL's container, with these lines on its input."""
        done = self.solo.host(
            f"cat > /root/{name} <<'PROGRAM'\n{(ROLE / 'files' / name).read_text()}\nPROGRAM\n"
            f"docker exec -i litellm-database tee /tmp/{name} < /root/{name} > /dev/null;"
            f" printf '%s\\n' {' '.join(lines)} | docker exec -i litellm-database sh /tmp/{name}"
            " > /dev/null 2>&1; echo $?"
        )
        return int(done)

    def settings(self, *more: str) -> dict[str, Any]:
        """What LiteLLM's own code makes of the configuration and of the names of environment variables."""
        image = self.solo.host(
            "docker ps --all --filter label=com.docker.compose.project=litellm"
            " --filter label=com.docker.compose.service=litellm --format '{{.Image}}' | head -n 1"
        ).strip()
        said = self.solo.host(
            f"cat > /root/settings.py <<'PROGRAM'\n{SETTINGS.read_text()}\nPROGRAM\n"
            f"docker run --rm --env-file {STACK}/.env.litellm -v {STACK}/config:/app/config:ro"
            f" -v /root/settings.py:/settings.py:ro --entrypoint python3 {image} /settings.py"
            f" /app/config/config.yaml {' '.join((*ENVIRONMENT, *more))} 2>/dev/null"
        )
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found


@pytest.fixture(scope="module")
def seen(solo: Solo) -> Iterator[dict[str, Any]]:
    """Everything that was seen while the deploy lasted, and how it ended."""
    solo.write(**WANTED)
    solo.play("secrets").succeeded()
    found: dict[str, Any] = {"password": solo.secret("litellm_database_password")}
    data = yaml.safe_load((ROLE / "service.yml").read_text())["data"]["database"]
    into = "docker exec -i litellm-database"
    with Attempt(solo) as attempt:
        found["proofs"] = [
            attempt.program("prove_database_password.sh", word) for word in (found["password"], "wrong")
        ]
        found["change"] = attempt.program("change_database_password.sh", "another", found["password"])
        found["proofs after"] = [
            attempt.program("prove_database_password.sh", word) for word in (found["password"], "another")
        ]
        attempt.sql("create table kept (word text); insert into kept values ($$here$$)")
        solo.host(f"{into} {subprocess.list2cmdline(data['dump'])} > /root/dump")
        attempt.sql("drop table kept")
        solo.host(f"{into} {subprocess.list2cmdline(data['restore'])} < /root/dump")
        found["restored"] = attempt.sql("select word from kept")
        found["owner"] = solo.host("stat -c %u:%g:%a /srv/docker/litellm/database").strip()
        found["networks"] = solo.host(
            "docker inspect litellm-database --format '{{json .NetworkSettings.Networks}}'"
        )
        found["settings"] = attempt.settings()
        found["misspelt"] = attempt.settings("LITELLM_MIGRATION_DIRS")["unknown"]
    assert attempt.run
    found["run"] = attempt.run
    yield found
    solo.write()
    solo.deploy("--tags", "litellm").succeeded()


def test_its_password_is_proven_and_changed_in_place(seen: dict[str, Any]) -> None:
    assert seen["proofs"] == [0, 10]
    assert seen["change"] == 0
    assert seen["proofs after"] == [10, 0]


def test_what_is_dumped_is_restored(seen: dict[str, Any]) -> None:
    assert seen["restored"] == "here"


def test_it_is_in_its_stacks_network_alone_and_its_data_its_own(seen: dict[str, Any]) -> None:
    assert list(json.loads(seen["networks"])) == ["litellm_private"]
    assert seen["owner"] == "999:999:700"


def test_litellms_own_code_takes_the_settings_and_knows_each_of_them(seen: dict[str, Any]) -> None:
    assert seen["settings"] == {
        "unknown": [],
        "mode": "auto",
        "models": ["tiny"],
        "redis": "litellm-valkey",
        "spend": "30d",
    }
    assert seen["misspelt"] == ["LITELLM_MIGRATION_DIRS"]


def test_litellm_lacks_nothing_but_its_database_clients_engine(seen: dict[str, Any]) -> None:
    """The lab's image has no engine, and upstream's has one."""
    run: Run = seen["run"]
    assert run.code == 0 or "prisma" in run.output.lower(), run.output[-3000:]
    assert seen["password"] not in run.output
