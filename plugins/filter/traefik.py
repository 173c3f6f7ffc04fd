# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the Traefik view: each is documented in a file of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.hearth.llm.plugins.module_utils import view_sign_on, view_traefik


class FilterModule:
    """Each view as a filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "traefik_labels": _spoken("traefik_labels", view_traefik.labels),
            "traefik_routes": _spoken("traefik_routes", view_traefik.routes),
            "traefik_names": _spoken("traefik_names", view_traefik.names),
            "traefik_dashboard": _spoken("traefik_dashboard", view_traefik.dashboard),
            "traefik_networks": _spoken("traefik_networks", view_traefik.networks),
            "traefik_sign_on": _spoken("traefik_sign_on", view_sign_on.dynamic),
            "traefik_acme_names": _spoken("traefik_acme_names", view_traefik.acme_names),
        }


def _spoken(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its refusals as Ansible's, which name the filter."""

    def view(value: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(value, dict):
            raise AnsibleFilterError(f"hearth.llm.{name}: input = {value!r}: expected a dictionary")
        try:
            return function(value, *arguments, **options)
        except ValueError as error:
            raise AnsibleFilterError(f"hearth.llm.{name}: {error}") from error

    return view
