"""Deploying: no change, one changed service, everything for the first time."""

import re
import subprocess
import time
from pathlib import Path

from . import clock, figures
from .farm import HOSTS, ROOT, Farm, on
from .figures import Figure

# Issue 5, 'Speed': the limits stand here, results.json repeats them.
BARE_IN_TURN = 0.3
BARE_AT_ONCE = 0.6
CONVENTIONAL = 1 / 15
PYINFRA = 1.0
TWICE_THE_SERVICES = 1.3
ONE_CHANGED = 1.5  # seconds on top of the service's own `up`
FIRST_DEPLOY = 1.15

ROUNDS = 5
FIRST_ROUNDS = 2
TRUSTED, COMPUTE = HOSTS["trusted"], HOSTS["compute"]
_TALLY = re.compile(r"(\d+) unchanged · (\d+) changed · (\d+) failed")


class Bench:
    """The farm deployed, and what is timed on it."""

    def __init__(self, folder: Path) -> None:
        self.farm = Farm(folder, 10)
        self.twice = Farm(folder, 20)
        self.peaks: list[int] = []

    def hearth(self, farm: Farm, unchanged: int, changed: int, *arguments: str) -> float:
        """One run of the playbook, which must find exactly so much to do."""
        done = clock.run(farm.hearth(*arguments), ROOT)
        found = _TALLY.search(done.output)
        if not found or found.groups() != (str(unchanged), str(changed), "0"):
            tally = found.group() if found else done.output[-2000:]
            raise clock.BenchError(f"expected {unchanged} unchanged and {changed} changed, found: {tally}")
        self.peaks.append(done.peak)
        return done.seconds

    def no_change(self) -> float:
        return self.hearth(self.farm, 10, 0)

    def bare_in_turn(self) -> float:
        return clock.in_turn([self.farm.bare(TRUSTED), self.farm.bare(COMPUTE)])

    def bare_at_once(self) -> float:
        return clock.at_once([self.farm.bare(TRUSTED), self.farm.bare(COMPUTE)])

    def conventional(self) -> float:
        done = clock.run(self.farm.conventional(), ROOT)
        if done.output.count("changed=0") != len(HOSTS):
            raise clock.BenchError(f"the conventional roles changed something: {done.output[-2000:]}")
        return done.seconds

    def pyinfra(self) -> float:
        return clock.run(self.farm.pyinfra(), self.farm.folder).seconds

    def empty(self) -> float:
        return clock.run(self.farm.empty(), ROOT).seconds


def measure(bench: Bench) -> list[Figure]:
    """No change: ten services on two hosts, and twenty."""
    clock.run(bench.farm.hearth(), ROOT)
    _mends_what_was_touched(bench)
    work = {
        "hearth": bench.no_change,
        "bare": bench.bare_in_turn,
        "at once": bench.bare_at_once,
        "empty": bench.empty,
    }
    if bench.farm.has_pyinfra:
        work["pyinfra"] = bench.pyinfra
    seconds = clock.interleaved(ROUNDS, work, rarely={"conventional": bench.conventional})
    ours, what = seconds["hearth"], "no-change deploy, ten services on two hosts"
    against = {
        "bare": ("bare loops, one host after the other", BARE_IN_TURN),
        "at once": ("bare loops, both hosts at once", BARE_AT_ONCE),
        "conventional": ("a conventional role per service", CONVENTIONAL),
        "pyinfra": ("the same work in pyinfra", PYINFRA),
        "empty": ("an empty play", None),
    }
    found = [
        figures.ratio(f"no-change/{name}", what, words, ours, seconds[name], limit)
        if name in seconds
        else figures.not_run(f"no-change/{name}", what, words, limit, "it could not be installed")
        for name, (words, limit) in against.items()
    ]
    return [*found, _twice(bench)]


