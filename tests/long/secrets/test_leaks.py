"""No secret stands anywhere but where it must: every playbook runs at -vvv, then everything is searched for each value.

What may hold a secret is listed in ALLOWED, with the reason. Everything else is a leak.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ...e2e.conftest import LAB, ROOT
from ...lab import ssh, table
from .conftest import HOST, Secure

pytestmark = pytest.mark.lab

SCANNER = Path(__file__).parent / "scanner.py"
ALLOWED = (
    # What containers are started with; root's alone.
    r"/opt/stacks/\w+/\.env\.\w+ 0600",
    r"/opt/stacks/\w+/secrets/\S+ 0400",
    # The key of a host's backups, which are made when nobody is there to give it; root's alone.
    r"/etc/hearth/backups/key 0600",
    # containerd's list of what containers are started with, in a directory that root alone enters.
    r"/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db 0644",
    # authentik keeps the token that it asks of its outpost.
    r"/srv/docker/authentik/database/\S+ 0600",
)
STRANGE = "sk-strange+/ %&=?word-0123456789"
VERBOSE = ("-vvv", "--diff")
# By an underscore a collection's names for the same.
PLAYBOOKS = {path.stem for path in (ROOT / "playbooks").glob("*.yml") if "_" not in path.stem}


def is_allowed(place: str) -> bool:
    """place: a path and its mode, or what else the scanner calls a place."""
    return any(re.fullmatch(allowed, place) for allowed in ALLOWED)


class Scan:
    """Searches the host and the controller's own files for all values that there ever were."""

    def __init__(self, secure: Secure, folder: Path) -> None:
        self.secure, self.folder = secure, folder
        self.values: dict[str, str] = {}
        self.machine = table.hosts()[HOST]
        secure.host(f"cat > /run/scanner.py <<'END'\n{SCANNER.read_text()}\nEND")
        self.learn()

    def learn(self) -> None:
        """Remember what the vault holds now, old values too."""
        for name, value in self.secure.secrets().items():
            if value not in self.values.values():
                self.values[f"{name} {len(self.values)}"] = value

    def _asked(self, **more: object) -> str:
        return json.dumps({"values": self.values, **more}) + "\n"

    def host(self, *roots: str) -> list[list[str]]:
        command = ssh.command(self.machine, "python3", "/run/scanner.py", *(roots or ("/",)))
        return self._found(command, self._asked())

    def controller(self) -> list[list[str]]:
        """What this machine kept: what Ansible printed and logged, its caches and left-overs, the inventory."""
        homes = [str(Path.home() / ".ansible"), str(LAB), str(self.secure.inventory), str(self.folder)]
        return self._found([sys.executable, str(SCANNER), *homes], self._asked())

    def _found(self, command: list[str], given: str) -> list[list[str]]:
        done = subprocess.run(command, input=given, text=True, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    @contextmanager
    def watched(self) -> Iterator[list[list[str]]]:
        """Look at the arguments of all processes, here and on the host, while something runs."""
        found: list[list[str]] = []
        commands = [
            [sys.executable, str(SCANNER), "--watch"],
            ssh.command(self.machine, "python3", "/run/scanner.py", "--watch"),
        ]
        watchers = [
            subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for command in commands
        ]
        for watcher in watchers:
            assert watcher.stdin
            assert watcher.stdout
            watcher.stdin.write(self._asked())
            watcher.stdin.flush()
            assert watcher.stdout.readline() == "ready\n"
        yield found
        for watcher in watchers:
            output, _error = watcher.communicate(timeout=60)
            found += [json.loads(line) for line in output.splitlines()]


@pytest.fixture(scope="module")
def scan(secure: Secure, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    folder = tmp_path_factory.mktemp("leaks")
    return Scan(secure, folder)


def everything(secure: Secure, scan: Scan) -> None:
    """Every playbook, as talkative as an operator makes it, with a log file and a cache of facts."""
    environment = {
        "ANSIBLE_LOG_PATH": str(scan.folder / "ansible.log"),
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(scan.folder / "facts"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    }
    # Killed at its start: its last words are told, and what ran before comes back.
    broken = ("-e", json.dumps({"litellm_resources": {"litellm": {"memory": "40m"}}}))
    (scan.folder / "new_password").write_text("another one")
    runs = [
        ("secrets", (), True),
        ("check", (), True),
        ("deploy-stacks", ("--check",), True),
        ("deploy-stacks", (), True),
        ("rotate-secrets", ("--check",), True),
        ("rotate-secrets", (), True),
        ("verify", (), True),
        ("gpu", (), True),
        ("ask", (), True),
        ("deploy-bind9", (), True),
        ("fetch-ca", ("-e", f"ca_folder={scan.folder}"), True),
        ("upgrade", (), True),
        ("backup", (), True),
        ("backup-drill", (), True),
        ("restore", (), True),
        ("restore", ("-e", "service=rustpad", "-e", "confirm=rustpad"), True),
        ("migrate", ("--check",), True),
        ("remove-stack", ("-e", "service=rustpad", "--check"), False),  # its host lists it
        ("rekey-vault", ("-e", f"new_password_file={scan.folder / 'new_password'}"), True),
        ("deploy-stacks", ("--tags", "litellm", *broken), False),
        ("stop-stacks", ("--tags", "shop"), True),
        ("deploy-stacks", (), True),
    ]
    assert {name for name, _arguments, _works in runs} == PLAYBOOKS
    for number, (playbook, arguments, works) in enumerate(runs):
        inventory = secure.inventory
        if playbook == "rekey-vault":  # of a copy: what follows has the password that everything here has
            inventory = shutil.copytree(inventory, scan.folder / "inventory")
        run = secure.play(playbook, *VERBOSE, *arguments, inventory=inventory, environment=environment)
        (scan.folder / f"{number}-{playbook}.txt").write_text(run.output)
        assert (run.code == 0) == works, f"{playbook}:\n{run.output[-4000:]}"
        scan.learn()


def test_no_secret_stands_where_it_need_not(secure: Secure, scan: Scan) -> None:
    plant(secure)
    scan.learn()
    with scan.watched() as arguments:
        everything(secure, scan)
    secure.chats("sk-a-wrong-key-of-somebody")
    leaks = [*arguments, *(row for row in scan.host() if not is_allowed(row[0])), *scan.controller()]
    assert not leaks, "\n".join(f"{place}: {name}, {form}" for place, name, form in leaks)
    assert any(place.startswith("/opt/stacks/litellm/.env") for place, _name, _form in scan.host("/opt"))


def plant(secure: Secure) -> None:
    """A key that looks different in every encoding, in the place of one that only letters and digits make."""
    from ansible.parsing.vault import VaultLib, VaultSecret
    from ansible_collections.hearth.llm.plugins.plugin_utils.vault_text import put, vault_block

    vault = VaultLib([("default", VaultSecret((LAB / "vault_pass").read_bytes().strip()))])
    name = "vault_litellm_client_team"
    text = secure.vault.read_text()
    secure.vault.write_text(put(text, name, vault_block(name, vault.encrypt(STRANGE).decode())))
    secure.deploy("--tags", "litellm").succeeded()


def test_a_planted_leak_is_found_in_each_place(secure: Secure, scan: Scan) -> None:
    import base64
    import urllib.parse

    planted = STRANGE.replace("strange", "planted")
    scan.values["planted"] = planted
    encoded = base64.b64encode(f"Bearer {planted}".encode()).decode()
    quoted = urllib.parse.quote(planted, safe="")
    secure.host(
        f"mkdir -p /srv/planted && echo 'key={quoted}' > /srv/planted/file && logger 'said {encoded}';"
        f" docker run -d --rm --name planted --label 'leak={encoded}' --entrypoint sleep"
        f" $(docker inspect -f '{{{{.Image}}}}' shop) 300 || docker run -d --name planted --label 'leak={encoded}'"
        f" $(docker inspect -f '{{{{.Image}}}}' store) sleep 300"
    )
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", quoted])
    try:
        with scan.watched() as arguments:
            pass
        found = scan.host()
        (scan.folder / "planted.txt").write_text(encoded)
        here = scan.controller()
    finally:
        process.kill()
        process.wait()
        (scan.folder / "planted.txt").unlink(missing_ok=True)
        secure.host("docker rm -f planted; rm -rf /srv/planted; journalctl --rotate --vacuum-time=1s")
    places = {place for place, _name, _form in found}
    assert any(place.startswith("/srv/planted/file") for place in places)
    assert any(place.startswith("journalctl") for place in places)
    assert "docker container inspect /planted" in places
    assert any(place.endswith("planted.txt 0644") for place, _name, _form in here)
    assert [name for _place, name, _form in arguments] == ["planted"]


def test_a_secret_file_that_others_may_read_is_a_leak() -> None:
    assert is_allowed("/opt/stacks/litellm/.env.litellm 0600")
    assert not is_allowed("/opt/stacks/litellm/.env.litellm 0644")
    assert not is_allowed("/opt/stacks/litellm/compose.yaml 0644")
