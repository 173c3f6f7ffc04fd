"""The real Open WebUI is updated to versions that change its database for good: proven before anybody is let in, and
undone with the data where that fails. The next versions are the same image with a migration of ours in front."""

from __future__ import annotations

import json
import shlex
import ssl
import urllib.request

import pytest

from ..lab import table
from .conftest import struck
from .gateway import HOST, Solo

pytestmark = pytest.mark.lab

# Every start of such a version renames a table, as a migration does, unless it is done.
MIGRATE = (
    "import sqlite3; c = sqlite3.connect('/app/backend/data/webui.db');"
    " done = c.execute(\"select 1 from sqlite_master where name = 'migrated'\").fetchone();"
    " done or c.execute('create table migrated (version text)'); c.commit()"
)
BREAK = MIGRATE.replace("c.commit()", "c.execute('alter table user rename to people'); c.commit()")


@pytest.fixture(scope="module")
def chat(solo: Solo) -> Solo:
    """Images of a version that migrates well, and of one whose migration ends in a broken database."""
    image = solo.host("docker inspect open-webui --format '{{.Config.Image}}'").strip()
    name, _colon, _tag = image.rpartition(":")
    for tag, program in (("v0.98.0", BREAK), ("v0.99.0", MIGRATE)):
        start = json.dumps(["bash", "-c", f"python -c {shlex.quote(program)} && exec bash start.sh"])
        solo.host(
            f"docker rm -f other 2>/dev/null; docker create --name other {image} &&"
            f" docker commit --change {shlex.quote(f'CMD {start}')} other {name}:{tag} && docker rm other"
        )
    return solo


def signs_in(solo: Solo) -> str:
    """A token of the account that the first start made; the account is in the database."""
    body = {"email": "admin@localhost", "password": solo.secret("openwebui_admin_password")}
    asked = urllib.request.Request(
        "https://chat.hearth.lan/api/v1/auths/signin",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    context = ssl.create_default_context(cafile=str(solo.ca))
    with urllib.request.urlopen(asked, context=context, timeout=60) as response:
        return json.loads(response.read())["token"]


def tables(solo: Solo) -> set[str]:
    program = (
        "import sqlite3; c = sqlite3.connect('/srv/docker/openwebui/data/webui.db');"
        "print(*[r[0] for r in c.execute('select name from sqlite_master where type = \"table\"')])"
    )
    return set(solo.host(f"python3 -c {shlex.quote(program)}").split())


def version(solo: Solo) -> str:
    return solo.host("docker inspect open-webui --format '{{.Config.Image}}'").strip().rpartition(":")[2]


def test_a_version_that_breaks_its_database_is_undone_with_the_data(chat: Solo) -> None:
    old = version(chat)
    run = chat.deploy("--tags", "openwebui", "-e", "openwebui_version=v0.98.0")
    assert run.code != 0
    assert f"{old} → v0.98.0" in run.output, run.output
    assert "ROLLED BACK" in run.output
    assert "its data restored from before the update" in run.output
    assert version(chat) == old
    assert "migrated" not in tables(chat)
    assert "user" in tables(chat)
    assert signs_in(chat)
    assert chat.deploy("--tags", "openwebui").succeeded().recap[HOST]["changed"] == 0


@pytest.mark.parametrize("moment", ["stopped:begin", "copied:begin", "up:done", "healthy:begin"])
def test_a_kill_in_the_middle_of_it_leaves_the_old_version_with_its_data(chat: Solo, moment: str) -> None:
    old = version(chat)
    with struck(table.hosts()[HOST], "openwebui", moment, "all") as done:
        chat.deploy("--tags", "openwebui", "-e", "openwebui_version=v0.99.0")
    print(done)
    # The next good run, of the version that was there.
    chat.deploy("--tags", "openwebui").succeeded()
    assert version(chat) == old
    assert "migrated" not in tables(chat)
    assert signs_in(chat)


def test_a_version_that_migrates_well_is_routed_and_the_data_from_before_are_kept(chat: Solo) -> None:
    old = version(chat)
    run = chat.deploy("--tags", "openwebui", "-e", "openwebui_version=v0.99.0").succeeded()
    assert "data from before kept in /srv/docker/.before/openwebui/" in run.output
    assert version(chat) == "v0.99.0"
    assert "migrated" in tables(chat)
    assert signs_in(chat)
    copy = chat.state("openwebui")["fallback"]["copy"]
    chat.host(f"test -s {copy}/data/webui.db && ! grep -q migrated {copy}/data/webui.db")
    # Not back by itself: the inventory still says the old version.
    again = chat.deploy("--tags", "openwebui")
    assert again.code != 0
    assert "has changed the data for good" in again.output
    assert version(chat) == "v0.99.0"
    # Back by hand, as docs/architecture.md says.
    chat.host(
        "cd /opt/stacks/openwebui && docker compose down && cd /srv/docker/openwebui/data && rm -rf ./* &&"
        f" cp -a {copy}/data/. . && rm /var/lib/hearth/stacks/openwebui.json"
    )
    chat.deploy("--tags", "openwebui").succeeded()
    assert version(chat) == old
    assert "migrated" not in tables(chat)
    assert signs_in(chat)
