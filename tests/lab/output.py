"""What the lab tells its user: one line a fact, and a sign of life from anything that takes long."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HEARTBEAT_SECONDS = 10.0
_lock = threading.Lock()


class LabError(Exception):
    """Something the user has to know and can act on; printed without a traceback."""


def say(line: str) -> None:
    """Print one whole line, also when two builds talk at once."""
    with _lock:
        print(line, flush=True)


@contextmanager
def progress(what: str, detail: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Say every ten seconds that `what` is under way, with `detail()`, and at the end how long it took."""
    started = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            say(f"  {what}: {time.monotonic() - started:.0f} s {detail()}".rstrip())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        say(f"{what}: failed after {time.monotonic() - started:.0f} s")
        raise
    finally:
        done.set()
        thread.join()
    say(f"{what}: {time.monotonic() - started:.0f} s")


def wait_until(ready: Callable[[], bool], what: str, seconds: float) -> None:
    """Poll `ready` until it is true; a LabError naming `what` when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not ready after {seconds:.0f} s")
        time.sleep(0.3)
