"""The front door as people see it: what it opens, to whom, and what it says to nobody.

Behind it stands a small application on the host, routed through the same view as the services of other hosts.
"""

from __future__ import annotations

import base64
import json
import os
import re
import runpy
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]
VIEW = runpy.run_path(str(ROOT / "plugins" / "module_utils" / "view_traefik.py"))

STACK = "/opt/stacks/traefik"
CERTIFICATES = "/srv/docker/traefik/certificates"
NAME = "wiki.hearth.lan"
PUBLIC_NAME = "fair.hearth.lan"
# Routed by a router that its owner wrote by hand, with nothing but a rule and a service.
OWN_NAME = "other.hearth.lan"
PORT = 18000
READER_PASSWORD = "vault_traefik_user_reader"

APPLICATION = r"""
import base64, hashlib, http.server, json, sys
class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.headers.get('Upgrade', '').lower() == 'websocket':
            seed = self.headers['Sec-WebSocket-Key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
            self.send_response(101)
            self.send_header('Upgrade', 'websocket')
            self.send_header('Connection', 'Upgrade')
            self.send_header('Sec-WebSocket-Accept', base64.b64encode(hashlib.sha1(seed.encode()).digest()).decode())
            self.end_headers()
            while piece := self.connection.recv(100):
                self.connection.sendall(b'echo ' + piece)
            return
        body = json.dumps({'path': self.path, 'headers': dict(self.headers.items())}).encode()
        self.send_response(200)
        self.send_header('X-Powered-By', 'gossip')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Application).serve_forever()
"""

# Says hello before and after the file of routes is replaced, on one connection.
WEBSOCKET = r"""
import base64, os, socket, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[1])
line = context.wrap_socket(socket.create_connection(('127.0.0.1', 443), 10), server_hostname=sys.argv[2])
key = base64.b64encode(os.urandom(16)).decode()
line.sendall((f'GET / HTTP/1.1\r\nHost: {sys.argv[2]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
              f'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n').encode())
head = b''
while b'\r\n\r\n' not in head:
    head += line.recv(1000)
print(head.split(b'\r\n')[0].decode())
line.sendall(b'before')
print(line.recv(100).decode())
text = open(sys.argv[3]).read()
with open(sys.argv[3] + '.new', 'w') as file:
    file.write(text.replace('before-the-change', 'after-the-change'))
os.replace(sys.argv[3] + '.new', sys.argv[3])
time.sleep(4)
line.sendall(b'after')
print(line.recv(100).decode())
"""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


