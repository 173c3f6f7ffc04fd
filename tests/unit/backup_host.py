"""A host for the tests of backups: restic itself, local repositories, and an engine that only knows one container."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _backup_work, _durable
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker
from cryptography.hazmat.primitives import poly1305
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# `docker` as far as backups ask it; what runs in the container runs here, and every call is written down.
PASSWORD = "correct horse battery staple"
ENGINE = """#!/bin/sh
echo "$@" >>{folder}/calls
case "$1" in
  ps) case "$*" in *status=paused*) cat {folder}/frozen 2>/dev/null ;; *)
    echo "$*" | sed -n 's/.*project=\\([^ ]*\\).*/\\1/p' >{folder}/project; echo c1 ;; esac ;;
  container) sed "s/PROJECT/$(cat {folder}/project)/" {folder}/container.json ;;
  exec) shift; [ "$1" = -i ] && shift; shift; exec "$@" ;;
  compose) case "$*" in *' config '*) cat {folder}/model.json ;; *' up '*) sh {folder}/up.sh ;; esac ;;
  network) ;;
  pause) touch {folder}/frozen; echo c1 >{folder}/frozen ;;
  unpause) rm -f {folder}/frozen ;;
esac
"""
CONTAINER = {
    "Id": "c1",
    "Name": "/store",
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "StartedAt": "2026-01-01T00:00:00Z",
        "Health": {"Status": "healthy"},
    },
    "Config": {
        "Image": "store:1",
        "Labels": {"com.docker.compose.project": "PROJECT", "com.docker.compose.service": "store"},
    },
    "Image": "sha256:1",
    "HostConfig": {},
}


def new_repository(folder: Path) -> Path:
    """A repository that has begun, to be copied."""
    need_restic()
    (folder / "key").write_text(PASSWORD)
    subprocess.run(
        ["restic", "init", "--repo", str(folder / "new"), "--password-file", str(folder / "key")],
        capture_output=True,
        check=True,
    )
    cheap_key(folder / "new", PASSWORD)
    return folder / "new"


def need_restic() -> None:
    """Restic, and root, whose work backups are."""
    if os.geteuid():
        pytest.skip("backups read and give away files of other accounts, so these tests need root")
    need("restic")


def need(program: str) -> None:
    """A program from the distribution's package of that name, where the tests may install it."""
    if not shutil.which(program) and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-qq", "-y", program], capture_output=True, check=False)
    if not shutil.which(program):
        pytest.skip(f"there is no {program} on this machine: apt-get install {program}")


def cheap_key(repository: Path, password: str) -> None:
    """Make opening a repository cheap: its key at scrypt's smallest cost instead of half a second of a processor."""
    (file,) = (repository / "keys").iterdir()
    key = json.loads(file.read_text())
    sealed = base64.b64decode(key["data"])
    master = _counted(_derived(password, key)[:32], sealed[:16], sealed[16:-16])
    key.update(N=2, r=1, p=1)
    derived, nonce = _derived(password, key), os.urandom(16)
    hidden = _counted(derived[:32], nonce, master)
    one_time = derived[48:] + Cipher(algorithms.AES(derived[32:48]), modes.ECB()).encryptor().update(nonce)
    mac = poly1305.Poly1305.generate_tag(one_time, hidden)
    key["data"] = base64.b64encode(nonce + hidden + mac).decode()
    content = json.dumps(key).encode()
    file.unlink()
    (repository / "keys" / hashlib.sha256(content).hexdigest()).write_bytes(content)


def _derived(password: str, key: dict[str, Any]) -> bytes:
    cost = {name: key[name] for name in ("r", "p")}
    salt = base64.b64decode(key["salt"])
    return hashlib.scrypt(password.encode(), salt=salt, n=key["N"], dklen=64, maxmem=1 << 30, **cost)


