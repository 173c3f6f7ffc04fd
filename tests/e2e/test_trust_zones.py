"""A model server's port is for the trusted host and nobody else, in every state that its host may be in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ..lab import table
from .conftest import BIN, GPU_1, ROOT

pytestmark = [pytest.mark.lab, pytest.mark.long]
URL = f"http://{GPU_1}:11434/"
ANSWERED, REFUSED = "0", "7"  # curl's exit status; 7: no connection
STRANGER = "198.51.100.50"
FILE = "/etc/hearth/filter.nft"


def knock(platform: Any, host: str, url: str = URL, *options: str) -> str:
    """What curl on a host says of a URL: its exit status."""
    command = f"curl -s -g -o /dev/null --max-time 5 {' '.join(options)} '{url}'; echo $?"
    return platform.ssh(host, command).strip()


def assert_only_the_trusted_host_comes_in(platform: Any, url: str = URL) -> None:
    assert knock(platform, "edge", url, "--retry 10 --retry-connrefused --retry-delay 1") == ANSWERED
    assert knock(platform, "outsider", url) == REFUSED
    assert knock(platform, "gpu-2", url) == REFUSED


@pytest.fixture
def repaired(platform: Any) -> Iterator[None]:
    """Docker's rules and ours, as they were."""
    yield
    platform.ssh("gpu-1", f"nft -f {FILE} && systemctl restart docker")


def test_normally(platform):
    assert_only_the_trusted_host_comes_in(platform)
    assert knock(platform, "outsider", URL, "--interface", STRANGER) == REFUSED


def test_after_a_restart_of_docker(platform):
    platform.ssh("gpu-1", "systemctl restart docker")
    assert_only_the_trusted_host_comes_in(platform)


def test_after_a_reboot_of_the_host_ssh_is_open_and_the_port_is_not(platform):
    platform.reboot("gpu-1")
    assert "inet hearth" in platform.ssh("gpu-1", "nft list tables")
    assert_only_the_trusted_host_comes_in(platform)
    assert "SSH-2.0" in platform.ssh(
        "outsider", f"bash -c 'exec 3<>/dev/tcp/{GPU_1}/22; read -r line <&3; echo $line'"
    )


def test_while_the_rules_are_replaced(platform):
    replacing = subprocess.Popen(
        [BIN / "python", "-m", "tests.lab", "ssh", "gpu-1", f"for i in $(seq 300); do nft -f {FILE}; done"],
        cwd=ROOT,
    )
    counted = platform.ssh(
        "outsider",
        f"in=0; for i in $(seq 100); do curl -s -o /dev/null -m 2 {URL} && in=$((in + 1)); done; echo $in",
    )
    assert replacing.wait() == 0
    assert counted.strip() == "0"


@pytest.mark.usefixtures("repaired")
def test_where_dockers_own_rules_are_missing_and_its_proxy_answers(platform):
    platform.ssh("gpu-1", "iptables -t nat -F; iptables -F; iptables -P FORWARD ACCEPT")
    assert_only_the_trusted_host_comes_in(platform)
    platform.ssh("gpu-1", "nft delete table inet hearth")
    assert knock(platform, "outsider") == ANSWERED, "the proxy would not have answered anyway"


@pytest.mark.usefixtures("repaired")
def test_a_containers_own_address_is_no_way_past_it(platform):
    address = platform.ssh(
        "gpu-1", "docker inspect ollama --format '{{.NetworkSettings.Networks.frontend.IPAddress}}'"
    ).strip()
    platform.ssh("outsider", f"ip route replace {address} via {GPU_1}")
    try:
        assert knock(platform, "outsider", f"http://{address}:11434/") == REFUSED
        platform.ssh("gpu-1", "nft delete table inet hearth")
        assert knock(platform, "outsider", f"http://{address}:11434/") == ANSWERED
    finally:
        platform.ssh("outsider", f"ip route del {address}")


