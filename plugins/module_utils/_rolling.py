# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replaces a service's replicas one after the other, so that somebody serves all the time.

A new replica is healthy before an old one is drained: made unhealthy by a command of the service's own, so that the
router sends it nothing new; then stopped, which lets it finish what it has. Old and new ones may be mixed when a run is
killed; the same work, towards the new files or back to the previous ones, goes on from there.
Part of the program that stays on hosts (see transaction.py): standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._bring_up import BringUp, Failure
from ._docker import Docker, compose

_DRAIN_SECONDS = 60.0
_POLL = 0.5
# A container's health reaches Traefik at once, but it changes its routes every two seconds at most.
_ROUTER_SECONDS = 3.0


class Rolling:
    """The replicas of one container of a project, as the compose.yaml in `stack_dir` wants them.

    drain: a command (argv) that makes a replica unhealthy, perhaps empty. bring_up() is a new attempt with a deadline
    of its own. say: the transaction's. Raises Failure where Compose refuses the file.
    """

    def __init__(
        self,
        docker: Docker,
        project: str,
        stack_dir: str,
        container: str,
        drain: Sequence[str],
        bring_up: Callable[[], BringUp],
        say: Callable[..., None],
    ) -> None:
        self.docker = docker
        self.project = project
        self.container = container
        self.drain = drain
        self.bring_up = bring_up
        self.say = say
        model = json.loads(self._asked(compose(project, stack_dir, "config", "--format", "json")))
        wanted = model["services"].get(container) or {}
        # Started first instead of left out by --no-deps: Compose 2.26 takes what was started so for something that
        # differs, and would make all replicas anew at once afterwards.
        self.needed = sorted(wanted.get("depends_on") or ())
        self.count = int((wanted.get("deploy") or {}).get("replicas") or 1)
        self.stack_dir = stack_dir

    def is_needed(self) -> bool:
        """Whether somebody serves while another of several, or they themselves, have to be replaced."""
        everyone = self._replicas()
        serving = [item for item in everyone if self._serves(item)]
        return self.count > 1 and bool(serving) and (serving != everyone or bool(self._old()))

    def roll(self) -> None:
        """Replace every replica that is not as wanted; at once where it serves nobody, such as one that was drained."""
        if self.needed:
            self.bring_up().up(*self.needed)
        for item in self._replicas():
            if not self._serves(item):
                self._remove(item)
        for _turn in range(self.count + len(self._replicas())):
            old = self._old()
            everyone = len(self._replicas())
            if everyone - len(old) < self.count:
                attempt = self.bring_up()
                scale = f"{self.container}={everyone + 1}"
                attempt.up("--no-recreate", "--scale", scale, self.container)
                attempt.wait_until_healthy()
            if not old:
                return
            self._retire(old[0])
        if self._old():
            raise Failure(
                f"the new replicas of {self.container} are not as compose.yaml says, time and again"
            )

    def _replicas(self) -> list[dict[str, Any]]:
        return [item for item in self.docker.containers(self.project) if item["service"] == self.container]

    def _old(self) -> list[dict[str, Any]]:
        """Those that are not as compose.yaml says: what Compose would make anew, which it tells in a dry run."""
        everyone = self._replicas()
        if not everyone:
            return []
        scale = f"{self.container}={len(everyone)}"
        first, *rest = compose(
            *(self.project, self.stack_dir, "up", "--detach", "--no-build", "--pull", "never"),
            *("--scale", scale, self.container),
        )
        answer = self.docker.call(first, "--dry-run", *rest)
        if not answer.good:
            raise Failure(f"docker compose cannot tell which replicas differ: {answer.reason}")
        differ = set(re.findall(r"Container (\S+)\s+Recreate$", answer.err + answer.out, re.MULTILINE))
        return [item for item in everyone if item["name"] in differ]

    @staticmethod
    def _serves(item: Mapping[str, Any]) -> bool:
        return item["state"] == "running" and item["health"] in (None, "healthy")

    def _retire(self, item: Mapping[str, Any]) -> None:
        self.say(f"drains {item['name']}")
        if self.drain and self.docker.call("exec", item["id"], *self.drain).good:
            self._await_unhealthy(item)
        self._remove(item)

    def _await_unhealthy(self, item: Mapping[str, Any]) -> None:
        until = time.monotonic() + _DRAIN_SECONDS
        while any(self._serves(now) for now in self.docker.inspect([item["id"]])):
            if time.monotonic() >= until:
                self.say(
                    f"{item['name']} is still healthy after {_DRAIN_SECONDS:.0f} s; stops it all the same"
                )
                return
            time.sleep(_POLL)
        time.sleep(_ROUTER_SECONDS)

    def _remove(self, item: Mapping[str, Any]) -> None:
        """Stop it, with all the time that it asks for to finish what it does."""
        self.docker.call("stop", item["id"], timeout=None)
        answer = self.docker.call("rm", "--force", item["id"])
        if not answer.good and "no such container" not in answer.err.lower():
            raise Failure(f"{item['name']} cannot be removed: {answer.reason}")

    def _asked(self, arguments: Sequence[str]) -> str:
        answer = self.docker.call(*arguments)
        if not answer.good:
            raise Failure("docker compose refuses compose.yaml")
        return answer.out
