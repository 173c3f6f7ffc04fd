"""Single sign-on as people meet it, in a real browser: who gets in by which door, and what is shut when it is broken.

One host of both tiers with its own small inventory; the ways of signing in to the chat are deployed one after another.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ..lab import table
from .browser import Browser, browser
from .conftest import BIN, LAB, ROOT, Platform, lab_variables

pytestmark = [pytest.mark.lab, pytest.mark.long]

SOLO = table.hosts()["solo"].address
CHAT, AUTH, GATEWAY, PAD = (f"https://{name}.hearth.lan" for name in ("chat", "auth", "openai", "pad"))
REFUSED = ("000", "404", "500", "502", "503")

# From inside a container: can the chat be reached past the front door, by its name or by any of its addresses?
KNOCK = """
import socket, sys
for place in sys.argv[1:]:
    try:
        socket.create_connection((place, 8080), 3).close()
        print('open')
    except OSError:
        print('shut')
"""


class Solo(Platform):
    """The lab's host `solo` with everything of sign-on on it."""

    def __init__(self, inventory: Path) -> None:
        super().__init__(inventory)

    def run(self, command: str) -> str:
        return self.ssh("solo", command)

    def status(self, url: str, *options: str) -> str:
        """What one request from outside is answered with; 000 for no answer."""
        name = url.split("/")[2]
        command = ["curl", "-sk", "-o", "/dev/null", "-m", "30", "-w", "%{http_code}"]
        return subprocess.run(
            [*command, "--resolve", f"{name}:443:{SOLO}", *options, url],
            text=True,
            capture_output=True,
            check=False,
        ).stdout

    @property
    def admin_password(self) -> str:
        return self.secret("authentik_admin_password", "solo")


