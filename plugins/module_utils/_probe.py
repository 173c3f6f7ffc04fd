# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health of a container whose image has nothing to check itself with: asked from the host, by HTTP.

Such a container carries the label `hearth.probe: PORT/PATH`; it is healthy while GET answers below 400 at its own
address. Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

LABEL = "hearth.probe"

_SECONDS = 3.0
# As long as this after its start a container that does not answer is starting, and no longer.
_START_SECONDS = 30.0


def health(found: Mapping[str, Any], started: float | None) -> tuple[str | None, str | None]:
    """Starting, healthy or unhealthy, and what was seen, of one `docker container inspect`; Nones without the label.

    started: when, in seconds since the epoch.
    """
    target = (found["Config"].get("Labels") or {}).get(LABEL)
    if not target or found["State"]["Status"] != "running":
        return None, None
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = [item["IPAddress"] for item in networks.values() if item.get("IPAddress")]
    port, _sep, path = target.partition("/")
    good, seen = _ask(addresses[0], int(port), f"/{path}") if addresses else (False, "it has no address")
    if good:
        return "healthy", seen
    young = time.time() - (started or 0) < _START_SECONDS
    return "starting" if young else "unhealthy", seen


def _ask(address: str, port: int, path: str) -> tuple[bool, str]:
    # Here, because it takes as long to load as the rest of a look, and few hosts have such a container.
    import http.client

    connection = http.client.HTTPConnection(address, port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as problem:
        return False, f"GET {address}:{port}{path}: {problem}"
    finally:
        connection.close()
    return status < 400, f"GET {address}:{port}{path}: {status}"
