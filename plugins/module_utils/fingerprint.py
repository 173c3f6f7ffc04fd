# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which values a host runs with, without saying them: keyed fingerprints beside what was committed.

A stamp is {key, fingerprint, generation}; `key` tells which vault it was made with. A host keeps one per secret of each
stack, in the stack's committed state; a deploy compares them with the vault's before it touches anything.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from .problems import Problem
from .secret_ages import generation

# A plain restart with another value does not do for these: data or a running server still has the old one.
_NEEDS_CARE = ("in-place", "migrate")
_ROTATE = "ansible-playbook … playbooks/rotate-secrets.yml -e secret="

Stamps = Mapping[str, Mapping[str, Any]]


def fingerprint(key: str, name: str, value: str) -> str:
    """HMAC-SHA-256 of a secret under the vault's own key, shortened to 128 bits: 32 hexadecimal digits."""
    return hmac.new(key.encode(), f"{name}\0{value}".encode(), hashlib.sha256).hexdigest()[:32]


def stamps(
    key: str | None, values: Mapping[str, Any], metadata: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The stamps of these values by name; none without a key."""
    if not key:
        return {}
    whose = fingerprint(key, "", "")[:8]
    return {
        name: {
            "key": whose,
            "fingerprint": fingerprint(key, name, value),
            "generation": generation(metadata.get(name)),
        }
        for name, value in values.items()
        if isinstance(value, str)
    }


def problems(
    host: str,
    service: str,
    recorded: Stamps,
    current: Stamps,
    previous: Stamps,
    secrets: Mapping[str, Mapping[str, Any]],
    rotates: bool,
) -> list[Problem]:
    """Why a host that runs with `recorded` may not be given `current`.

    previous: stamps of the old values that are still in the vault; secrets: the fleet's descriptions; rotates: whether
    this run is a rotation, which brings a half-done change to its end.
    """
    found = []
    for name, there in recorded.items():
        now, described = current.get(name), secrets.get(name)
        if (
            not (now and described)
            or now["key"] != there["key"]
            or now["fingerprint"] == there["fingerprint"]
        ):
            continue  # of another vault nothing can be told
        under_way = previous.get(name, {}).get("fingerprint") == there["fingerprint"]
        wrong = _wrong(name, service, there, now, described, under_way, rotates)
        if wrong:
            found.append(Problem(host, f"vault_{name}", "***", *wrong))
    return found


def _wrong(
    name: str,
    service: str,
    there: Mapping[str, Any],
    now: Mapping[str, Any],
    described: Mapping[str, Any],
    under_way: bool,
    rotates: bool,
) -> tuple[str, str] | None:
    """(what was expected, what to do) where the value may not be deployed."""
    if now["generation"] < there["generation"]:
        expected = (
            f"is older than what {service} runs with: generation {now['generation']} here, "
            f"{there['generation']} there"
        )
        remedy = (
            "get the newest vault (git pull); if it is lost, set the generation in hearth_secrets to "
            f"{there['generation']} and {_ROTATE}{name}"
        )
        return expected, remedy
    if described["rotate"] == "never":
        return f"is not what {service} runs with, and it cannot be replaced: {described['why']}", (
            "put the value back that was there"
        )
    if described["rotate"] not in _NEEDS_CARE or (rotates and under_way):
        return None
    if under_way:
        return f"is being replaced, and {service} does not run with it yet", f"{_ROTATE}{name} finishes it"
    return f"was changed by hand, and {service} would not take it by a restart", (
        f"put the old value back; to have this one, add the old one as vault_{name}_previous and {_ROTATE}{name}"
    )