def ask(host: Host, path: str = "/", *options: str, url: str = "", name: str = NAME) -> Answer:
    """One request from the host, with the platform's own authority as the only one that is trusted."""
    trust = ["--cacert", f"{CERTIFICATES}/ca.crt"] if name == NAME else ["-k"]
    command = ["curl", "-s", "-i", "--path-as-is", "--max-time", "20", *trust]
    command += ["--resolve", f"{name}:443:127.0.0.1", "--resolve", f"{name}:80:127.0.0.1", *options]
    command.append(url or f"https://{name}{path}")
    text = host.check_output(" ".join(["%s"] * len(command)), *command)
    head, _sep, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.split("\n")
    headers = {key.lower(): value for key, _sep, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


def password() -> str:
    """The reader's password out of the scenario's vault, as an operator would look it up."""
    run = subprocess.run(
        [
            *("ansible", "solo", "-i", os.environ["MOLECULE_INVENTORY_FILE"], "-c", "local", "-o"),
            *("-m", "ansible.builtin.debug", "-a", f"var={READER_PASSWORD}"),
        ],
        env={**os.environ, "ANSIBLE_VAULT_PASSWORD_FILE": str(ROOT / "molecule/shared/vault-password.sh")},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.JSONDecoder().raw_decode(run.stdout.partition("=> ")[2])[0][READER_PASSWORD]


@pytest.fixture(scope="module", autouse=True)
def application(host: Host) -> Iterator[None]:
    """An application of another host, as far as Traefik can tell; its routes have a guard of each kind."""
    gateway = host.check_output(
        "docker network inspect frontend --format '{{(index .IPAM.Config 0).Gateway}}'"
    )
    service = {
        "name": "wiki",
        "host": "far",
        "front": "solo",
        "fqdn": NAME,
        "domain": "hearth.lan",
        "access": "lan",
        "api": {"port": PORT},
        "publish": f"{gateway}:{PORT}",
        "http": {
            "port": PORT,
            "routes": [
                {"guard": "open"},
                {"guard": "admin", "paths": ["/admin"]},
                {"guard": "internal", "paths": ["/metrics"]},
                {"guard": "key", "paths": ["/v1"]},
            ],
        },
    }
    fair = {**service, "name": "fair", "fqdn": PUBLIC_NAME, "access": "public"}
    found = VIEW["routes"]({"services": [service, fair]}, "solo")
    found["http"]["routers"]["before-the-change"] = {
        "rule": f"Host(`{OWN_NAME}`)",
        "service": "wiki-far",
    }
    file = f"{STACK}/config/dynamic/test.yaml"
    write(host, "/run/hearth-test.py", APPLICATION)
    write(host, file, json.dumps(found))
    host.run("systemctl stop hearth-test")  # an aborted run's
    host.check_output(
        "systemd-run --quiet --unit hearth-test python3 /run/hearth-test.py %s %s", gateway, str(PORT)
    )
    try:
        for _attempt in range(30):
            if ask(host).status == 200:
                break
            time.sleep(0.5)
        yield
    finally:
        host.run("systemctl stop hearth-test")
        host.run("rm -f /run/hearth-test.py %s", file)


def write(host: Host, path: str, text: str) -> None:
    host.check_output("echo %s | base64 -d > %s", base64.b64encode(text.encode()).decode(), path)


def logs(host: Host) -> str:
    run = host.run("docker logs traefik")
    return run.stdout + run.stderr


def test_http_leads_to_https(host: Host) -> None:
    answer = ask(host, url=f"http://{NAME}/page?of=mine")
    assert answer.status == 301
    assert answer.headers["location"] == f"https://{NAME}/page?of=mine"


def test_the_certificate_is_good_for_the_name_and_the_key_is_the_containers_own(host: Host) -> None:
    assert ask(host).status == 200
    assert host.file(f"{CERTIFICATES}/private").mode == 0o700
    assert host.file(f"{CERTIFICATES}/private/ca.key").mode == 0o600
    assert host.run("su nobody -s /bin/sh -c 'cat %s/private/served/*.key'", CERTIFICATES).failed
    assert len(host.check_output("ls %s/private/served", CERTIFICATES).split()) == 2  # older ones are gone
    mounted = host.check_output(
        "docker inspect traefik --format '{{range .Mounts}}{{.Source}} {{end}}'"
    ).split()
    assert f"{CERTIFICATES}/private/served" in mounted
    assert not {CERTIFICATES, f"{CERTIFICATES}/private"} & set(mounted)


def test_the_authority_can_vouch_for_the_platforms_domain_only(host: Host) -> None:
    text = host.check_output("openssl x509 -in %s/ca.crt -noout -ext nameConstraints", CERTIFICATES)
    assert re.findall(r"DNS:\S+", text) == ["DNS:hearth.lan"]


def test_old_tls_is_refused(host: Host) -> None:
    assert host.run("curl -s -k --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 https://127.0.0.1/").rc == 35


def test_a_name_that_nobody_has_is_not_found(host: Host) -> None:
    assert ask(host, name="stranger.hearth.lan").status == 404


def test_every_answer_carries_the_headers_that_protect_and_none_that_gossip(host: Host) -> None:
    headers = ask(host).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert "x-powered-by" not in headers
    assert "server" not in headers
    assert headers["cross-origin-opener-policy"] == "same-origin-allow-popups"
    assert "x-xss-protection" not in headers


def test_only_public_services_bind_a_browser_to_https(host: Host) -> None:
    """One click on `http://` must not bind a name in a private zone to an authority of one's own for a year."""
    assert "strict-transport-security" not in ask(host).headers
    assert ask(host, name=PUBLIC_NAME).headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("name", [NAME, PUBLIC_NAME, OWN_NAME])
@pytest.mark.parametrize("path", ["/", "/v1/models"])
def test_what_a_client_says_about_itself_does_not_reach_the_application(
    host: Host, name: str, path: str
) -> None:
    names = [
        *("X-authentik-username", "X-Authentik-Groups", "x-authentik-jwt", "X-authentik-meta-outpost"),
        *("X_authentik_username", "X.authentik.username", "X-authentik_username", "x_authentik-email"),
        *("X-Forwarded-User", "X_Forwarded_User", "Remote-User", "Remote_User", "X-Auth-Request-Email"),
        *("X-Forwarded-For", "X_Forwarded_For", "X.Forwarded.For", "X-Real-Ip", "X.Real.Ip", "Forwarded"),
        *("X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Original-Url", "True-Client-Ip"),
    ]
    told = [part for forged in names for part in ("-H", f"{forged}: forged-6.6.6.6")]
    answer = ask(host, path, *told, "-H", "X-Harmless: kept", name=name)
    assert answer.status == 200
    assert "kept" in answer.text
    assert "forged" not in answer.text


def test_a_client_cannot_have_the_front_doors_own_words_removed(host: Host) -> None:
    """A header that `Connection` names is for the next hop only: Traefik's own must not go that way."""
    answer = ask(host, "/", "-H", "Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Real-Ip")
    heard = {name.lower(): value for name, value in json.loads(answer.text)["headers"].items()}
    assert heard["x-forwarded-proto"] == "https"
    assert heard["x-real-ip"] == heard["x-forwarded-for"] != ""


def test_the_admin_pages_ask_for_a_password_and_keep_it_to_themselves(host: Host) -> None:
    assert ask(host, "/admin").status == 401
    assert ask(host, "/admin", "-u", "reader:wrong").status == 401
    answer = ask(host, "/admin", "-u", f"reader:{password()}")
    assert answer.status == 200
    assert "authorization" not in answer.text.lower()


def test_a_key_passes_to_the_application_that_asks_for_it(host: Host) -> None:
    assert "Bearer sk-of-mine" in ask(host, "/v1/models", "-H", "Authorization: Bearer sk-of-mine").text


@pytest.mark.parametrize(
    "path",
    ["/admin/", "//admin", "/./admin", "/%61dmin", "/v1/../admin", "/v1/%2e%2e/admin", "/v1%2f..%2fadmin"],
)
def test_no_spelling_of_a_path_gets_around_its_guard(host: Host, path: str) -> None:
    assert ask(host, path).status in (400, 401)


def test_an_internal_path_is_not_found(host: Host) -> None:
    assert ask(host, "/metrics").status == 404
    assert ask(host, "/v1/../metrics").status == 404


def test_traefiks_own_metrics_are_for_the_frontend_only(host: Host) -> None:
    assert host.run("curl -s -m 3 http://127.0.0.1:8080/metrics").failed
    image = host.check_output("docker inspect traefik --format '{{.Config.Image}}'")
    inside = "docker run --rm --network frontend --entrypoint wget %s -qO- http://traefik:8080/metrics"
    assert "traefik_config_reloads_total" in host.check_output(inside, image)


def test_the_access_log_is_json_without_headers_and_query_strings(host: Host) -> None:
    secrets = ["-H", "Authorization: Bearer LOG-MARK", "-H", "Cookie: session=LOG-MARK"]
    assert ask(host, "/logged?token=LOG-MARK", *secrets).status == 200
    text = logs(host)
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert any(row["RequestPath"] == "/logged" and row["DownstreamStatus"] == 200 for row in rows)
    assert "LOG-MARK" not in text


def test_traefik_has_nothing_to_complain_about(host: Host) -> None:
    lines = [line for line in logs(host).splitlines() if " WRN " in line or " ERR " in line]
    # Printed by 3.7.12 whatever is configured: github.com/traefik/traefik/issues/13169.
    assert [line for line in lines if "can reject some encoded characters" not in line] == []


def test_a_websocket_outlives_a_change_of_routes(host: Host) -> None:
    file = f"{STACK}/config/dynamic/test.yaml"
    count = "docker run --rm --network frontend --entrypoint sh %s -c %s"
    image = host.check_output("docker inspect traefik --format '{{.Config.Image}}'")
    reloads = "wget -qO- http://traefik:8080/metrics | grep '^traefik_config_reloads_total'"
    before = host.check_output(count, image, reloads)
    said = host.check_output(
        "python3 -c %s %s/ca.crt %s %s", WEBSOCKET, CERTIFICATES, NAME, file
    ).splitlines()
    assert said == ["HTTP/1.1 101 Switching Protocols", "echo before", "echo after"]
    assert host.check_output(count, image, reloads) != before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/containers/json", 200),
        ("GET", "/images/json", 403),
        ("GET", "/info", 403),
        ("GET", "/networks", 403),
        ("GET", "/v1.41/secrets", 403),
        ("GET", "/containers/traefik/logs", 403),
        ("GET", "/containers/traefik/archive?path=/", 403),
        ("POST", "/containers/create", 403),
        ("POST", "/containers/traefik/restart", 403),
        ("DELETE", "/containers/traefik", 403),
    ],
)
def test_the_window_on_docker_is_read_only(host: Host, method: str, path: str, status: int) -> None:
    address = host.check_output(
        "docker inspect traefik-socket-proxy --format '{{.NetworkSettings.Networks.traefik_docker.IPAddress}}'"
    )
    line = "curl -s -m 5 -o /dev/null -w '%%{http_code}' -X %s http://%s:2375%s"
    assert host.check_output(line, method, address, path) == str(status)


