# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of a service that an operator may want or not: `when` in service.yml names the variable that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .service_spec import Data, Image, Secret, ServiceSpec


def chosen(spec: ServiceSpec, variables: Mapping[str, Any]) -> ServiceSpec:
    """The service without the containers, data and secrets that a host's variables leave out.

    variables: the host's own; what is not among them has the service's default.
    """
    values = {**spec.variables, **variables}

    def wanted(part: Image | Data | Secret) -> bool:
        return part.when is None or bool(values.get(part.when))

    data = {name: item for name, item in spec.data.items() if wanted(item)}
    left_out = {name for name, image in spec.images.items() if not wanted(image)}
    return replace(
        spec,
        images={name: image for name, image in spec.images.items() if name not in left_out},
        resources={name: limits for name, limits in spec.resources.items() if name not in left_out},
        data=data,
        secrets=tuple(secret for secret in spec.secrets if wanted(secret)),
        # Without data there is nothing that a new version could change for good.
        update=spec.update if data or not spec.data else replace(spec.update, reversible=True),
        drill=spec.drill if spec.drill.get("container") not in left_out else {},
    )