@pytest.fixture(scope="module")
def solo() -> Iterator[Solo]:
    """Deployed with the chat signing people in by itself, at authentik."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", "solo"], cwd=ROOT, check=True)
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    folder = LAB / "inventories" / "sign-on"
    shutil.rmtree(folder, ignore_errors=True)
    lab_variables(folder)
    solo = {
        "ansible_host": SOLO,
        "stacks": ["ollama", "litellm", "openwebui", "rustpad", "authentik", "traefik"],
        "openwebui_guard": "oidc",
        "openwebui_groups": ["family", "authentik Admins"],
    }
    hosts = {"trusted": {"hosts": {"solo": solo}}, "compute": {"hosts": {"solo": None}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    platform = Solo(folder)
    platform.play("secrets").succeeded()
    platform.clear("solo")
    platform.deploy().succeeded()
    yield platform
    platform.clear("solo")


@pytest.fixture
def page(solo: Solo) -> Iterator[Browser]:
    """A new browser: nobody is signed in."""
    with browser(SOLO, ssl.get_server_certificate((SOLO, 443)).encode()) as found:
        yield found


def ask_the_chat(page: Browser) -> str:
    """Type a question and wait for words that were not there before."""
    page.wait(lambda: page.fetch("/api/v1/auths/")[0] == 200, "being signed in")
    # A new administrator is shown what is new, in front of everything else.
    page.fetch("/api/v1/users/user/settings/update", "POST", {"ui": {"showChangelog": False}})
    page.open(CHAT)
    page.fill("#chat-input", "hello")
    answer = "const all = document.querySelectorAll('#response-content-container');"
    answer += "return all.length ? all[all.length - 1].innerText.trim() : ''"
    return page.wait(lambda: page.driver.execute_script(answer), "an answer")


def add_person(page: Browser, name: str, password: str, group: str | None) -> None:
    """As an administrator who is signed in at authentik does it."""
    person = {"username": name, "name": name.title(), "email": f"{name}@hearth.lan", "groups": []}
    if group:
        groups = json.loads(page.fetch(f"/api/v3/core/groups/?name={group}")[1])["results"]
        person["groups"] = [item["pk"] for item in groups if item["name"] == group]
        assert person["groups"], f"authentik has no group {group}"
    status, text = page.fetch("/api/v3/core/users/", "POST", person)
    assert status == 201, text
    key = json.loads(text)["pk"]
    status, text = page.fetch(f"/api/v3/core/users/{key}/set_password/", "POST", {"password": password})
    assert status == 204, text


class TestChatByOpenIdConnect:
    def test_one_signs_in_at_authentik_lands_in_the_chat_asks_and_reads_an_answer(
        self, solo: Solo, page: Browser
    ) -> None:
        page.open(CHAT)
        page.sign_in(AUTH, "akadmin", solo.admin_password)
        page.at(CHAT)
        assert ask_the_chat(page)
        # The administrators of authentik are those of the chat; the first account is the first administrator's.
        status, text = page.fetch("/api/v1/auths/")
        assert (status, json.loads(text)["role"]) == (200, "admin")
        assert json.loads(text)["email"] == "admin@localhost"

    def test_no_password_opens_the_chat(self, solo: Solo) -> None:
        password = solo.secret("openwebui_admin_password", "solo")
        body = json.dumps({"email": "admin@localhost", "password": password})
        options = ("-H", "Content-Type: application/json", "--data-binary", body)
        assert solo.status(f"{CHAT}/api/v1/auths/signin", *options) == "403"

    def test_groups_decide_who_sees_it(self, solo: Solo, page: Browser) -> None:
        page.open(f"{AUTH}/if/flow/default-authentication-flow/?next=/if/user/")
        page.sign_in(AUTH, "akadmin", solo.admin_password)
        page.at(f"{AUTH}/if/user/")
        add_person(page, "mia", "a long password for mia", "family")
        add_person(page, "sam", "a long password for sam", None)
        for name, sees in (("mia", True), ("sam", False)):
            with browser(SOLO, ssl.get_server_certificate((SOLO, 443)).encode()) as theirs:
                theirs.open(CHAT)
                theirs.sign_in(AUTH, name, f"a long password for {name}")
                if sees:
                    theirs.at(CHAT)
                    theirs.find("#chat-input")
                    assert json.loads(theirs.fetch("/api/v1/auths/")[1])["role"] == "user"
                else:
                    theirs.wait(lambda page=theirs: "ermission denied" in page.text, "a refusal")
                    assert solo.status(f"{CHAT}/api/models") == "401"


class TestManagementOfTheGateway:
    def test_its_api_asks_for_a_key_and_nobody_to_sign_in(self, solo: Solo) -> None:
        key = solo.secret("litellm_probe_key", "solo")
        assert solo.status(f"{GATEWAY}/v1/models") == "401"
        assert solo.status(f"{GATEWAY}/v1/models", "-H", f"Authorization: Bearer {key}") == "200"

    @pytest.mark.parametrize("path", ["/", "/key/list", "/model/info", "/config/yaml", "/metrics"])
    def test_everything_else_leads_to_the_sign_in(self, solo: Solo, path: str) -> None:
        key = solo.secret("litellm_master_key", "solo")
        forged = ("-H", f"Authorization: Bearer {key}", "-H", "X-authentik-username: akadmin")
        assert solo.status(GATEWAY + path, *forged) == "302"

    def test_an_administrator_manages_it_with_the_master_key(self, solo: Solo, page: Browser) -> None:
        page.open(f"{GATEWAY}/")
        page.sign_in(AUTH, "akadmin", solo.admin_password)
        page.at(GATEWAY)
        page.wait(lambda: "/model/info" in page.text, "the API's description")
        assert page.fetch("/model/info")[0] == 401


class TestPad:
    def test_one_signs_in_writes_and_finds_it_again(self, solo: Solo, page: Browser) -> None:
        page.open(f"{PAD}/#shared")
        page.sign_in(AUTH, "akadmin", solo.admin_password)
        page.at(PAD)
        assert page.fetch("/api/stats")[0] == 200
        page.open(f"{PAD}/#shared")
        page.fill("textarea", "written behind the sign-on")
        page.wait(lambda: "behind the sign-on" in page.fetch("/api/text/shared")[1], "what was written")

    def test_nobody_else_reads_or_writes(self, solo: Solo) -> None:
        upgrade = ("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13")
        assert solo.status(f"{PAD}/api/text/shared") == "302"
        assert solo.status(f"{PAD}/api/socket/shared", *upgrade, "-H", "Sec-WebSocket-Key: AAAA") == "302"


class TestRotation:
    """With the chat signing people in at authentik, where no password of its own opens it."""

    def test_every_secret_is_replaced_and_one_signs_in_with_the_new_password(
        self, solo: Solo, page: Browser
    ) -> None:
        old = solo.admin_password
        run = solo.play("rotate-secrets").succeeded()
        assert "cannot be proven" not in run.output
        assert solo.admin_password != old
        page.open(CHAT)
        page.sign_in(AUTH, "akadmin", old)
        page.wait(lambda: "nvalid password" in page.text, "a refusal")
        page.open(CHAT)
        page.sign_in(AUTH, "akadmin", solo.admin_password)
        page.at(CHAT)
        assert ask_the_chat(page)


class TestChatByTrustedHeader:
    @pytest.fixture(scope="class", autouse=True)
    def header(self, solo: Solo) -> None:
        solo.deploy("-e", "openwebui_guard=sso").succeeded()

    def test_one_signs_in_before_anything_reaches_the_chat(self, solo: Solo, page: Browser) -> None:
        page.open(CHAT)
        page.sign_in(AUTH, "akadmin", solo.admin_password)
        page.at(CHAT)
        assert ask_the_chat(page)
        assert json.loads(page.fetch("/api/v1/auths/")[1])["email"] == "admin@localhost"

    @pytest.mark.parametrize("name", ["X-authentik-email", "x_authentik_email", "X.authentik.email"])
    def test_a_forged_header_opens_nothing(self, solo: Solo, name: str) -> None:
        forged = ("-H", f"{name}: admin@localhost")
        assert solo.status(f"{CHAT}/", *forged) == "302"
        body = ("-H", "Content-Type: application/json", "--data-binary", '{"email": "", "password": ""}')
        assert solo.status(f"{CHAT}/api/v1/auths/signin", *forged, *body) in ("302", "401")

    def test_a_forged_header_of_somebody_who_is_signed_in_changes_nothing(
        self, solo: Solo, page: Browser
    ) -> None:
        page.open(CHAT)
        page.sign_in(AUTH, "mia", "a long password for mia")
        page.at(CHAT)
        page.find("#chat-input")
        forge = "const done = arguments[0]; fetch('/api/v1/auths/signin', {method: 'POST', headers: {"
        forge += "'Content-Type': 'application/json', 'X-authentik-email': 'admin@localhost'},"
        forge += (
            "body: JSON.stringify({email: '', password: ''})}).then(async a => done((await a.json()).email))"
        )
        assert page.driver.execute_async_script(forge) == "mia@hearth.lan"

    def test_nobody_but_the_front_door_can_knock(self, solo: Solo) -> None:
        shape = "{{range $name, $one := .NetworkSettings.Networks}}{{$name}} {{$one.IPAddress}} {{end}}"
        network, address = solo.run(f"docker inspect -f '{shape}' open-webui").split()
        assert network == "openwebui_door"
        inside = "{{range .Containers}}{{.Name}} {{end}}"
        present = solo.run(f"docker network inspect -f '{inside}' openwebui_door").split()
        assert sorted(present) == ["open-webui", "traefik"]
        assert solo.run("docker port open-webui").strip() == ""
        knock = solo.run(f'docker exec litellm python3 -c "{KNOCK}" open-webui {address}')
        assert knock.split() == ["shut", "shut"]


class TestTheDayAuthentikIsBroken:
    """Last, because it stops authentik."""

    ROUTES = (f"{CHAT}/", f"{CHAT}/api/config", f"{GATEWAY}/", f"{PAD}/", f"{PAD}/api/stats")

    def test_without_its_outpost_every_guarded_route_is_shut(self, solo: Solo) -> None:
        assert {solo.status(url) for url in self.ROUTES} == {"302"}
        solo.run("docker stop authentik-outpost")
        assert {solo.status(url) for url in self.ROUTES} <= set(REFUSED)
        solo.run("docker rm authentik-outpost")
        assert {solo.status(url) for url in self.ROUTES} <= set(REFUSED)

    def test_without_all_of_it_too_and_the_api_goes_on(self, solo: Solo) -> None:
        solo.run("docker rm -f authentik-server authentik-worker authentik-blueprint authentik-database")
        assert {solo.status(url) for url in self.ROUTES} <= set(REFUSED)
        key = solo.secret("litellm_probe_key", "solo")
        assert solo.status(f"{GATEWAY}/v1/models", "-H", f"Authorization: Bearer {key}") == "200"

    def signs_in(self, solo: Solo) -> str:
        """The status of a sign-in at the chat by its own password."""
        password = solo.secret("openwebui_admin_password", "solo")
        body = json.dumps({"email": "admin@localhost", "password": password})
        options = ("-H", "Content-Type: application/json", "--data-binary", body)
        return solo.status(f"{CHAT}/api/v1/auths/signin", *options)

    def test_the_chat_opens_by_its_own_password(self, solo: Solo) -> None:
        way_in = json.dumps({"openwebui_guard": "open", "openwebui_groups": []})
        solo.deploy("--tags", "openwebui", "-e", way_in).succeeded()
        assert self.signs_in(solo) == "200"

    def test_the_next_deploy_closes_it_again(self, solo: Solo) -> None:
        solo.deploy().succeeded()
        assert self.signs_in(solo) == "403"
        assert solo.status(f"{GATEWAY}/") == "302"
