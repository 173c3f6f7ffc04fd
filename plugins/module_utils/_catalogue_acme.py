# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates from an ACME authority: which front doors ask for them, and for which services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .problems import Problem, show
from .service_spec import ServiceSpec

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def give_certificates(
    specs: Mapping[str, ServiceSpec],
    services: Sequence[dict[str, Any]],
    settings: Mapping[str, Mapping[str, Any]],
    problems: list[Problem],
) -> None:
    """Set `authority`, how a front door asks for certificates, and `acme`, the challenge, of the services they are for.

    Both None where certificates come from elsewhere: from the operator, or from the platform's own authority.
    """
    for door in (service for service in services if service["front_door"]):
        spec, own = specs[door["name"]], settings[door["host"]]
        public = [
            service
            for service in services
            if service["front"] == door["host"] and service["access"] == "public"
        ]
        if not public or door["variables"].get(spec.front_door.get("certificate")):
            continue
        wrong = [*_wrong_names(public), *_wrong_settings(spec, door, own, public[0])]
        problems.extend(wrong)
        if not wrong:
            door["authority"] = {key: own[f"acme_{key}"] for key in _SETTINGS}
            for service in public:
                service["acme"] = own["acme_challenge"]


def _wrong_names(public: Iterable[Mapping[str, Any]]) -> Iterable[Problem]:
    for service in public:
        if "." not in service["domain"]:
            expected = f"is no domain in which an authority would vouch for {service['name']}, whose access is public"
            yield Problem(service["host"], "domain", service["domain"], expected, "use a domain of your own")


_SETTINGS = ("email", "challenge", "server", "ca", "certificate_hours")


def _wrong_settings(
    spec: ServiceSpec, door: Mapping[str, Any], own: Mapping[str, Any], example: Mapping[str, Any]
) -> Iterable[Problem]:
    host = door["host"]
    if not own["acme_email"]:
        variable = spec.front_door.get("certificate")
        or_own = f", or a certificate of your own as {variable}" if variable else ""
        expected = f"is required: {example['name']} on {example['host']} has public access"
        yield Problem(host, "acme_email", None, expected, f"set it to an address that you read{or_own}")
    elif not _EMAIL.fullmatch(own["acme_email"]):
        expected = "is not an e-mail address"
        yield Problem(host, "acme_email", show(own["acme_email"]), expected, "write it like me@example.org")
    if not own["acme_server"].startswith("https://"):
        expected = "is not the address of an ACME directory, which begins with https://"
        yield Problem(
            host, "acme_server", show(own["acme_server"]), expected, "leave it out for Let's Encrypt"
        )
    if own["acme_certificate_hours"] < 1:
        value = str(own["acme_certificate_hours"])
        yield Problem(host, "acme_certificate_hours", value, "is not a time", "leave it out for 90 days")
    name_server = spec.front_door.get("name_server", "")
    if own["acme_challenge"] == "dns-01" and not door["uses"].get(name_server):
        expected = "needs a name server of the platform that holds the zone, and no host runs one"
        remedy = f"add {name_server or 'one'} to the stacks of a host, or use http-01"
        yield Problem(host, "acme_challenge", "dns-01", expected, remedy)
    if own["data_in"] == "volumes":
        expected = (
            "cannot hold what an authority issues: a named volume is root's, and the front door is not root"
        )
        yield Problem(host, "data_in", "volumes", expected, "use directories")
