"""What the packet filter lets in, tried from a neighbour of the host: a network namespace with addresses of any kind.

The scenario's host publishes 80 and 443 for private addresses; here a plain web server stands in for the front door.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

STRANGER, NEIGHBOUR = "203.0.113.2", "10.99.0.2"
STRANGER_6, NEIGHBOUR_6 = "2001:db8::2", "fd00:99::2"
ANSWERED, REFUSED = 0, 7  # curl's exit status
SETUP = """
ip netns add neighbour
ip link add hth0 type veth peer name hth1 netns neighbour
sysctl -qw net.ipv6.conf.hth0.disable_ipv6=0
ip netns exec neighbour sysctl -qw net.ipv6.conf.hth1.disable_ipv6=0
for pair in 203.0.113.1/24=203.0.113.2/24 10.99.0.1/24=10.99.0.2/24 \
            2001:db8::1/64=2001:db8::2/64 fd00:99::1/64=fd00:99::2/64; do
  case $pair in *:*) flags=nodad;; *) flags=;; esac
  ip addr add ${pair%=*} dev hth0 $flags
  ip -n neighbour addr add ${pair#*=} dev hth1 $flags
done
ip link set hth0 up; ip -n neighbour link set lo up; ip -n neighbour link set hth1 up
for port in 443 8080 22022; do
  systemd-run --quiet --unit=web-$port python3 -m http.server $port --bind :: --directory /var/empty
done
for port in 443 8080 22022; do
  curl -s -o /dev/null --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:$port
done
"""
CLEANUP = "systemctl stop web-443 web-8080 web-22022; ip link del hth0; ip netns del neighbour"


@pytest.fixture(scope="module")
def neighbour(host: Host) -> Iterator[Host]:
    host.run(CLEANUP)
    host.check_output("mkdir -p /var/empty && set -e" + SETUP)
    yield host
    host.run(CLEANUP)


def reach(host: Host, source: str, port: int = 443) -> int:
    target = {
        STRANGER: "203.0.113.1",
        NEIGHBOUR: "10.99.0.1",
        STRANGER_6: "[2001:db8::1]",
        NEIGHBOUR_6: "[fd00:99::1]",
    }[source]
    url = f"http://{target}:{port}/"
    return host.run(f"ip netns exec neighbour curl -s -o /dev/null -m 5 --interface {source} {url}").rc


def test_private_addresses_come_in_and_strangers_do_not(neighbour: Host) -> None:
    assert reach(neighbour, NEIGHBOUR) == ANSWERED
    assert reach(neighbour, NEIGHBOUR_6) == ANSWERED
    assert reach(neighbour, STRANGER) == REFUSED
    assert reach(neighbour, STRANGER_6) == REFUSED


def test_the_host_itself_reaches_its_ports(neighbour: Host) -> None:
    assert neighbour.run("curl -s -o /dev/null -m 5 http://203.0.113.1:443/").rc == ANSWERED


def test_ports_that_hearth_does_not_publish_stay_as_they_are(neighbour: Host) -> None:
    for source in (STRANGER, STRANGER_6, NEIGHBOUR):
        assert reach(neighbour, source, 8080) == ANSWERED
        assert reach(neighbour, source, 22022) == ANSWERED


def test_ssh_lets_a_stranger_knock(neighbour: Host) -> None:
    greeting = "exec 3<>/dev/tcp/203.0.113.1/22; read -r line <&3; echo $line"
    assert neighbour.check_output(f"ip netns exec neighbour bash -c '{greeting}'").startswith("SSH-2.0")


def test_without_the_filter_the_stranger_would_come_in(neighbour: Host) -> None:
    """Else the tests above would prove nothing."""
    neighbour.check_output("nft delete table inet hearth")
    try:
        assert reach(neighbour, STRANGER) == ANSWERED
    finally:
        neighbour.check_output("systemctl restart hearth-filter")
    assert reach(neighbour, STRANGER) == REFUSED


def test_no_connection_slips_in_while_the_rules_are_replaced(neighbour: Host) -> None:
    script = """
    (for i in $(seq 100); do nft -f /etc/hearth/filter.nft; done) & replacing=$!
    slipped=0; tried=0
    while kill -0 $replacing 2>/dev/null; do
      tried=$((tried + 1))
      if ip netns exec neighbour curl -s -o /dev/null -m 2 --interface 203.0.113.2 http://203.0.113.1:443/
      then slipped=$((slipped + 1)); fi
    done
    echo $tried $slipped
    """
    tried, slipped = map(int, neighbour.check_output(script).split())
    assert tried > 5
    assert slipped == 0


def test_it_survives_a_restart_of_the_engine_and_a_flush_by_nftables(neighbour: Host) -> None:
    neighbour.check_output("systemctl restart docker")
    assert reach(neighbour, STRANGER) == REFUSED
    # The lab masks the distribution's unit; this one has its name, its flush, and the drop-in of the role.
    neighbour.check_output(
        "rm -f /etc/systemd/system/nftables.service && mkdir -p /run/systemd/system && "
        "printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/usr/sbin/nft flush ruleset\\n"
        "ExecReload=/usr/sbin/nft flush ruleset\\nExecStop=/usr/sbin/nft flush ruleset\\n' "
        "> /run/systemd/system/nftables.service && systemctl daemon-reload"
    )
    try:
        for verb in ("start", "reload", "restart", "stop"):
            neighbour.check_output(f"systemctl {verb} nftables")
            assert reach(neighbour, STRANGER) == REFUSED, verb
            assert reach(neighbour, NEIGHBOUR) == ANSWERED, verb
    finally:
        neighbour.check_output(
            "rm /run/systemd/system/nftables.service && ln -s /dev/null /etc/systemd/system/nftables.service"
            # systemd counts the restarts of the tests as a crash loop.
            " && systemctl daemon-reload && systemctl reset-failed docker && systemctl restart docker"
        )


def test_the_unit_loads_it_at_boot_before_the_engine(host: Host) -> None:
    assert host.service("hearth-filter").is_enabled
    before = host.check_output("systemctl show hearth-filter -p Before --value").split()
    assert {"docker.service", "network-pre.target"} <= set(before)
    host.check_output("systemd-analyze verify hearth-filter.service")
