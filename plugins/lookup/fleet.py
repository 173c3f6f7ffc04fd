# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""hearth.llm.fleet"""

from __future__ import annotations

DOCUMENTATION = """
name: fleet
author: The Hearth authors (@hearth)
version_added: 0.1.0
short_description: The whole platform, resolved from the inventory
description:
  - What templates of stacks are given as C(fleet) (docs/architecture.md), for the tasks of a role.
  - It holds names of secrets, never values, and is the same whatever the run is limited to.
options:
  _terms:
    description: Takes no terms.
"""

EXAMPLES = """
- name: Which names does this host's front door answer to?
  ansible.builtin.debug:
    msg: "{{ lookup('hearth.llm.fleet') | hearth.llm.traefik_names(inventory_hostname) }}"
"""

RETURN = """
_raw:
  description: The fleet.
  type: list
  elements: dict
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ..plugin_utils import platform_run


class LookupModule(LookupBase):
    """hearth.llm.fleet"""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        return [platform_run.fleet(variables or {})]
