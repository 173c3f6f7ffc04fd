"""`playbooks/upgrade.yml` on a host: the table, the way through every version, and what stays to go back to.

The versions are the lab's own images under the tags of the roles' `known`. Qdrant's keep a log of who opened the
storage, and none opens what is more than one minor version away; authentik's log each release in its database, refuse
one that is newer, and let in no outpost of another release. PostgreSQL is the real one, twice.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ..e2e.conftest import BIN, LAB, ROOT, Run
from .gateway import HOST, Solo, on_solo

pytestmark = pytest.mark.lab

# Rustpad is what authentik's outpost guards.
STACKS = ["traefik", "authentik", "rustpad", "qdrant"]
OLD_POSTGRES = "15"
STORAGE = "/srv/docker/qdrant/storage"

# What a version of Qdrant begins with.
OPEN = """\
#!/bin/bash
log=/qdrant/storage/opened-by
minor() { cut -d . -f 2 <<< "$1"; }
last=$(tail -n 1 "$log" 2> /dev/null)
if [ -n "$last" ] && (($(minor VERSION) - $(minor "$last") > 1)); then
  echo "VERSION does not read the storage of $last" >&2
  exit 1
fi
[ "$last" = VERSION ] || echo VERSION >> "$log"
"""


def known(service: str) -> list[str]:
    """The versions of a service that its service.yml knows, in order."""
    description = yaml.safe_load((ROOT / "roles" / service / "service.yml").read_text())
    return description["update"]["versions"][f"{service}_version"]["known"]


def of_the_lab(variable: str) -> str:
    """The version that the lab's image has."""
    return str(yaml.safe_load((LAB / "images.yml").read_text())[variable])


QDRANT = known("qdrant")
AUTHENTIK = known("authentik")[1:]
POSTGRES = "17"


class Upgraded(Solo):
    """The platform of these tests."""

    def play(self, playbook: str, *arguments: str, **more: Any) -> Run:
        return super().play(playbook, "-e", f"qdrant_version={QDRANT[-1]}", *arguments, **more)

    def upgrade(self, *arguments: str, **variables: Any) -> Run:
        return self.play("upgrade", "-e", json.dumps(variables), *arguments)

    def image(self, source: str, new: str, path: str, text: str, change: str = "") -> None:
        """An image once more with a file that is its own, and another instruction if given."""
        name = source.rpartition(":")[0]
        changed = f"--change {shlex.quote(change)}" if change else ""
        self.host(
            f"printf %s {shlex.quote(text)} > /tmp/file && chmod 0755 /tmp/file && docker create --name other {source}"
            f" && docker cp --quiet /tmp/file other:{path} && docker commit {changed} other {name}:{new}"
            " && docker rm other"
        )

    def qdrant(self, version: str, then: str = "exec ./entrypoint.sh\n") -> None:
        """The image of a version of Qdrant; `then`: what it does after it has opened the storage."""
        source = f"hearth.lab/qdrant/qdrant:{of_the_lab('qdrant_version')}"
        text = OPEN.replace("VERSION", version) + then
        self.image(source, version, "/qdrant/opens.sh", text, 'CMD ["./opens.sh"]')

    def runs(self, container: str) -> str:
        """The tag of a running container's image."""
        shown = self.host(
            f"docker inspect {container} --format '{{{{.Config.Image}}}} {{{{.State.Running}}}}'"
        )
        image, running = shown.split()
        assert running == "true"
        return image.rpartition(":")[2]

    def images(self) -> list[str]:
        return self.host("docker image ls --format '{{.Repository}}:{{.Tag}} {{.ID}}'").splitlines()

    def tags(self, name: str) -> list[str]:
        return sorted(self.host(f"docker image ls --format '{{{{.Tag}}}}' hearth.lab/{name}").split())

    def opened_by(self, folder: str = STORAGE) -> list[str]:
        return self.host(f"cat {folder}/opened-by").split()

    def points(self, method: str, path: str, body: Any) -> Any:
        """One request to Qdrant's collection `kept`."""
        key = f"api-key: {self.secret('qdrant_api_key')}"
        answer = self.host(
            "curl -fsS -X"
            f" {method} -H {shlex.quote(key)} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
            " http://$(docker inspect qdrant --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}')"
            f":6333/collections/kept{path}"
        )
        return json.loads(answer)["result"]

    def has_its_point(self) -> bool:
        return self.points("POST", "/points", {"ids": [1]})[0]["payload"] == {"word": "kept"}

    def sql(self, statement: str) -> str:
        command = [
            "psql",
            "-U",
            "authentik",
            "-d",
            "authentik",
            "-At",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
        ]
        return self.host(shlex.join(["docker", "exec", "authentik-database", *command])).strip()

    def asks_the_sign_on(self) -> None:
        """The outpost is let in by its server: a guarded page sends to the sign-on."""
        until = time.monotonic() + 60
        ask = (
            "curl -sk -o /dev/null -w '%{http_code} %{redirect_url}' --resolve pad.hearth.lan:443:127.0.0.1"
            " https://pad.hearth.lan/"
        )
        while not (answer := self.host(ask)).startswith("302 https://auth.hearth.lan/"):
            assert time.monotonic() < until, answer
            time.sleep(1)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """A platform on the oldest of these versions, with data."""
    with on_solo(tmp_path_factory.mktemp("upgrade")) as solo:
        platform = Upgraded(solo.inventory)
        begin(platform)
        yield platform
    # Pruning took the lab's own image of Qdrant with it.
    load("qdrant")


