"""Tries cells of the reach table in the lab: from its hosts, and from inside the network of containers on them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..lab import ssh, table
from .reach import CLOSED, REACHED, Cell, Origin, outcome

PROBE = Path(__file__).parent / "reach_probe.py"
REMOTE_PROBE = "/run/reach_probe.py"
HOSTS = table.hosts()
OUTSIDER = HOSTS["outsider"]
STRANGE = next(a.partition("/")[0] for a in OUTSIDER.also if a.startswith("198."))
SOURCES = {"outsider": STRANGE, "neighbour": OUTSIDER.address}
# Containers of the test's own, kind of origin → name and network.
HELPERS = {"container": ("reach-frontend", "frontend"), "stray": ("reach-stray", "bridge")}
QUICK, PATIENT = 2.0, 10.0

Row = tuple[Cell, str]


class ReachLab:
    """Tries cells; between `open` and `close` the helpers are there.

    headers: (service, guard) → what a request with credentials has.
    """

    def __init__(
        self, fleet: Mapping[str, Any], headers: Mapping[tuple[str, str], Mapping[str, str]]
    ) -> None:
        self.fleet = fleet
        self.headers = headers
        self.hosts = [name for name, host in fleet["hosts"].items() if host["services"]]
        self.addresses: dict[tuple[str, str, str], list[str]] = {}

    def open(self) -> None:
        for name in [*self.hosts, "outsider"]:
            _ssh(name, f"cat > {REMOTE_PROBE}", PROBE.read_text())
        for host in self.hosts:
            for name, network in HELPERS.values():
                image = "$(docker ps --format '{{.Image}}' | head -n 1)"
                _ssh(
                    host,
                    f"docker rm -f {name} 2>/dev/null; docker run -d --name {name} --network {network} "
                    f"--entrypoint sleep {image} infinity",
                )
            self._learn_addresses(host)

    def close(self) -> None:
        for host in self.hosts:
            _ssh(host, f"docker rm -f {' '.join(name for name, _network in HELPERS.values())}")

    def _learn_addresses(self, host: str) -> None:
        """(host, service, container) → the container's own addresses."""
        running = _ssh(host, "docker ps -q --filter label=com.docker.compose.project | xargs docker inspect")
        for item in json.loads(running):
            labels = item["Config"]["Labels"]
            key = (host, labels["com.docker.compose.project"], labels["com.docker.compose.service"])
            networks = item["NetworkSettings"]["Networks"].values()
            self.addresses[key] = [network["IPAddress"] for network in networks if network["IPAddress"]]

    def has_credentials(self, cell: Cell) -> bool:
        """Whether there is what the cell asks for; who is let in without needs nothing."""
        target = cell.target
        needs = cell.credentials and target.guard not in ("open", "oidc", "internal")
        return not needs or (target.service, target.guard) in self.headers

    def wrong(self, cells: Iterable[Cell]) -> list[str]:
        """The cells that did not come out as expected, in words. Those that failed are tried once more, patiently."""
        rows = self.run(cells, QUICK)
        again = [cell for cell, found in rows if not _fits(cell, found) and cell.expected != CLOSED]
        failed = [(cell, found) for cell, found in rows if not _fits(cell, found) and cell.expected == CLOSED]
        failed += [(cell, found) for cell, found in self.run(again, PATIENT) if not _fits(cell, found)]
        return [f"{cell} — but it was {found}" for cell, found in failed]

    def run(self, cells: Iterable[Cell], timeout: float) -> list[Row]:
        """Each cell with what came of it; origins side by side."""
        batches: dict[tuple[Origin, str | None], list[Cell]] = {}
        for cell in cells:
            # To a container's address leads a route through its host, and two hosts may use the same addresses.
            by_way_of = cell.target.host if cell.target.way == "direct" and cell.origin.host is None else None
            batches.setdefault((cell.origin, by_way_of), []).append(cell)
        by_machine: dict[str, list[Callable[[], list[Row]]]] = {}
        for (origin, by_way_of), batch in batches.items():
            todo = by_machine.setdefault(origin.host or "outsider", [])
            todo.append(lambda o=origin, b=batch, w=by_way_of: self._from(o, b, w, timeout))  # type: ignore[misc]
        with ThreadPoolExecutor(4) as pool:
            done = pool.map(lambda jobs: [row for job in jobs for row in job()], by_machine.values())
            return [row for rows in done for row in rows]

    def _from(self, origin: Origin, batch: list[Cell], by_way_of: str | None, timeout: float) -> list[Row]:
        asked = [(cell, address) for cell in batch for address in self._addresses(cell)]
        routes = sorted({address for _cell, address in asked}) if by_way_of else []
        told = [self._told(cell, address, timeout) for cell, address in asked]
        commands = [
            f"ip route replace {item}/32 via {HOSTS[by_way_of].address}" for item in routes if by_way_of
        ]
        undo = [f"ip route del {item}/32" for item in routes]
        script = "\n".join([*commands, _inside(origin, f"python3 {REMOTE_PROBE}"), *undo])
        answers = json.loads(_ssh(origin.host or "outsider", script, json.dumps(told)))
        found: dict[Cell, list[str]] = {}
        for (cell, _address), answer in zip(asked, answers, strict=True):
            found.setdefault(cell, []).append(outcome(answer, self.fleet))
        return [
            (cell, next((item for item in items if item != CLOSED), CLOSED)) for cell, items in found.items()
        ]

    def _addresses(self, cell: Cell) -> list[str]:
        target = cell.target
        if target.way == "direct":
            return self.addresses.get((target.host, target.service, target.container or ""), [])
        return [target.container or "" if target.way == "name" else target.address or ""]

    def _told(self, cell: Cell, address: str, timeout: float) -> dict[str, Any]:
        target = cell.target
        told: dict[str, Any] = {"address": address, "port": target.port, "protocol": target.protocol}
        told |= {"timeout": timeout, "source": SOURCES.get(cell.origin.kind)}
        if target.way == "route":
            headers = self.headers.get((target.service, target.guard or ""), {}) if cell.credentials else {}
            told |= {"host": target.fqdn, "path": target.path, "headers": headers}
        return told


def _fits(cell: Cell, found: str) -> bool:
    return found == cell.expected or (cell.expected == REACHED and found != CLOSED)


def _inside(origin: Origin, command: str) -> str:
    """The host's own Python in a container's network, with the container's resolver: images need no tools for it."""
    if origin.kind not in HELPERS:
        return command
    pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' {HELPERS[origin.kind][0]})"
    return (
        f"pid={pid}; nsenter --target $pid --net unshare --mount sh -c "
        f'"mount --bind /proc/$pid/root/etc/resolv.conf /etc/resolv.conf && exec {command}"'
    )


def _ssh(host: str, script: str, given: str = "") -> str:
    done = subprocess.run(
        ssh.command(HOSTS[host], script), input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{host}: {script}: {done.stderr}"
    return done.stdout
