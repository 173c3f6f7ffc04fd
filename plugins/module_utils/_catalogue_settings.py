# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform's own variables on each host, and who runs what: the catalogue's first step."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ._missing import Missing
from .inventory import Host
from .platform import OPTIONS
from .problems import Problem, show
from .service_spec import ServiceSpec

try:
    import netaddr
except ImportError:
    netaddr = Missing("netaddr")  # type: ignore[assignment]

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MIRROR = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9._-]+)*")
_DOMAIN_OF = {"local": "localhost", "lan": "lan"}


def settings_of(hosts: Sequence[Host], problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """The platform's variables for each host, defaults filled in."""
    settings = {}
    for host in hosts:
        values = {name: host.variables.get(name, option.get("default")) for name, option in OPTIONS.items()}
        values = {
            name: OPTIONS[name].get("default") if item is None else item for name, item in values.items()
        }
        values["domain"] = values["domain"] or _DOMAIN_OF.get(values["access"])
        values["address"] = values["address"] or _default_address(host, len(hosts))
        settings[host.name] = values
    _check_domain(hosts, settings, problems)
    _check_places(hosts, settings, problems)
    _check_ranges(hosts, settings, problems)
    return settings


def _check_places(
    hosts: Sequence[Host], settings: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> None:
    for host in hosts:
        for name in ("stacks_dir", "data_dir", "state_dir"):
            path = settings[host.name][name]
            if not path.startswith("/") or path.rstrip("/") == "" or ".." in path.split("/"):
                expected = "is not an absolute path of a directory of its own"
                remedy = f"write it like {OPTIONS[name]['default']}"
                problems.append(Problem(host.name, name, show(path), expected, remedy))
        mirror = settings[host.name]["image_mirror"]
        if mirror and not _MIRROR.fullmatch(mirror):
            expected = "is not a registry's name: no scheme, no space"
            remedy = "write it like registry.lan:5000 or registry.lan/mirror"
            problems.append(Problem(host.name, "image_mirror", show(mirror), expected, remedy))


def _check_ranges(
    hosts: Sequence[Host], settings: Mapping[str, dict[str, Any]], problems: list[Problem]
) -> None:
    """What is wrong is reported and left out."""
    for host in hosts:
        for name in ("source_addresses", "private_ranges"):
            good = []
            for index, text in enumerate(settings[host.name][name]):
                try:
                    good.append(str(ipaddress.ip_network(text)))
                except ValueError as error:
                    remedy = "write it like 10.2.0.190, 10.2.0.0/16 or fd00:2::/64"
                    variable = f"{name}[{index}]"
                    expected = f"is not an address or a range: {error}"
                    problems.append(Problem(host.name, variable, show(text), expected, remedy))
            settings[host.name][name] = good


def _check_domain(
    hosts: Sequence[Host], settings: Mapping[str, dict[str, Any]], problems: list[Problem]
) -> None:
    for host in hosts:
        domain = settings[host.name]["domain"]
        if domain is None:
            remedy = "set domain to a zone of your own"
            problems.append(Problem(host.name, "domain", None, "is required where access is public", remedy))
            settings[host.name]["domain"] = "domain.invalid"
        elif not all(LABEL.fullmatch(label) for label in str(domain).split(".")):
            expected = "is not a domain name: labels of a-z, 0-9 and -, joined by dots"
            problems.append(
                Problem(host.name, "domain", show(domain), expected, "write it like home.example.org")
            )


def _default_address(host: Host, count: int) -> str | None:
    if host.variables.get("ansible_connection") == "local" and count == 1:
        return "127.0.0.1"
    written = host.variables.get("ansible_host", host.name)
    return (
        written if isinstance(written, str) and netaddr.valid_ipv4(written, flags=netaddr.INET_PTON) else None
    )


def check_addresses(
    hosts: Sequence[Host], settings: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> None:
    holders: dict[str, str] = {}
    for host in hosts:
        address = settings[host.name]["address"]
        if not settings[host.name]["stacks"]:
            continue
        if address is None:
            expected = "is missing, and ansible_host is not an IP address"
            remedy = "set address to the IP address at which other hosts reach this one"
            problems.append(Problem(host.name, "address", None, expected, remedy))
        elif not _is_address(address):
            expected = "is not an IP address"
            problems.append(
                Problem(host.name, "address", show(address), expected, "write it like 10.2.0.190")
            )
        elif address in holders:
            expected = f"is also the address of {holders[address]}"
            problems.append(
                Problem(host.name, "address", address, expected, "give one of them another address")
            )
        else:
            holders[address] = host.name


def _is_address(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    return netaddr.valid_ipv4(text, flags=netaddr.INET_PTON) or netaddr.valid_ipv6(text)


def placements(
    specs: Mapping[str, ServiceSpec],
    hosts: Sequence[Host],
    settings: Mapping[str, Mapping[str, Any]],
    problems: list[Problem],
) -> list[tuple[Host, str]]:
    """(host, service) in deploy order: hosts as in the inventory, services by their order."""
    placed: list[tuple[Host, str]] = []
    for host in hosts:
        stacks = settings[host.name]["stacks"]
        wanted = [name for name in stacks if isinstance(name, str)] if isinstance(stacks, list) else []
        for name in sorted({name for name in wanted if wanted.count(name) > 1}):
            problems.append(Problem(host.name, "stacks", name, "is listed twice", "list it once"))
        for name in dict.fromkeys(wanted):
            if name not in specs:
                similar = get_close_matches(name, specs, n=1)
                hint = f"did you mean {similar[0]}? " if similar else ""
                remedy = f"{hint}known services: {', '.join(sorted(specs))}"
                problems.append(Problem(host.name, "stacks", name, "is not a known service", remedy))
            elif _fits_tier(specs[name], host):
                placed.append((host, name))
            else:
                tier = specs[name].tier
                expected = f"{name} runs on {tier} hosts, and {host.name} is not in the group {tier}"
                remedy = f"put {host.name} into the group {tier}, or {name} on another host"
                problems.append(Problem(host.name, "stacks", name, expected, remedy))
    place = {host.name: index for index, host in enumerate(hosts)}
    return sorted(placed, key=lambda item: (place[item[0].name], specs[item[1]].order, item[1]))


def _fits_tier(spec: ServiceSpec, host: Host) -> bool:
    return spec.tier == "every" or spec.tier in host.groups