def _mends_what_was_touched(bench: Bench) -> None:
    """A stopped container and an edited file are found and mended, and nothing else is touched."""
    bench.hearth(bench.farm, 10, 0)
    _on(TRUSTED, "docker stop left01")
    _on(COMPUTE, "echo edited >> /opt/stacks/right02/config/app.conf")
    bench.hearth(bench.farm, 8, 2)
    running = _on(TRUSTED, "docker inspect --format '{{.State.Running}}' left01").strip()
    edited = _on(COMPUTE, "grep -c edited /opt/stacks/right02/config/app.conf || true").strip()
    if (running, edited) != ("true", "0"):
        raise clock.BenchError(f"not mended: container running {running}, edited lines {edited}")


def _twice(bench: Bench) -> Figure:
    """Ten, twenty, ten again: a drift of the machine meets both."""
    first = [bench.no_change() for _round in range(3)]
    bench.hearth(bench.twice, 10, 10)
    twenty = [bench.hearth(bench.twice, 20, 0) for _round in range(ROUNDS)]
    clock.run(bench.farm.hearth(), ROOT)  # stops the ten that left the inventory
    ten = [*first, *(bench.no_change() for _round in range(3))]
    what = "no-change deploy, twenty services on two hosts"
    return figures.ratio("no-change/twice", what, "ten services", twenty, ten, TWICE_THE_SERVICES)


def measure_one_changed(bench: Bench) -> list[Figure]:
    """One service with another greeting, beside what `up` alone takes for the same container made anew."""
    clock.run(bench.farm.hearth(), ROOT)
    copy = "rm -rf /opt/bare00; cp -r /opt/stacks/left00 /opt/bare00; sed -i s/left00/bare00/ /opt/bare00/compose.yaml"
    _on(TRUSTED, f"{copy}; docker compose --project-directory /opt/bare00 up -d --wait")
    up = on(TRUSTED, "docker compose --project-directory /opt/bare00 up -d --wait --force-recreate")
    work = {
        "hearth": lambda: bench.hearth(bench.farm, 9, 1, "-e", f"left00_greeting=at{time.time_ns()}"),
        "bare": lambda: clock.in_turn([up]),
    }
    seconds = clock.interleaved(ROUNDS, work)
    _on(TRUSTED, "docker rm -f bare00; rm -rf /opt/bare00")
    what, against = "one changed service of ten", "its own `docker compose up -d --wait`"
    return [
        figures.difference("one-changed", what, against, seconds["hearth"], seconds["bare"], ONE_CHANGED),
    ]


def measure_first(bench: Bench) -> list[Figure]:
    """Nothing deployed, images present: the compute host, then the trusted one."""

    def bare() -> float:
        for host, names in bench.farm.stacks.items():
            _on(host, f"docker rm -f {' '.join(names)}")
        return clock.in_turn([bench.farm.bare(COMPUTE), bench.farm.bare(TRUSTED)])

    def hearth() -> float:
        bench.farm.down()
        return bench.hearth(bench.farm, 0, 10)

    seconds = clock.interleaved(FIRST_ROUNDS, {"hearth": hearth, "bare": bare})
    what, against = "first deploy of ten services, images present", "bare loops in the same order"
    return [figures.ratio("first", what, against, seconds["hearth"], seconds["bare"], FIRST_DEPLOY)]


def measure_proof(bench: Bench) -> list[Figure]:
    """What the end of every run costs: check.yml and the proof, less check.yml."""
    clock.run(bench.farm.hearth(), ROOT)
    commands = {"with": bench.farm.proof(), "without": bench.farm.play("check")}
    work = {
        name: lambda command=command: clock.run(command, ROOT).seconds for name, command in commands.items()
    }
    seconds = clock.interleaved(ROUNDS, work)
    what = "the final proof, without a model to ask"
    return [
        figures.difference(
            "proof", what, "the same run without it", seconds["with"], seconds["without"], None
        )
    ]


def measure_memory(bench: Bench) -> list[Figure]:
    """The largest process on the controller during all runs so far, beside an empty play's."""
    empty = clock.run(bench.farm.empty(), ROOT).peak / 1e6
    ours = [peak / 1e6 for peak in bench.peaks]
    what, against = "memory of the largest process on the controller", "an empty play"
    return [figures.ratio("memory", what, against, ours, [empty], None, absolute="MB")]


def _on(host: str, command: str) -> str:
    done = subprocess.run(on(host, command), capture_output=True, text=True, check=True)
    return done.stdout
