# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker's health check of LiteLLM, run in its container (compose.yaml): ends with 0 where it is to be asked.

It also ends a LiteLLM that takes connections and has answered none of these checks for a minute. Such a one hardly
comes back by itself, and who waits in it waits until they give up. Docker then starts it again, and Traefik, which sees
the connection break, asks another replica. How long answers to questions take is nobody's business here: perhaps hours.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
from pathlib import Path

PATH = "/health/liveliness"
# Seconds that one check waits; the next begins 5 s later. So many in a row without any answer are a minute.
PATIENCE = 5.0
SILENCES = 6
# In the container's tmpfs: there while a replica that is to go ends what it has; how many checks in a row met silence.
DRAIN = Path("/tmp/drain")
SILENT = Path("/tmp/silent")


def is_alive(port: int, patience: float) -> bool:
    """Whether LiteLLM says that it is well. Raises TimeoutError where it says nothing at all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request("GET", PATH)
        return connection.getresponse().status == 200
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def silences(file: Path, silent: bool) -> int:
    """How many checks in a row were left in silence, this one included; the file keeps it for the next one."""
    if not silent:
        file.unlink(missing_ok=True)
        return 0
    count = 1 + (int(file.read_text()) if file.exists() else 0)
    file.write_text(str(count))
    return count


def main(port: int = 4000, patience: float = PATIENCE) -> int:
    if DRAIN.exists():
        return 1
    try:
        alive, silent = is_alive(port, patience), False
    except TimeoutError:
        alive, silent = False, True
    if silences(SILENT, silent) >= SILENCES:
        # Everything in the container but Docker's init, which then ends, too.
        os.kill(-1, signal.SIGKILL)
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main())
