# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform's names as DNS zones, once as the platform itself sees them (inside) and once as all others do.

Pure functions over the fleet (docs/architecture.md). What there is:
- each host's name with its address; outside only hosts that other public names lead to;
- each service with a route: an alias of its front door's host;
- each service without a route that others reach over the network: an alias of its host, inside only; with several
  hosts their addresses;
- the operator's records; those marked `internal` inside only;
- `_acme-challenge` below each name that is proven by a record (dns-01): a zone of its own, because these are written by
  updates and the rest by Hearth;
- the names of the hosts' private addresses, inside only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .dns_records import Record, Wrong, parse
from .problems import Problem, show

CHALLENGE = "_acme-challenge"
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ADDRESSES = ("A", "AAAA")
# What one IPv4 or IPv6 network of a site is; zones of its addresses are cut there.
_NETWORK = {4: 24, 6: 64}


@dataclass(frozen=True)
class Named:
    """A record with where it comes from: `what` ("the name of the host edge"), and the variable to mend."""

    record: Record
    what: str
    host: str
    variable: str
    written: str
    own: bool = False


def zones(fleet: Mapping[str, Any], host: str) -> dict[str, list[dict[str, Any]]]:
    """`inside`, `outside` and `challenges`: lists of {name, primary, servers, records} for the resolver on `host`.

    primary, servers: names of this resolver's host and of all of them, with a last dot. records: {owner, type, value,
    ttl}, ttl None for the zone's own, in a stable order. A zone of challenges begins without records.
    """
    resolver = next(item for item in fleet["services"] if item["resolver"] and item["host"] == host)
    found = list(_generated(fleet)) + _own(fleet, resolver)[0]
    hosts = [item["host"] for item in fleet["services"] if item["resolver"]]
    servers = [f"{host_name(fleet, item)}." for item in [host, *(item for item in hosts if item != host)]]

    def zone(name: str, records: Iterable[Record]) -> dict[str, Any]:
        lines = sorted(
            {(item.owner != "@", item.owner, item.type, item.value, item.ttl) for item in records},
            key=lambda line: (*line[:4], line[4] or 0),
        )
        rows = [
            {"owner": owner, "type": kind, "value": value, "ttl": ttl}
            for _at, owner, kind, value, ttl in lines
        ]
        return {"name": name, "primary": servers[0], "servers": servers, "records": rows}

    challenges = _challenges(fleet)
    records = [item.record for item in found]
    for name in challenges:
        parent = _zone_of(name, fleet)
        owner = name.removesuffix(f".{parent}")
        records += [Record(parent, owner, "NS", server) for server in servers]
    domains = _domains(fleet)
    reverse = _reverse(fleet, records)
    return {
        "inside": [zone(name, (item for item in records if item.zone == name)) for name in domains]
        + [zone(name, (item for item in reverse if item.zone == name)) for name in _names(reverse)],
        "outside": [
            zone(name, (item for item in records if item.zone == name and not item.internal))
            for name in domains
        ],
        "challenges": [zone(name, ()) for name in challenges],
    }


def networks(fleet: Mapping[str, Any]) -> dict[str, list[str]]:
    """Who asks: `inside`, where the platform's hosts and their containers come from, and `private` addresses.

    As named writes networks. The networks of the resolver's own container are inside, too; named knows them itself.
    """
    hosts = fleet["hosts"].values()
    inside = [address for host in hosts for address in (host["address"], *host["sources"]) if address]
    return {"inside": _aligned(inside), "private": _aligned(fleet["platform"]["private_ranges"])}


def _aligned(written: Iterable[str]) -> list[str]:
    """Networks without host bits, which named refuses; a single address without its length."""
    found = {ipaddress.ip_network(text, strict=False): None for text in written}
    return [str(item).removesuffix(f"/{item.max_prefixlen}") for item in found]


