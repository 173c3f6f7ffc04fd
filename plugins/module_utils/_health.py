# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges whether a stack's containers are up: pure decisions over what `docker inspect` said.

Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GOOD, WAIT, BAD = "good", "wait", "bad"
RESTARTS_ALLOWED = 2
# Without a healthcheck all there is to see is that it keeps running; after a crash it has to convince us for longer.
STEADY = 3.0
STEADY_AFTER_RESTART = 10.0


@dataclass(frozen=True)
class Verdict:
    """GOOD, WAIT or BAD, and why in a few words."""

    kind: str
    text: str


def judge(container: Mapping[str, Any], restarts_before: int, now: float, up_ended: bool) -> Verdict:
    """Whether one container (as _docker.describe gives it) is up.

    restarts_before: its restart count before the change, 0 for a new one. now: seconds since the epoch.
    up_ended: whether `docker compose up` has ended; before that a stopped container may be one being replaced.
    """
    state, restarts = container["state"], container["restarts"] - restarts_before
    if restarts > RESTARTS_ALLOWED:
        return Verdict(BAD, f"restarted {restarts} times, last exit status {container['exit_code']}")
    if state == "running":
        return _judge_running(container, restarts, now)
    if state == "restarting":
        return Verdict(WAIT, f"restarting after exit status {container['exit_code']}")
    if state in ("exited", "dead") and up_ended:
        return _judge_ended(container)
    return Verdict(WAIT, state)


def _judge_running(container: Mapping[str, Any], restarts: int, now: float) -> Verdict:
    if container["health"] == "healthy":
        return Verdict(GOOD, "healthy")
    if container["health"]:
        return Verdict(WAIT, container["health"])
    enough = STEADY_AFTER_RESTART if restarts else STEADY
    steady = now - (container["started"] or now)
    if steady >= enough:
        return Verdict(GOOD, "running")
    return Verdict(WAIT, "started" if not restarts else "restarted once" if restarts == 1 else "restarted")


def _judge_ended(container: Mapping[str, Any]) -> Verdict:
    code, policy = container["exit_code"], container["restart_policy"]
    if code == 0 and policy in ("no", "on-failure"):
        return Verdict(GOOD, "done")
    because = f": {container['error']}" if container["error"] else ""
    return Verdict(BAD, f"exited with status {code}{because}")


def culprit(
    containers: Sequence[Mapping[str, Any]], verdicts: Mapping[str, Verdict]
) -> Mapping[str, Any] | None:
    """The container to blame: a bad one, else an unhealthy one, else one with an error, else one still waited for."""
    ranked = sorted(
        (item for item in containers if verdicts[item["id"]].kind != GOOD),
        key=lambda item: (
            verdicts[item["id"]].kind != BAD,
            item["health"] != "unhealthy",
            not item["error"],
            item["state"] == "created",
        ),
    )
    return ranked[0] if ranked else None
