# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The packet filter of a host: the view's rules as an nftables table, and how a host's own differs from it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import groupby, product
from typing import Any

from ._nft import FILE, SERVICE
from .off import off
from .problems import Problem
from .view_filter import admitted, every_source

# Every bridge of Hearth's own Docker networks is called so (roles/host, templates/stack.j2).
BRIDGES = "hearth-*"

_HEAD = """\
# Who may reach what Hearth publishes on {host}. Ports that Hearth does not publish pass untouched, ssh's among them.
# Rendered by Hearth (role host) from the catalogue; verify finds an edit, the next deploy undoes it.
# Loaded at boot, before Docker, by {service}. What is in effect: nft list table inet hearth

# The three together replace the table in one step.
table inet hearth
delete table inet hearth
table inet hearth {{
\tchain arriving {{
\t\t# Before destinations are rewritten (dstnat): Docker's rules, its userland proxy, or neither, it is the same here.
\t\ttype filter hook prerouting priority mangle; policy accept;
\t\tiifname "lo" accept
\t\t# Answers to what this host or its containers asked.
\t\tct direction reply accept
"""
_TAIL = "\t}\n}\n"


def table(fleet: Mapping[str, Any], host: str, look: Mapping[str, Any] | None = None) -> str | None:
    """The file for `nft -f`, or None where the host is to have no filter of Hearth's.

    look: the result of hearth.llm.look. From it come the ports of stacks that left the inventory and still run, which
    stay closed to strangers, and the bridge of a network `frontend` that was there before Hearth.
    """
    if not fleet["hosts"][host]["packet_filter"]:
        return None
    rows = admitted(fleet, host) + (_closing(fleet, host, look) if look else [])
    if not rows and not fleet["hosts"][host]["services"]:
        return None
    rules = []
    for what, group in groupby(rows, lambda row: row["what"]):
        rules += ["", f"# {what}", *(rule for row in group for rule in _rules(row))]
    rules += _containers(_older_bridges(look))
    return (
        _HEAD.format(host=host, service=SERVICE)
        + "".join(f"\t\t{rule}\n" if rule else "\n" for rule in rules)
        + _TAIL
    )


def differences(wanted: str | None, found: Mapping[str, Any]) -> list[str]:
    """In words, how a host's packet filter differs; found: `filter` of hearth.llm.look."""
    if wanted is None:
        return ["is there and not wanted"] if found["file"] is not None or found["loaded"] else []
    reasons = []
    if found["file"] is None:
        reasons.append("is not installed")
    elif found["file"] != wanted:
        reasons.append(f"{FILE} changed")
    elif not found["loaded"]:
        reasons.append("is not loaded")
    elif not found["as_file"]:
        reasons.append("what is loaded is not what its file says")
    if found["file"] is not None and not found["enabled"]:
        reasons.append(f"{SERVICE} is not enabled, so the next boot comes without it")
    return reasons


def problems(host: str, wanted: str | None, look: Mapping[str, Any]) -> list[Problem]:
    """What keeps the wanted filter from working on this host."""
    if wanted is None:
        return []
    off_switch = "or set packet_filter: false and see to the ports of this host in another way"
    if look["system"]["uid"] != 0:
        remedy = f"connect as root or with become, {off_switch}"
        return [Problem(host, "packet_filter", "true", "needs root on the host", remedy)]
    if not look["system"]["systemd"]:
        remedy = f"use a host with systemd, {off_switch}"
        return [Problem(host, "packet_filter", "true", "needs systemd, to come back at boot", remedy)]
    if look["filter"]["error"]:
        expected = f"nf_tables cannot be used here: {look['filter']['error']}"
        remedy = f"{_how_to_allow(look)}, {off_switch}"
        return [Problem(host, "packet_filter", "true", expected, remedy)]
    return []


def _how_to_allow(look: Mapping[str, Any]) -> str:
    if look["container"]["kind"]:
        return (
            "on the machine that this container runs on: modprobe nf_tables nft_fib_inet nft_reject_inet nft_ct, "
            "and leave the container CAP_NET_ADMIN"
        )
    return "load the kernel modules nf_tables, nft_fib_inet, nft_reject_inet and nft_ct"


def _rules(row: Mapping[str, Any]) -> Iterator[str]:
    port = f"{row['protocol']} dport {row['port']} "
    if row["sources"] is None:
        yield f"# {row['protocol']} {row['port']}: no rule"
        return
    if row["containers"]:
        port += f'iifname != "{BRIDGES}" '
    sources = _by_family(row["sources"])
    if row["address"] is None:
        for family in ("ip", "ip6"):
            yield f"fib daddr type local {port}{_but(family, sources[family])}reject"
    else:
        family = "ip6" if ":" in row["address"] else "ip"
        yield f"{family} daddr {row['address']} {port}{_but(family, sources[family])}reject"


def _but(family: str, sources: Iterable[str]) -> str:
    """The match of everyone but the sources. Without any, of the whole family: an empty set is no syntax."""
    found = ", ".join(sources)
    return (
        f"{family} saddr != {{ {found} }} "
        if found
        else f"meta nfproto {'ipv6' if family == 'ip6' else 'ipv4'} "
    )


def _by_family(sources: Iterable[str]) -> dict[str, list[str]]:
    """The addresses and ranges by family, those within others left out: nft refuses sets that overlap."""
    networks = [ipaddress.ip_network(source) for source in sources]
    four = ipaddress.collapse_addresses(item for item in networks if isinstance(item, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(item for item in networks if isinstance(item, ipaddress.IPv6Network))
    return {"ip": [_short(item) for item in four], "ip6": [_short(item) for item in six]}


def _short(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _containers(older_bridges: Iterable[str]) -> Iterator[str]:
    """Nobody reaches a container of Hearth's by its own address, past the published ports."""
    bridges = [BRIDGES, *older_bridges]
    elsewhere = " ".join(f'iifname != "{bridge}"' for bridge in bridges)
    yield ""
    yield "# Containers' own addresses: a neighbour needs only a route to them, and Docker before 28 lets it in."
    for bridge in bridges:
        yield f'{elsewhere} fib daddr oifname "{bridge}" reject'
    yield "# Nor do containers of one of these networks reach another's."
    for source, bridge in product(bridges, repeat=2):
        yield f'iifname "{source}" fib daddr oifname "{bridge}" fib daddr . iif oif missing reject'


def _older_bridges(look: Mapping[str, Any] | None) -> list[str]:
    bridge = look["frontend_bridge"] if look else None
    return [bridge] if bridge and not fnmatchcase(bridge, BRIDGES) else []


def _closing(fleet: Mapping[str, Any], host: str, look: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ports of stacks that a run will stop at its end: until then as far as the platform, and no farther."""
    gone = off(fleet, host, look)
    return [
        {
            "what": f"{item['project']}, which left the inventory and still runs",
            "address": None if item["address"] in ("0.0.0.0", "::") else item["address"],
            "port": item["port"],
            "protocol": item["protocol"].rstrip("6"),
            "sources": every_source(fleet),
            "containers": True,
        }
        for item in look["listening"]
        if item["project"] in gone
    ]
