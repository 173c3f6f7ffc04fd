"""The same front door as `make up` deploys it: on this machine only, other ports, volumes; here behind a proxy, too.

Named so that it comes last: the module's first step deploys once more, with other variables.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from scenario import play
from testinfra.host import Host

SHOP = "shop.localhost"
DASHBOARD = "traefik.localhost"
STRANGER, FRIEND = "203.0.113.1", "192.168.7.7"

# Asks as the proxy of clients, all at once on one connection: TRAEFIK'S-ADDRESS OWN-ADDRESS NAME. Prints of how many of
# thirty requests of one client, of ten that forge, and of ten of another client were let in.
SHARES = r"""
import re, socket, ssl, sys
traefik, proxy, name = sys.argv[1:]
line = socket.create_connection((traefik, 8443), 120, (proxy, 0))
line = ssl._create_unverified_context().wrap_socket(line, server_hostname=name)
clients = ['203.0.113.1'] * 30 + ['203.0.113.2, 203.0.113.1'] * 10 + ['203.0.113.3'] * 10
ask = 'GET /ping HTTP/1.1\r\nHost: {}:8443\r\nX-Forwarded-For: {}\r\n{}\r\n'
asked = [ask.format(name, client, '') for client in clients]
asked[-1] = ask.format(name, clients[-1], 'Connection: close\r\n')
line.sendall(''.join(asked).encode())
text = b''
while piece := line.recv(10000):
    text += piece
found = [int(status) for status in re.findall(rb'HTTP/1.1 (\d+)', text)]
print(*[part.count(200) for part in (found[:30], found[30:40], found[40:])])
"""


@pytest.fixture(scope="module")
def proxy(host: Host) -> str:
    """The address of a proxy that Traefik trusts: the host itself, when it asks under this one."""
    return host.interface("eth0").addresses[0]


@pytest.fixture(scope="module", autouse=True)
def deployed(first_certificate: dict[str, str], proxy: str) -> None:
    play(
        "deploy-stacks",
        access="local",
        domain="localhost",
        shop_access=None,
        data_in="volumes",
        traefik_http_port=8080,
        traefik_https_port=8443,
        traefik_trusted_proxies=[f"{proxy}/32"],
        traefik_rate_limit=1,
        traefik_rate_burst=10,
    )


def traefik(host: Host) -> str:
    return host.check_output(
        "docker inspect traefik --format '{{.NetworkSettings.Networks.frontend.IPAddress}}'"
    )


def status(host: Host, name: str, path: str, forwarded: str, proxy: str = "") -> str:
    """What a client gets that speaks to Traefik itself; under the proxy's address if given."""
    source = f"--interface {proxy}" if proxy else ""
    return host.check_output(
        f"curl -sk -o /dev/null -w '%%{{http_code}}' {source} -H %s --resolve %s %s",
        f"X-Forwarded-For: {forwarded}",
        f"{name}:8443:{traefik(host)}",
        f"https://{name}:8443{path}",
    )


def test_only_this_machine_reaches_it_and_by_the_ports_that_it_was_given(host: Host, proxy: str) -> None:
    ask = "curl -s --cacert /srv/docker/traefik/certificates/ca.crt --resolve %s --resolve %s -Lo /dev/null -w %s %s"
    shown = host.check_output(
        ask,
        f"{SHOP}:8080:127.0.0.1",
        f"{SHOP}:8443:127.0.0.1",
        "%{url_effective} %{http_code}",
        f"http://{SHOP}:8080/ping",
    )
    assert shown == f"https://{SHOP}:8443/ping 200"
    assert host.run("curl -sk https://%s:8443/", proxy).rc == 7


def test_clients_behind_a_proxy_have_a_share_each(host: Host, proxy: str) -> None:
    """One uses up its share; then nothing that it says of itself helps, and another is let in."""
    write = "echo %s | base64 -d > /run/hearth-shares.py"
    host.check_output(write, base64.b64encode(SHARES.encode()).decode())
    said = host.check_output("python3 /run/hearth-shares.py %s %s %s", traefik(host), proxy, SHOP)
    one, forging, other = map(int, said.split())
    assert one < 20  # ten at once, and one more each second
    assert forging < 5
    assert other == 10


@pytest.mark.parametrize(
    ("forwarded", "by_proxy", "answer"),
    [
        (FRIEND, True, "401"),
        (STRANGER, True, "403"),
        (f"{FRIEND}, {STRANGER}", True, "403"),
        (FRIEND, False, "403"),
    ],
)
def test_who_is_on_a_private_address_is_said_by_the_proxy_alone(
    host: Host, proxy: str, forwarded: str, by_proxy: bool, answer: str
) -> None:
    path = "/api/overview"
    assert status(host, DASHBOARD, path, forwarded, proxy if by_proxy else "") == answer


def test_the_authority_is_handed_out(host: Host, tmp_path: Path) -> None:
    play("fetch-ca", ca_folder=str(tmp_path))
    handed_out = (tmp_path / "ca-solo.crt").read_text()
    assert handed_out == host.file("/srv/docker/traefik/certificates/ca.crt").content_string
