"""The front door as people see it: what it opens, to whom, and what it says to nobody.

Behind it stands a small application on the host, routed through the same view as the services of other hosts.
"""

from __future__ import annotations

import base64
import json
import re
import runpy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scenario import secret
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

# Says what it heard, counts what it is sent, echoes WebSockets; `/next/X` makes `/events/X` stream one event more.
APPLICATION = r"""
import base64, collections, hashlib, http.server, json, sys, threading
next_event, received = collections.defaultdict(lambda: threading.Semaphore(0)), [0]
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
        elif self.path.startswith('/events/'):
            self.send_response(200)
            self.send_header('Content-Type', 'text/event-stream')
            self.end_headers()
            self.close_connection = True
            for number in range(1000):
                self.wfile.write(b'data: %d\n\n' % number)
                self.wfile.flush()
                next_event[self.path.split('/')[2]].acquire()
        elif self.path.startswith('/next/'):
            next_event[self.path.split('/')[2]].release()
            self.answer({})
        elif self.path == '/received':
            self.answer(received[0])
        else:
            self.answer({'path': self.path, 'headers': dict(self.headers.items())})
    def do_POST(self):
        received[0] = 0
        if self.headers.get('Transfer-Encoding') == 'chunked':
            while size := int(self.rfile.readline() or b'0', 16):
                received[0] += len(self.rfile.read(size + 2)) - 2
        else:
            while received[0] < int(self.headers['Content-Length']):
                received[0] += len(self.rfile.read1(1 << 20))
        self.answer(received[0])
    def answer(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header('X-Powered-By', 'gossip')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Application).serve_forever()
"""

# What the clients below share. They run on the host: python3 - CA NAME ROUTES TRAEFIK'S-ADDRESS
CLIENT = r"""
import base64, http.client, os, socket, ssl, sys, threading, urllib.request
ca, name, routes, traefik = sys.argv[1:5]
context = ssl.create_default_context(cafile=ca)
def connect(source=None):
    connection = http.client.HTTPSConnection(name, context=context, timeout=60)
    line = socket.create_connection((traefik, 443), 60, (source, 0) if source else None)
    connection.sock = context.wrap_socket(line, server_hostname=name)
    connection.auto_open = False  # a connection that was dropped is an error, not a new connection
    return connection
def get(path, connection=None, **headers):
    connection = connection or connect()
    connection.request('GET', path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
def events():
    connection = connect()
    connection.request('GET', f'/events/{os.getpid()}')
    return connection.getresponse()
def event(stream):
    text = stream.readline()
    stream.readline()
    return text.decode().strip()
def websocket():
    connection = connect()
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sock.sendall((f'GET / HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                             f'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n').encode())
    head = b''
    while b'\r\n\r\n' not in head:
        head += connection.sock.recv(1000)
    assert head.startswith(b'HTTP/1.1 101'), head
    return connection.sock
def say(line, word):
    line.sendall(word.encode())
    return line.recv(100).decode()
def reloads():
    text = urllib.request.urlopen(f'http://{traefik}:8080/metrics').read().decode()
    return [line for line in text.splitlines() if line.startswith('traefik_config_reloads_total')]
def change_routes(old, new):
    before = reloads()
    text = open(routes).read()
    with open(routes + '.new', 'w') as file:
        file.write(text.replace(old, new))
    os.replace(routes + '.new', routes)
    while reloads() == before:
        threading.Event().wait(0.2)
"""

STREAM = r"""
stream = events()
found = [event(stream)]
for _ in range(3):
    get(f'/next/{os.getpid()}')
    found.append(event(stream))
print(' '.join(found))
"""

# Half of it is sent, and has to be there, before the rest goes.
UPLOAD = r"""
size, piece = 90 << 20, b'x' * (1 << 20)
connection = connect()
connection.putrequest('POST', '/upload')
connection.putheader('Content-Length', str(size))
connection.endheaders()
for _ in range(45):
    connection.send(piece)
while int(get('/received')[1]) < 40 << 20:
    threading.Event().wait(0.2)
for _ in range(45):
    connection.send(piece)
print(connection.getresponse().read().decode() == str(size))
"""