def problems(fleet: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the names of a platform that has a resolver of its own; nothing without one."""
    resolvers = [item for item in fleet["services"] if item["resolver"]]
    if not resolvers:
        return []
    found = [
        Problem(
            host, "inventory_hostname", show(host), "is no name in DNS", "rename it: letters, digits and -"
        )
        for host, facts in fleet["hosts"].items()
        if not _LABEL.fullmatch(_label(host, facts["domain"]))
    ]
    for resolver in resolvers:
        address = _address(resolver)
        if address and address.version == 6:
            # Docker hands such clients over under an address of its own: outsiders would be taken for containers.
            expected = "is an IPv6 address, over which the resolver cannot tell who asks"
            remedy = "give the host an IPv4 address, or run the resolver on another"
            found.append(Problem(resolver["host"], "address", resolver["address"], expected, remedy))
        records, wrong = _own(fleet, resolver)
        found += wrong
        found += _clashes([*_generated(fleet), *records], _challenges(fleet))
        found += _networks_of(resolver)
    return list(dict.fromkeys(found))


def host_name(fleet: Mapping[str, Any], host: str) -> str:
    """A host's full name in DNS."""
    domain = fleet["hosts"][host]["domain"]
    return f"{_label(host, domain)}.{domain}"


def _label(name: str, domain: str) -> str:
    """A host's or a service's name as one label: what the inventory allows and DNS does not becomes a hyphen."""
    return re.sub(r"[._]", "-", name.lower().removesuffix(f".{domain}"))


def _domains(fleet: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(item["domain"] for item in fleet["services"]))


def _zone_of(name: str, fleet: Mapping[str, Any]) -> str:
    return max((zone for zone in _domains(fleet) if name.endswith(f".{zone}")), key=len)


def _generated(fleet: Mapping[str, Any]) -> Iterator[Named]:
    services = fleet["services"]
    seen = {item["front"] for item in services if item["front"]}
    seen |= {item["host"] for item in services if item["resolver"]}
    domains = _domains(fleet)
    for host, facts in fleet["hosts"].items():
        if facts["domain"] in domains:
            label = _label(host, facts["domain"])
            for record in _host_records(facts, label, internal=host not in seen):
                yield Named(record, f"the name of the host {host}", host, "inventory_hostname", host)
    for service in services:
        if service["front"] and service["fqdn"]:
            target = f"{host_name(fleet, service['front'])}."
            record = Record(service["domain"], service["hostname"], "CNAME", target)
            yield _of_service(service, record)
    yield from _internal(fleet)


def _internal(fleet: Mapping[str, Any]) -> Iterator[Named]:
    """The services that are reached at a published port and by no route."""
    reached = [item for item in fleet["services"] if item["publish"] and not item["front"]]
    hosts_of: dict[tuple[str, str], list[str]] = {}
    for service in reached:
        hosts_of.setdefault((service["name"], service["domain"]), []).append(service["host"])
    for service in reached:
        label = service["hostname"] or _label(service["name"], service["domain"])
        if len(hosts_of[service["name"], service["domain"]]) == 1:
            target = f"{host_name(fleet, service['host'])}."
            yield _of_service(service, Record(service["domain"], label, "CNAME", target, internal=True))
        else:
            for record in _host_records(fleet["hosts"][service["host"]], label, internal=True):
                yield _of_service(service, record)


def _of_service(service: Mapping[str, Any], record: Record) -> Named:
    variable = f"{service['name']}_hostname" if service["hostname"] else "stacks"
    written = service["hostname"] or service["name"]
    return Named(record, f"the name of {service['name']}", service["host"], variable, written)


def _host_records(facts: Mapping[str, Any], owner: str, internal: bool) -> Iterator[Record]:
    """None where the address is none, which the catalogue reports."""
    address = _address(facts)
    if address:
        kind = "A" if address.version == 4 else "AAAA"
        yield Record(facts["domain"], owner, kind, str(address), internal=internal)


def _address(facts: Mapping[str, Any]) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(facts["address"])
    except ValueError:
        return None


def _own(fleet: Mapping[str, Any], resolver: Mapping[str, Any]) -> tuple[list[Named], list[Problem]]:
    """The operator's records of one resolver, those that can be, and what is wrong with the others."""
    domain, host, variable = (
        resolver["domain"],
        resolver["host"],
        resolver["resolver"]["variables"]["records"],
    )
    domains = [domain, *(item for item in _domains(fleet) if item != domain)]
    found, wrong = [], []
    for index, written in enumerate(resolver["resolver"]["records"]):
        where = f"{variable}[{index}]"
        try:
            record = parse(written, domains)
        except Wrong as reason:
            value = show(written.get(reason.key))
            wrong.append(Problem(host, f"{where}.{reason.key}", value, reason.expected, reason.remedy))
        else:
            what = f"the {record.type} record {where}"
            found.append(Named(record, what, host, f"{where}.name", str(written["name"]), own=True))
    return found, wrong


def _clashes(found: Sequence[Named], challenges: Iterable[str]) -> Iterator[Problem]:
    """Names that two things have: the later one is told."""
    for item in (item for item in found if item.own):
        for name in challenges:
            if item.record.name == name or item.record.name.endswith(f".{name}"):
                remedy = "remove it, or write it with nsupdate"
                yield _clash(item, "the proofs of ACME, which are written by updates", remedy)
    by_name: dict[str, list[Named]] = {}
    for item in found:
        for other in by_name.setdefault(item.record.name, []):
            if _exclude(other, item):
                yield _clash(item, f"{other.what} on {other.host}" if not other.own else other.what)
                break
        by_name[item.record.name].append(item)


def _exclude(first: Named, second: Named) -> bool:
    """Whether two records cannot both be: an alias is alone, a generated address is complete, a line stands once."""
    kinds = {first.record.type, second.record.type}
    if first.own or second.own:
        same = first.record == second.record
        generated = not (first.own and second.own)
        return "CNAME" in kinds or same or (generated and kinds <= set(_ADDRESSES))
    # Several hosts of one service have its name together.
    return first.what != second.what or "CNAME" in kinds


def _clash(item: Named, other: str, remedy: str = "give one of them another name") -> Problem:
    return Problem(item.host, item.variable, show(item.written), f"is already {other}", remedy)


def _challenges(fleet: Mapping[str, Any]) -> list[str]:
    """The zones of ACME's proofs: of each name that is proven by a record, and of its domain for a wildcard."""
    proven = [item for item in fleet["services"] if item["front"] and item["acme"] == "dns-01"]
    names = {item["fqdn"] for item in proven} | {item["domain"] for item in proven}
    return sorted(f"{CHALLENGE}.{name}" for name in names)


def _reverse(fleet: Mapping[str, Any], records: Iterable[Record]) -> list[Record]:
    """The names of addresses in the networks of the hosts, as far as these are private. The first name counts."""
    cut = {}
    for facts in fleet["hosts"].values():
        address = _address(facts)
        if address and address.is_private and not (address.is_loopback or address.is_link_local):
            cut[ipaddress.ip_network((address, _NETWORK[address.version]), strict=False)] = True
    named: dict[str, str] = {}
    hosts = {f"{host_name(fleet, host)}.": True for host in fleet["hosts"]}
    ordered = sorted(
        (item for item in records if item.type in _ADDRESSES and "*" not in item.owner),
        key=lambda item: f"{item.name}." not in hosts,
    )
    found = []
    for item in ordered:
        address = ipaddress.ip_address(item.value)
        network = next((network for network in cut if address in network), None)
        if network and named.setdefault(item.value, item.name) == item.name:
            zone = _reverse_zone(network)
            owner = address.reverse_pointer.removesuffix(f".{zone}")
            found.append(Record(zone, owner, "PTR", f"{item.name}."))
    return found


def _reverse_zone(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    labels = network.network_address.reverse_pointer.split(".")
    host_labels = (network.max_prefixlen - network.prefixlen) // (8 if network.version == 4 else 4)
    return ".".join(labels[host_labels:])


def _names(records: Iterable[Record]) -> list[str]:
    return sorted({item.zone for item in records})


def _networks_of(resolver: Mapping[str, Any]) -> Iterator[Problem]:
    """Addresses and networks that named would refuse, or read otherwise than they were meant."""
    variables = resolver["resolver"]["variables"]
    for key, read, expected, example in (
        ("forwarders", ipaddress.ip_address, "is not an IP address", "9.9.9.9"),
        ("resolves_for", ipaddress.ip_network, "is not a network", "192.168.1.0/24"),
    ):
        for index, value in enumerate(resolver["resolver"][key]):
            try:
                read(value)
            except ValueError:
                variable = f"{variables[key]}[{index}]"
                yield Problem(resolver["host"], variable, show(value), expected, f"write it like {example}")