def load(image: str) -> None:
    subprocess.run([BIN / "python", "-m", "tests.lab", "load", HOST, image], cwd=ROOT, check=True)


def begin(platform: Upgraded) -> None:
    load("postgres-15")
    for version in QDRANT:
        platform.qdrant(version)
    for version in AUTHENTIK[:-1]:
        for name, path in (
            ("server", "/ak-root/.venv/lib/python3.13/site-packages/authentik_standin/VERSION"),
            ("proxy", "/opt/outpost/packages/outpost/VERSION"),
        ):
            platform.image(f"hearth.lab/goauthentik/{name}:{AUTHENTIK[-1]}", version, path, version)
    platform.write(stacks=STACKS)
    platform.play("secrets").succeeded()
    versions = {
        "qdrant_version": QDRANT[0],
        "authentik_version": AUTHENTIK[0],
        "authentik_postgres_version": OLD_POSTGRES,
    }
    platform.deploy("-e", json.dumps(versions)).succeeded()
    platform.points("PUT", "", {"vectors": {"size": 2, "distance": "Dot"}})
    points = [{"id": 1, "vector": [0.5, 0.5], "payload": {"word": "kept"}}]
    platform.points("PUT", "/points?wait=true", {"points": points})
    platform.sql(
        "create table releases (at serial, version text);"
        " create function noted() returns trigger language plpgsql as"
        " 'begin insert into public.releases (version) values (new.version); return new; end';"
        " create trigger noted after insert on standin_release for each row execute function noted()"
    )


def test_the_table_says_what_runs_what_is_pinned_and_the_way(old: Upgraded) -> None:
    before = old.containers(HOST)
    run = old.upgrade().succeeded()
    assert run.changed == 0
    assert old.containers(HOST) == before
    rows = [[cell for cell in line.strip().split("  ") if cell.strip()] for line in run.lines]
    found = {tuple(cell.strip() for cell in row[1:4]): row[-1].strip() for row in rows if len(row) >= 4}
    assert found["qdrant", QDRANT[0], QDRANT[-1]].startswith(" → ".join(QDRANT))
    assert found["authentik", AUTHENTIK[0], AUTHENTIK[-1]].startswith(" → ".join(AUTHENTIK))
    assert ("authentik", OLD_POSTGRES, POSTGRES) in found


@pytest.mark.parametrize(("service", "way"), [("qdrant", QDRANT), ("authentik", AUTHENTIK)])
def test_a_deploy_refuses_to_jump(old: Upgraded, service: str, way: list[str]) -> None:
    before = old.containers(HOST)
    run = old.deploy("--tags", service)
    assert run.code != 0
    said = " ".join(run.output.split())
    assert f"one gets there only by {' → '.join(way)}" in said
    assert f"-e walk={service}" in said
    assert old.containers(HOST) == before


