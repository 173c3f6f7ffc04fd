"""One compute host of the lab, on which deploys are made to fail in every way that a host or an operator can.

`words` is the service that suffers: Ollama under another name, in a folder of roles of the operator's own, quick to get
healthy and quick to give up, with a variable for each way to break it. Beside it runs `ollama` itself.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..e2e.conftest import BIN, GPU_2, LAB, ROOT, Dumper, Platform, Run, lab_variables
from ..lab import ssh, table
from .gateway import Solo, whole_platform

HOST = "gpu-2"
MACHINE = table.hosts()[HOST]
ROLES = Path(__file__).parent / "roles"
KILLER = Path(__file__).parent / "killer.py"
PORTS = {"ollama": 11434, "words": 11436}
STATE = "/var/lib/hearth"


class Long(Platform):
    """The platform of these tests; `versions` of its one host are told apart by a word in their configuration."""

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A deploy that goes on by itself, in a process group of its own."""
        return subprocess.Popen(
            [*self.command("deploy-stacks"), "--limit", HOST, *arguments],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def command(self, playbook: str) -> list[str]:
        return [
            str(BIN / "ansible-playbook"),
            *("-i", str(self.inventory)),
            *("--vault-password-file", str(LAB / "vault_pass")),
            *("-e", f"@{LAB / 'images.yml'}"),
            f"playbooks/{playbook}.yml",
        ]

    def deploy(self, *arguments: str, inventory: Path | None = None) -> Run:
        return super().deploy("--limit", HOST, *arguments, inventory=inventory)

    def words(self, *arguments: str, **variables: Any) -> Run:
        """Deploy `words` alone, with these variables of it."""
        return self.deploy("--tags", "words", *self.chosen(**variables), *arguments)

    @staticmethod
    def chosen(**variables: Any) -> list[str]:
        return ["-e", json.dumps({f"words_{name}": value for name, value in variables.items()})]

    def host(self, command: str) -> str:
        return self.ssh(HOST, command)

    # What stands --------------------------------------------------------------------------------------------------

    def answers(self, service: str = "words", patience: float = 0.0) -> None:
        """Asks for a completion; raises AssertionError without one."""
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 4}
        asked = urllib.request.Request(
            f"http://{GPU_2}:{PORTS[service]}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        until = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(asked, timeout=60) as response:
                    reply = json.loads(response.read())
            except (OSError, urllib.error.URLError) as error:
                if time.monotonic() >= until:
                    raise AssertionError(f"{service} does not answer: {error}") from error
                time.sleep(0.3)
            else:
                assert reply["choices"][0]["message"]["content"] is not None
                return

    def version(self) -> str:
        """The word that the running `words` was started with, which its files must say too."""
        shown = self.host("docker inspect words --format '{{.Config.Labels.word}} {{.State.Running}}'")
        word, running = shown.split()
        assert running == "true"
        assert self.host("cat /opt/stacks/words/config/word").strip() == word
        return word

    def heals(self, word: str) -> None:
        """The next good run ends well without hand work, the one after it changes nothing, and both answer."""
        run = self.words(word=word).succeeded()
        assert run.recap[HOST]["failed"] == 0
        assert self.version() == word
        self.answers()
        self.answers("ollama")
        again = self.words(word=word).succeeded()
        assert again.changed == 0, again.output

    def quiet(self, patience: float = 120.0) -> None:
        """Wait until no change is under way on the host."""
        until = time.monotonic() + patience
        while self.unfinished(running=True):
            assert time.monotonic() < until, "a change goes on and on"
            time.sleep(0.3)

    def unfinished(self, running: bool = False) -> list[dict[str, Any]]:
        """The transactions without a result; with `running`, those that a process works on."""
        status = json.loads(self.host(f"python3 {STATE}/engine.py status {STATE}"))
        return [
            item
            for item in status["transactions"]
            if item["outcome"] is None and (item["running"] or not running)
        ]

    # Faults -------------------------------------------------------------------------------------------------------

    def killer(self, moment: str, victim: str, service: str = "words") -> Any:
        """`struck` for a change of this platform's host."""
        return struck(MACHINE, service, moment, victim)

    def wait_for_step(self, step: str, service: str = "words", seconds: float = 90) -> None:
        """Return when the change under way has begun a step."""
        self.host(
            f"for i in $(seq {int(seconds * 20)}); do"
            f" f=$(ls -td {STATE}/transactions/{service}/*/ | head -1);"
            f' [ -e $f/result.json ] || ! grep -qs \'"step": "{step}"\' $f/journal.jsonl || exit 0;'
            " sleep 0.05; done; exit 1"
        )


@contextmanager
def struck(machine: table.Host, service: str, moment: str, victim: str) -> Iterator[dict[str, Any]]:
    """A program on the host that strikes the next change of a service; what it did is filled in at the end.

    moment: `STEP:PHASE` of the journal, or seconds after the submission. victim: see killer.py.
    """
    done: dict[str, Any] = {}
    process = subprocess.Popen(
        ssh.command(machine, "python3", "-", STATE, service, moment, shlex.quote(victim)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(KILLER.read_text())
    process.stdin.close()
    assert process.stdout.readline() == "ready\n"
    yield done
    answer = process.stdout.readline()
    assert process.wait(timeout=60) == 0, "the change was not struck"
    done.update(json.loads(answer))


def finished(process: subprocess.Popen[str]) -> Run:
    output, _errors = process.communicate(timeout=420)
    return Run(subprocess.CompletedProcess(process.args, process.returncode, output, ""))


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL of a whole ansible-playbook, workers and ssh included."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Long]:
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", HOST], cwd=ROOT, check=True)
    subprocess.run(["make", "--silent", ".lab/vault_pass"], cwd=ROOT, check=True)
    folder = tmp_path_factory.mktemp("inventory")
    lab_variables(folder)
    inventory = {
        # Only looked at: a gateway on another host is why ollama publishes its port, and admits that host alone. It is
        # this machine that asks.
        "trusted": {
            "hosts": {
                "edge": {
                    "ansible_host": table.hosts()["edge"].address,
                    "source_addresses": [str(ip_network(table.network()[1])[1])],
                    "stacks": ["litellm", "traefik"],
                }
            }
        },
        "compute": {
            "hosts": {
                HOST: {
                    "ansible_host": GPU_2,
                    "stacks": ["ollama", "words"],
                    "service_folders": [str(ROLES)],
                    "words_version": version_here(),
                }
            }
        },
    }
    (folder / "hosts.yml").write_text(yaml.dump(inventory, Dumper=Dumper))
    long = Long(folder)
    long.play("secrets").succeeded()
    long.deploy(*long.chosen(word="zero")).succeeded()
    yield long
    long.play("stop-stacks", "--limit", HOST, "--tags", "words")
    shutil.rmtree(folder)


def version_here() -> str:
    """The tag of Ollama that the lab's hosts have."""
    images = yaml.safe_load((LAB / "images.yml").read_text())
    service = yaml.safe_load((ROOT / "roles" / "ollama" / "service.yml").read_text())
    return str(images.get("ollama_version", service["variables"]["ollama_version"]))


@pytest.fixture(scope="session")
def solo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Solo]:
    """The whole platform on the host `solo`, deployed once."""
    with ExitStack() as stack:
        yield stack.enter_context(whole_platform(tmp_path_factory.mktemp("solo")))


@pytest.fixture
def zero(platform: Long) -> Long:
    """The platform with the version `zero` of `words` committed, and answering."""
    platform.words(word="zero").succeeded()
    platform.answers()
    platform.answers("ollama")
    return platform


def seeded(default: int, case: int = 0) -> random.Random:
    """A generator whose seed is printed, and may be given: HEARTH_SEED."""
    seed = int(os.environ.get("HEARTH_SEED", default))
    print(f"seed {seed}, case {case} (HEARTH_SEED={seed} repeats it)")
    return random.Random(f"{seed} {case}")
