"""`make bench [ONLY=deploy]`: measure, write results.json and docs, and fail where a limit is missed."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.lab import lab
from tests.long.backends import backends
from tests.long.backups.people import platform_of_two

from . import backup, catalogue, deploy, failover, gateway, interruption, report
from .clock import BenchError
from .farm import HOSTS, on
from .figures import Figure

LAB_PARTS = {
    "first": deploy.measure_first,
    "deploy": deploy.measure,
    "change": deploy.measure_one_changed,
    "proof": deploy.measure_proof,
    "memory": deploy.measure_memory,
}
# On the platform's own services, on three hosts of the lab.
GATEWAY_PARTS = {"gateway": gateway.measure, "failover": failover.measure}
PARTS = ("catalogue", "backup", "interruption", *LAB_PARTS, *GATEWAY_PARTS)


def main(chosen: list[str]) -> int:
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; parts: {', '.join(PARTS)}")
        return 2
    names = [name for name in PARTS if name in (chosen or PARTS)]
    found: list[Figure] = []
    versions: dict[str, str] = {}
    try:
        if "catalogue" in names:
            points: dict[int, float] = {}
            found += _told("catalogue", lambda: catalogue.measure(points))
            report.plot(points, catalogue.SECONDS)
        if "backup" in names:
            with tempfile.TemporaryDirectory(prefix="hearth-bench-", dir="/var/tmp") as folder:
                found += _told("backup", lambda: backup.measure(Path(folder)))
        if "interruption" in names:
            with (
                tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder,
                platform_of_two(Path(folder) / "inventory") as people,
            ):
                found += _told("interruption", lambda: interruption.measure(people))
        on_hosts = [name for name in names if name in LAB_PARTS]
        if on_hosts:
            found += _on_the_lab(on_hosts, versions)
        through_gateway = [name for name in names if name in GATEWAY_PARTS]
        if through_gateway:
            found += _through_the_gateway(through_gateway)
    except BenchError as error:
        print(f"error: {error}")
        return 2
    rows = report.save(found, report.versions(versions))
    report.write_table(rows)
    missed = [figure for figure in found if not figure.kept]
    for figure in missed:
        print(f"missed: {figure.name} is {figure.value:.3g}, limit {figure.limit:.3g}")
    return 1 if missed else 0


def _on_the_lab(names: list[str], versions: dict[str, str]) -> list[Figure]:
    if lab.main(["up", *HOSTS.values()]) != 0:
        raise BenchError("the lab's hosts did not come up")
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        bench = deploy.Bench(Path(folder))
        versions.update(_host_versions(bench))
        bench.twice.down()
        try:
            return [
                figure for name in names for figure in _told(name, lambda name=name: LAB_PARTS[name](bench))
            ]
        finally:
            bench.twice.down()


def _through_the_gateway(names: list[str]) -> list[Figure]:
    with (
        tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder,
        backends(Path(folder) / "inventory") as two,
    ):
        return [
            figure for name in names for figure in _told(name, lambda name=name: GATEWAY_PARTS[name](two))
        ]


def _told(name: str, measure) -> list[Figure]:
    begun = time.monotonic()
    print(f"{name} …", flush=True)
    found = measure()
    for figure in found:
        limit = (
            ""
            if figure.limit is None
            else f", limit {figure.limit:.3g}: {'kept' if figure.kept else 'MISSED'}"
        )
        low, high = figure.spread
        print(f"  {figure.name}: {figure.value:.3g} {figure.unit} ({low:.3g} to {high:.3g}){limit}")
    print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    return found


def _host_versions(bench: deploy.Bench) -> dict[str, str]:
    ask = "docker version --format '{{.Server.Version}}'; docker compose version --short"
    docker, compose = subprocess.run(
        on(HOSTS["trusted"], ask), capture_output=True, text=True, check=True
    ).stdout.split()
    found = {"docker": docker, "compose": compose}
    if bench.farm.has_pyinfra:
        command = [bench.farm.pyinfra()[0], "--version"]
        asked = subprocess.run(command, capture_output=True, text=True, check=True)
        found["pyinfra"] = asked.stdout.split()[-1].lstrip("v")
    return found


sys.exit(main(sys.argv[1:]))