@pytest.mark.usefixtures("repaired")
def test_without_dockers_rules_its_socket_is_still_out_of_reach_of_other_stacks(platform):
    """`edge`: from `frontend` to the address of the socket's proxy on its private network."""
    address = platform.ssh(
        "edge",
        "docker inspect traefik-socket-proxy --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'",
    ).strip()
    pid = platform.ssh("edge", "docker inspect litellm --format '{{.State.Pid}}'").strip()
    ask = f"nsenter -t {pid} -n curl -s -o /dev/null --max-time 5 http://{address}:2375/version; echo $?"
    platform.ssh("edge", "iptables -F; iptables -P FORWARD ACCEPT")
    try:
        assert platform.ssh("edge", ask).strip() == REFUSED
        platform.ssh("edge", "nft delete table inet hearth")
        assert platform.ssh("edge", ask).strip() == ANSWERED, "Docker's rules would have been enough"
    finally:
        platform.ssh("edge", f"nft -f {FILE} && systemctl restart docker")


def test_a_changed_or_missing_table_is_found_and_mended(platform):
    platform.ssh("gpu-1", "nft flush chain inet hearth arriving")
    platform.ssh("edge", "systemctl disable --quiet hearth-filter")
    found = platform.play("verify")
    assert found.code != 0
    assert "what is loaded is not what its file says" in found.output
    assert "hearth-filter.service is not enabled" in found.output
    for arguments in (["--check"], []):  # what is predicted, and what is done
        output = platform.deploy(*arguments).succeeded().output
        assert {line.split()[0] for line in output.splitlines() if "Load the rules" in line} == {
            "edge",
            "gpu-1",
        }
    assert_only_the_trusted_host_comes_in(platform)
    platform.play("verify").succeeded()


def test_by_ipv6_too(platform, inventory_with):
    """The same platform with the compute host at an IPv6 address, where Docker's userland proxy answers."""
    edge, gpu = (
        next(address.partition("/")[0] for address in table.hosts()[name].also if ":" in address)
        for name in ("edge", "gpu-1")
    )

    def move(hosts):
        hosts["compute"]["hosts"]["gpu-1"]["address"] = gpu
        hosts["trusted"]["hosts"]["edge"]["source_addresses"] = [edge]

    platform.deploy("--limit", "gpu-1", inventory=inventory_with(move)).succeeded()
    try:
        url = f"http://[{gpu}]:11434/"
        assert knock(platform, "edge", url, "--retry 10 --retry-connrefused --retry-delay 1") == ANSWERED
        for source in table.hosts()["outsider"].also:
            if ":" in source:
                assert knock(platform, "outsider", url, "--interface", source.partition("/")[0]) == REFUSED
        platform.ssh("gpu-1", "nft delete table inet hearth")
        assert knock(platform, "outsider", url) == ANSWERED, "nothing else would have refused it"
    finally:
        platform.deploy("--limit", "gpu-1").succeeded()


def test_a_service_that_is_taken_away_takes_its_rule_along(platform, inventory_with):
    def empty(hosts):
        hosts["compute"]["hosts"]["gpu-2"] = {
            "ansible_host": table.hosts()["gpu-2"].address,
            "stacks": ["ollama"],
        }

    def emptied(hosts):
        empty(hosts)
        hosts["compute"]["hosts"]["gpu-2"]["stacks"] = []

    platform.deploy("--limit", "gpu-2", inventory=inventory_with(empty)).succeeded()
    assert "dport 11434" in platform.ssh("gpu-2", "nft list table inet hearth")
    run = platform.deploy("--limit", "gpu-2", inventory=inventory_with(emptied)).succeeded()
    assert "Take the filter away" in run.output or "Remove the table" in run.output, run.output
    assert (
        platform.ssh("gpu-2", f"nft list tables; ls {FILE} 2>&1 || true")
        .splitlines()[-1]
        .endswith("No such file or directory")
    )
    assert "inet hearth" not in platform.ssh("gpu-2", "nft list tables")


def test_no_container_but_the_proxy_holds_dockers_socket(platform):
    for host in ("edge", "gpu-1"):
        mounts = platform.ssh(
            host,
            "docker ps -q | xargs docker inspect --format '{{.Name}} {{range .Mounts}}{{.Source}} {{end}}'",
        )
        holders = {line.split()[0] for line in mounts.splitlines() if "docker.sock" in line}
        assert holders <= {"/traefik-socket-proxy"}