def _counted(key: bytes, nonce: bytes, text: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor().update(text)


class BackupHost:
    """One service `store` with data of every kind, and one repository on a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.engine = root / "engine"
        self.data = root / "data"
        self.repository = root / "repositories" / "edge"
        self.said: list[str] = []
        for folder in (self.engine, self.data / "store", root / "etc", self.repository.parent):
            folder.mkdir(parents=True)
        (root / "stacks" / "store").mkdir(parents=True)
        (root / "stacks" / "store" / "compose.yaml").write_text("services: {}\n")
        program = self.engine / "docker"
        program.write_text(ENGINE.format(folder=self.engine))
        program.chmod(0o755)
        (self.engine / "up.sh").write_text("exit 0\n")
        (self.engine / "container.json").write_text(json.dumps([CONTAINER]))
        (root / "etc" / "key").write_text(f"{PASSWORD}\n")
        for name in ("files", "pads", "frozen", "rows"):
            (self.data / "store" / name).mkdir()
        (self.data / "store" / "files" / "letter").write_text("dear reader")
        (self.data / "store" / "frozen" / "segment").write_bytes(os.urandom(200_000))
        with closing(self.pads()) as pads:
            pads.executescript(
                "PRAGMA journal_mode=wal; CREATE TABLE pad (text); INSERT INTO pad VALUES ('one')"
            )
        self.plan = {
            "host": "edge",
            "key": "backups_key_edge",
            "state_dir": str(root / "state"),
            "data_dir": str(self.data),
            "stacks": ["store"],
            "repositories": [self.repository_row("disk", self.repository)],
            "together": [],
            "keep": {"daily": 7, "weekly": 4, "monthly": 6},
            "check_percent": 5,
            "metrics": str(root / "metrics" / "backups.prom"),
            "services": [self.service()],
        }

    @staticmethod
    def repository_row(name, place, append_only=False):
        row = {"name": name, "kind": "path", "place": str(place), "append_only": append_only}
        return {**row, "host": None, "account": None, "address": None}

    def service(self):
        plain = {"container": None, "databases": [], "dump": [], "restore": [], "regain": None}
        rows = [
            ("files", {"save": "files"}),
            ("pads", {"save": "sqlite", "databases": ["pads.db"], "container": "store"}),
            ("frozen", {"save": "paused", "container": "store"}),
            (
                "rows",
                {
                    "save": "dump",
                    "container": "store",
                    "dump": ["echo", "all my rows"],
                    "restore": self.loads(),
                },
            ),
        ]
        return {
            "name": "store",
            "title": "Store",
            "versions": {"store": "6"},
            "images": {"store": "store:6"},
            "stack_dir": str(self.root / "stacks" / "store"),
            "deadline": 10,
            "reversible": True,
            "data": [
                {**plain, "name": name, "place": str(self.data / "store" / name), **row} for name, row in rows
            ],
        }

    def loads(self):
        """What the container does with a dump: keeps it where its data are."""
        return ["sh", "-c", f"cat >{self.data}/store/rows/loaded"]

    def pads(self):
        return sqlite3.connect(self.data / "store" / "pads" / "pads.db", isolation_level=None)

    def row(self, name):
        return next(item for item in self.plan["services"][0]["data"] if item["name"] == name)

    def backup(self):
        """The program's commands, with the configuration as it is now."""
        config = self.root / "etc" / "config.json"
        _durable.write_json(str(config), self.plan)
        return _backup_work.Backup(str(config), self.said.append, Docker(str(self.engine / "docker")))

    def begin(self, repository, template):
        """Have a repository there, a copy of one that was begun."""
        shutil.copytree(template, repository)
        assert self.backup().init([]) == []

    def run(self, *tags):
        return self.backup().run([], tags)

    def saved_days_ago(self, *days, tags=()):
        """Snapshots of the service as if they were made then."""
        for number in days:
            then = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - number * 86400))
            tag = ",".join(["hearth", "service=store", *tags])
            options = ["--host", "edge", "--tag", tag, "--time", then]
            self.backup().repositories[0].good("backup", *options, str(self.data))

    def snapshots(self):
        return self.backup().list([])

    def calls(self):
        path = self.engine / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def lose(self):
        """Stand where the host stood after it was lost with its disks: only the repository is left."""
        for folder in ("data", "stacks", "state"):
            shutil.rmtree(self.root / folder)
        (self.engine / "calls").unlink(missing_ok=True)

    def refill(self, wanted="latest", without=()):
        return self.backup().refill([], wanted, without)

    def restore(self, wanted="latest", confirmed="store"):
        return self.backup().restore("store", wanted, confirmed)

    def texts(self):
        """What the pads say now."""
        with closing(self.pads()) as pads:
            return [text for (text,) in pads.execute("SELECT text FROM pad")]

    def letter(self):
        return (self.data / "store" / "files" / "letter").read_text()

    def change_letter(self, text):
        (self.data / "store" / "files" / "letter").write_text(text)

    def change(self):
        """Write something into every kind of data."""
        with closing(self.pads()) as pads:
            pads.execute("INSERT INTO pad VALUES ('two')")
        (self.data / "store" / "files" / "letter").write_text("dear writer")
        (self.data / "store" / "frozen" / "segment").write_bytes(b"other")
        (self.data / "store" / "rows" / "live").write_text("live")

    def flip(self):
        """Change bytes in the largest file of the repository."""
        pack = max((self.repository / "data").rglob("*"), key=lambda path: path.stat().st_size)
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        for index in range(1000, 1040):
            content[index] ^= 0xFF
        pack.write_bytes(content)

    def restored(self, snapshot="latest"):
        """Where a snapshot lies, restored by restic alone."""
        target = self.root / "restored"
        shutil.rmtree(target, ignore_errors=True)
        self.backup().repositories[0].good("restore", snapshot, "--target", str(target))
        return target

    def staged(self, *parts):
        """A file of a restored snapshot's staging directory."""
        return self.restored() / str(self.data / ".backup" / "store").lstrip("/") / Path(*parts)