def test_only_traefik_is_at_the_window(host: Host) -> None:
    network = host.check_output("docker network inspect traefik_docker --format '{{json .}}'")
    found = json.loads(network)
    assert found["Internal"] is True
    assert {item["Name"] for item in found["Containers"].values()} == {"traefik", "traefik-socket-proxy"}
    assert "docker.sock" not in host.check_output(
        "docker inspect traefik --format '{{json .HostConfig.Binds}}'"
    )


@pytest.mark.parametrize("container", ["traefik", "traefik-socket-proxy"])
def test_containers_have_no_more_than_they_need(host: Host, container: str) -> None:
    found = json.loads(host.check_output("docker inspect %s", container))[0]
    settings = found["HostConfig"]
    assert settings["ReadonlyRootfs"] is True
    assert settings["CapDrop"] == ["ALL"]
    assert not settings["CapAdd"]
    assert "no-new-privileges:true" in settings["SecurityOpt"]
    assert settings["Memory"] > 0
    assert settings["NanoCpus"] > 0
    assert settings["RestartPolicy"]["Name"] == "unless-stopped"
    assert settings["LogConfig"]["Config"]["max-size"] == "10m"
    if container == "traefik":
        assert found["Config"]["User"] == "65532:65532"


def test_ports_are_taken_on_ipv4_only(host: Host) -> None:
    """Docker would hand over IPv6 clients under a private address, past everything that asks for one."""
    bound = json.loads(
        host.check_output("docker inspect traefik --format '{{json .HostConfig.PortBindings}}'")
    )
    assert {item["HostIp"] for items in bound.values() for item in items} == {"0.0.0.0"}


def test_one_client_cannot_have_everything(host: Host) -> None:
    """Comes last: it uses up this host's share."""
    many = "curl -s -k --resolve %s:443:127.0.0.1 -Z -o /dev/null -w '%%{http_code}\\n' 'https://%s/?[1-300]'"
    assert "429" in host.check_output(many, NAME, NAME).split()
    time.sleep(1)
    assert ask(host).status == 200
