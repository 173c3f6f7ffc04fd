"""Two model servers instead of one, and what people notice while one of two is gone.

The servers are the stand-in that thinks for a fixed time (tests/lab/README.md): two processors do not decide it.
"""

from collections.abc import Callable

from tests.long.backends import COMPUTE, PORT, STAND_IN, Backends
from tests.long.load import Load, percentile

from . import figures
from .figures import Figure

# Issue 6, 'Measured in make bench'.
TWO_SERVERS = 1 / 1.8
TAIL = 3.0
BACK = 30.0
REQUESTS = 1000

THINKS = 0.3
CLIENTS = 12
GONE = COMPUTE[0].name
SETTLED = 5.0  # seconds after which nobody notices any more that a server is gone

Act = Callable[[Backends], None]


def measure(two: Backends) -> list[Figure]:
    return [*_two_servers(two), *_phases(two)]


def _two_servers(two: Backends) -> list[Figure]:
    """Each thinks about two requests at a time; `alone` is a model that one of them has."""
    models = {COMPUTE[0].name: "thinker,alone", COMPUTE[1].name: "thinker"}
    for host, names in models.items():
        two.think(THINKS, [host], names, parallel=2)
    two.write(
        litellm_servers=[
            {
                "name": host.name,
                "url": f"http://{host.address}:{PORT}",
                "models": models[host.name].split(","),
            }
            for host in COMPUTE
        ]
    )
    two.deploy("--tags", "litellm").succeeded()
    key = two.secret("litellm_probe_key")
    each: dict[str, list[float]] = {"thinker": [], "alone": []}
    for _round in range(3):
        for model, seconds in each.items():
            with Load(two.ca, key, model, clients=8) as load:
                load.more(100)
                seconds.append(load.now / len(load.answers))
    what = f"two servers that think for {THINKS:g} s, two requests at a time: time for an answer"
    return [
        figures.ratio("failover/two", what, "one server", each["thinker"], each["alone"], TWO_SERVERS),
    ]


def _phases(two: Backends) -> list[Figure]:
    two.think(THINKS)
    two.write()
    two.deploy("--tags", "litellm").succeeded()
    key = two.secret("litellm_probe_key")
    with Load(two.ca, key, "thinker", clients=CLIENTS) as control:
        control.more(REQUESTS, patience=300)
    usual = percentile(control.answers, 0.99)
    found = [
        figures.amount("failover/control/lost", "lost requests, nothing happens", [len(control.lost)], 0, "")
    ]
    faults: dict[str, tuple[Act, Act]] = {
        "killed": (_kill, lambda it: it.think(THINKS, [GONE])),
        "frozen": (
            lambda it: it.signal(GONE, STAND_IN, "STOP"),
            lambda it: it.signal(GONE, STAND_IN, "CONT"),
        ),
        "cut off": (lambda it: it.cut_off(GONE, STAND_IN.port), lambda it: it.join(GONE)),
    }
    for name, (begin, end) in faults.items():
        print(f"  one of two servers {name} …", flush=True)
        found += _phase(two, key, name, begin, end, usual)
    return found


def _kill(two: Backends) -> None:
    """By SIGKILL, and not started again until the phase wants it."""
    two.ssh(GONE, "systemctl kill --signal=KILL thinker; systemctl stop thinker")


def _phase(two: Backends, key: str, name: str, begin: Act, end: Act, usual: float) -> list[Figure]:
    with Load(two.ca, key, "thinker", clients=CLIENTS) as load:
        load.more(REQUESTS // 5)
        begin(two)
        struck = load.now
        try:
            load.until(
                REQUESTS // 2, lambda answers: len([a for a in answers if a.began > struck + SETTLED]), 300
            )
        finally:
            end(two)
        healed = load.now
        load.until(3, lambda _answers: load.by_backend(healed)[GONE], 120)
        load.until(REQUESTS, len, 300)
    settled = [answer for answer in load.answers if struck + SETTLED < answer.began < healed]
    back = (
        min(answer.ended for answer in load.answers if answer.began > healed and answer.backend == GONE)
        - healed
    )
    what = f"one of two servers {name}, {len(load.answers)} requests"
    tail = percentile(settled, 0.99)
    return [
        figures.amount(f"failover/{name}/lost", f"{what}: lost", [len(load.lost)], 0, ""),
        figures.ratio(
            *(f"failover/{name}/tail", f"{what}: 99th percentile {SETTLED:g} s later", "undisturbed"),
            *([tail], [usual], TAIL),
        ),
        figures.amount(f"failover/{name}/back", f"{what}: until it answers again", [back], BACK, "s"),
    ]