TOO_LARGE = r"""
connection = connect()
connection.putrequest('POST', '/upload')
connection.putheader('Content-Length', str(101 << 20))
connection.endheaders()
print(connection.getresponse().status)
connection = connect()
connection.putrequest('POST', '/upload')
connection.putheader('Transfer-Encoding', 'chunked')
connection.endheaders()
piece = b'100000\r\n' + b'x' * (1 << 20) + b'\r\n'
try:
    for _ in range(120):
        connection.send(piece)
    connection.send(b'0\r\n\r\n')
    print(connection.getresponse().status == 200)
except OSError:
    print(False)
print(int(get('/received')[1]) <= 100 << 20)
"""

# The application's own address is another client than the host's default one.
IN_FLIGHT = r"""
streams = [events() for _ in range(20)]
print(*{stream.status for stream in streams}, get('/')[0], get('/', connect(source=sys.argv[5]))[0])
for stream in streams:
    stream.close()
"""

# Requests one after the other on one connection, a stream and a WebSocket, while routes change five times.
RELOADS = r"""
busy, line, stream, failed, done = connect(), websocket(), events(), [], threading.Event()
assert event(stream) == 'data: 0'
def load():
    while not done.wait(0.05):
        try:
            status = get('/', busy)[0]
        except Exception as error:
            status = repr(error)
        if status != 200:
            failed.append(status)
thread = threading.Thread(target=load)
thread.start()
for number in range(5):
    change_routes(f'other-{number}', f'other-{number + 1}')
    assert say(line, str(number)) == f'echo {number}'
    get(f'/next/{os.getpid()}')
    assert event(stream) == f'data: {number + 1}'
done.set()
thread.join()
change_routes('other-5', 'other-0')
print('failed:', failed)
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
    found["http"]["routers"]["other-0"] = {
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
    answer = ask(host, "/admin", "-u", f"reader:{secret('traefik_user_reader')}")
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


def client(host: Host, script: str, *arguments: str) -> list[str]:
    """What a client on the host prints that speaks to Traefik without Docker's proxy in between, which hides it."""
    address = host.check_output(
        "docker inspect traefik --format '{{.NetworkSettings.Networks.frontend.IPAddress}}'"
    )
    write(host, "/run/hearth-client.py", CLIENT + script)
    line = [f"{CERTIFICATES}/ca.crt", NAME, f"{STACK}/config/dynamic/test.yaml", address, *arguments]
    command = " ".join(["timeout 120 python3 /run/hearth-client.py", *["%s"] * len(line)])
    return host.check_output(command, *line).splitlines()


def test_an_answer_arrives_word_by_word(host: Host) -> None:
    assert client(host, STREAM) == ["data: 0 data: 1 data: 2 data: 3"]


def test_an_upload_is_passed_on_as_it_comes(host: Host) -> None:
    assert client(host, UPLOAD) == ["True"]


def test_what_is_too_large_is_refused_whether_it_says_so_or_not(host: Host) -> None:
    assert client(host, TOO_LARGE) == ["413", "False", "True"]


def test_a_client_with_too_much_under_way_waits_and_others_do_not(host: Host) -> None:
    other = host.interface("eth0").addresses[0]
    assert client(host, IN_FLIGHT, other) == ["200 429 200"]


def test_no_request_stream_or_websocket_is_lost_when_routes_change(host: Host) -> None:
    assert client(host, RELOADS) == ["failed: []"]


def test_the_dashboard_is_the_administrators(host: Host) -> None:
    page = {"name": "traefik.hearth.lan"}
    assert ask(host, "/api/overview", **page).status == 401
    answer = ask(host, "/api/overview", "-u", f"reader:{secret('traefik_user_reader')}", **page)
    assert answer.status == 200
    overview = json.loads(answer.text)["http"]
    for part in ("routers", "services", "middlewares"):
        assert (overview[part]["warnings"], overview[part]["errors"]) == (0, 0)


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