def test_a_walk_to_a_version_that_nobody_knows_a_way_to_is_refused(old: Upgraded) -> None:
    before = old.containers(HOST)
    run = old.upgrade("-e", "authentik_version=2031.2.0", walk="authentik")
    assert run.code != 0
    assert "no versions between are known" in " ".join(run.output.split())
    assert old.containers(HOST) == before


def test_check_mode_of_a_walk_touches_nothing(old: Upgraded) -> None:
    before = old.containers(HOST)
    run = old.upgrade("--check", walk="all").succeeded()
    # Every step of both, and one for the database.
    assert run.changed >= len(QDRANT[1:]) + len(AUTHENTIK[1:]) + 1, run.output
    assert old.containers(HOST) == before
    assert old.opened_by() == QDRANT[:1]


def test_a_walk_ends_where_a_version_breaks_with_the_data_from_before_it(old: Upgraded) -> None:
    """The third one ruins the storage: the second one runs on with the copy that was made before the third."""
    old.qdrant(QDRANT[2], "rm -rf storage/*; exit 7\n")
    run = old.upgrade(walk="qdrant")
    assert run.code != 0
    assert "ROLLED BACK" in run.output, run.output
    assert "its data restored from before the update" in run.output
    assert old.runs("qdrant") == QDRANT[1]
    assert old.opened_by() == QDRANT[:2]
    assert old.has_its_point()
    old.qdrant(QDRANT[2])


def test_a_walk_goes_on_and_through_every_version(old: Upgraded) -> None:
    run = old.upgrade(walk="qdrant").succeeded()
    assert run.recap[HOST]["failed"] == 0
    assert old.runs("qdrant") == QDRANT[-1]
    assert old.opened_by() == QDRANT
    assert old.has_its_point()
    # Each step's copy replaces the one before: the last is of the version before the last.
    copy = old.state("qdrant")["fallback"]["copy"]
    assert old.opened_by(f"{copy}/storage") == QDRANT[:-1]
    assert f"data from before kept in {copy}" in run.output
    assert old.host(f"ls {copy.rpartition('/')[0]}").split() == [copy.rpartition("/")[2]]
    assert old.upgrade(walk="qdrant").succeeded().changed == 0


def test_authentik_and_its_outpost_go_through_every_release_and_its_database_to_a_new_major(
    old: Upgraded,
) -> None:
    old.asks_the_sign_on()
    run = old.upgrade(walk="all").succeeded()
    assert run.recap[HOST]["failed"] == 0
    assert old.sql("select version from releases group by version order by min(at)").split() == AUTHENTIK[1:]
    assert old.runs("authentik-server") == old.runs("authentik-outpost") == AUTHENTIK[-1]
    old.asks_the_sign_on()
    # Not only another program: what the old one wrote cannot be read by the new one, so it was dumped and restored.
    assert old.sql("show server_version").startswith("17")
    assert old.host("cat /srv/docker/authentik/database/PG_VERSION").strip() == "17"
    copy = old.state("authentik")["fallback"]["copy"]
    assert old.host(f"cat {copy}/database/PG_VERSION").strip() == "15"
    again = old.deploy().succeeded()
    assert again.changed == 0, again.output


def test_pruning_keeps_what_runs_and_what_to_fall_back_to(old: Upgraded) -> None:
    stranger = "hearth.lab/stranger:1"
    old.host(f"docker tag hearth.lab/qdrant/qdrant:{QDRANT[0]} {stranger}")
    before = old.images()
    listed = old.upgrade("--check", "-v", prune=True).succeeded()
    assert f"hearth.lab/qdrant/qdrant:{QDRANT[0]}" in listed.output
    assert old.images() == before
    old.upgrade(prune=True).succeeded()
    assert old.tags("qdrant/qdrant") == QDRANT[-2:]

    assert old.tags("goauthentik/server") == AUTHENTIK[-2:]
    assert old.tags("library/postgres") == [OLD_POSTGRES, POSTGRES]
    present = old.host("docker image ls --no-trunc --quiet").split()
    for service in ("qdrant", "authentik"):
        kept = old.state(service)["fallback"]["images"]
        assert {item["image_id"] for item in kept.values()} <= set(present)
    assert any(image.startswith(stranger) for image in old.images())
    old.host(f"docker image rm {stranger}")
    assert old.upgrade(prune=True).succeeded().changed == 0
    assert old.deploy().succeeded().changed == 0
