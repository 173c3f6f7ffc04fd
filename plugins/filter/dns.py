# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the DNS view: documented in dns_zones.yml and dns_networks.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.hearth.llm.plugins.module_utils import view_dns


class FilterModule:
    """dns_zones and dns_networks."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"dns_zones": view_dns.zones, "dns_networks": view_dns.networks}
