"""Single sign-on in effect: what Traefik answers to whom, and that nothing of it lies open."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from testinfra.host import Host

STACK = "/opt/stacks/authentik"
AUTH, GATEWAY = "https://auth.hearth.lan", "https://openai.hearth.lan"
CONTAINERS = ("authentik-server", "authentik-worker", "authentik-outpost", "authentik-database")
BROWSER = ["curl", "-s", "-m", "30", "--cacert", "/srv/docker/traefik/certificates/ca.crt"]
for _name in ("auth", "openai"):
    BROWSER += ["--resolve", f"{_name}.hearth.lan:443:127.0.0.1"]


def ask(host: Host, url: str, *options: str) -> tuple[int, str, str]:
    """Status, where it redirects to, and text of one request from the host."""
    command = [*BROWSER, "-w", "\n%{http_code} %{redirect_url}", *options, url]
    run = host.run(" ".join(["%s"] * len(command)), *command)
    text, _line, last = run.stdout.rpartition("\n")
    status, _space, place = last.partition(" ")
    return int(status), place, text


def inspect(host: Host, container: str) -> dict[str, Any]:
    return json.loads(host.check_output(f"docker inspect {container}"))[0]


class TestContainers:
    @pytest.mark.parametrize("name", CONTAINERS)
    def test_they_have_no_more_rights_than_they_need(self, host: Host, name: str) -> None:
        found = inspect(host, name)
        assert found["State"]["Health"]["Status"] == "healthy"
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert found["Config"]["User"] == "1000:1000"
        assert not any(found["NetworkSettings"]["Ports"].values())
        assert "docker.sock" not in json.dumps(found["Mounts"])

    def test_the_database_meets_authentik_and_nobody_else(self, host: Host) -> None:
        assert list(inspect(host, "authentik-database")["NetworkSettings"]["Networks"]) == [
            "authentik_private"
        ]
        network = json.loads(host.check_output("docker network inspect authentik_private"))[0]
        assert network["Internal"]
        names = {item["Name"] for item in network["Containers"].values()}
        assert names == {"authentik-database", "authentik-server", "authentik-worker"}

    def test_secrets_are_in_files_of_their_own_and_in_no_other(self, host: Host) -> None:
        values = [
            host.check_output(f"cat {STACK}/secrets/{name}") for name in ("secret_key", "database_password")
        ]
        values += re.findall(r"(?:PASSWORD|TOKEN)=(\S+)", host.check_output(f"cat {STACK}/.env.blueprint"))
        assert len(values) == 4
        holders = {
            file for value in values for file in host.run("grep -rlF -e %s %s", value, STACK).stdout.split()
        }
        assert all(file.startswith((f"{STACK}/secrets/", f"{STACK}/.env.")) for file in holders)
        assert {oct(host.file(file).mode) for file in holders} <= {"0o400", "0o600"}
        labels = [inspect(host, name)["Config"]["Labels"] for name in CONTAINERS]
        assert not [value for value in values if value in json.dumps(labels)]

    def test_a_dump_of_the_database_can_be_made(self, host: Host) -> None:
        dump = "docker exec authentik-database pg_dump --format=custom --username=authentik authentik"
        listed = host.check_output(f"{dump} | docker exec -i authentik-database pg_restore --list")
        assert "TABLE DATA public" in listed


class TestGuard:
    def test_the_blueprint_is_applied_when_the_deploy_ends(self, host: Host) -> None:
        assert inspect(host, "authentik-blueprint")["State"]["ExitCode"] == 0
        status, _place, _text = ask(host, f"{GATEWAY}/outpost.goauthentik.io/ping")
        assert status == 204

    def test_who_is_not_signed_in_is_sent_there_and_comes_back_under_the_same_name(self, host: Host) -> None:
        status, place, _text = ask(host, f"{GATEWAY}/model/info")
        assert status == 302
        assert place.startswith(f"{AUTH}/application/o/authorize/")
        assert "openai.hearth.lan%2Foutpost.goauthentik.io%2Fcallback" in place

    def test_a_key_does_not_take_the_place_of_signing_in(self, host: Host) -> None:
        key = re.search(r"MASTER_KEY=(\S+)", host.check_output("cat /opt/stacks/litellm/.env.litellm"))
        assert key
        assert ask(host, f"{GATEWAY}/model/info", "-H", f"Authorization: Bearer {key[1]}")[0] == 302

    def test_the_api_asks_nobody_to_sign_in(self, host: Host) -> None:
        assert ask(host, f"{GATEWAY}/v1/models")[0] == 401

    @pytest.mark.parametrize("header", ["X-authentik-username: akadmin", "x_authentik_username: akadmin"])
    def test_nobody_says_himself_who_he_is(self, host: Host, header: str) -> None:
        assert ask(host, f"{GATEWAY}/model/info", "-H", header)[0] == 302

    def test_the_first_administrator_signs_in_and_manages(self, host: Host) -> None:
        """With the groups of the inventory: akadmin is in one of them."""
        password = re.search(r"BOOTSTRAP_PASSWORD=(\S+)", host.check_output(f"cat {STACK}/.env.blueprint"))
        assert password
        jar = ("-b", "/tmp/jar", "-c", "/tmp/jar")
        host.run("rm -f /tmp/jar")
        flow = f"{AUTH}/if/flow/default-authentication-flow/?next=/if/user/"
        form = ("-d", "uidField=akadmin", "--data-urlencode", f"password={password[1]}")
        assert ask(host, flow, *jar, *form)[0] == 302
        status, _place, text = ask(host, f"{GATEWAY}/openapi.json", "-L", *jar)
        host.run("rm -f /tmp/jar")
        assert status == 200, text[:300]
        assert "/model/info" in text

    def test_without_the_outpost_nothing_guarded_opens(self, host: Host) -> None:
        host.check_output("docker stop authentik-outpost")
        try:
            assert ask(host, f"{GATEWAY}/model/info")[0] in (404, 500, 502, 503)
            assert ask(host, f"{GATEWAY}/outpost.goauthentik.io/ping")[0] in (404, 500, 502, 503, 504)
        finally:
            host.check_output("docker start authentik-outpost")


class TestAuthentik:
    def test_its_account_for_the_outpost_uses_the_token_of_the_inventory(self, host: Host) -> None:
        """The outpost works, so it was let in; a token that authentik rolled anew would have kept it out."""
        token = re.search(r"TOKEN=(\S+)", host.check_output(f"cat {STACK}/.env.outpost"))
        assert token
        authorization = ("-H", f"Authorization: Bearer {token[1]}")
        status, _place, text = ask(host, f"{AUTH}/api/v3/outposts/instances/", *authorization)
        assert status == 200
        found = json.loads(text)["results"]
        assert [(item["name"], len(item["providers"])) for item in found] == [("hearth", 1)]

    def test_traefik_has_its_name_where_containers_ask_for_it(self, host: Host) -> None:
        networks = inspect(host, "traefik")["NetworkSettings"]["Networks"]
        assert "auth.hearth.lan" in networks["frontend"]["Aliases"]
