"""Backups on a server beside those in a directory, and what is said when that server is gone: S3 and rest-server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha1
from pathlib import Path

import pytest
from backup_host import BackupHost, need_restic

from ...e2e.conftest import BIN, ROOT
from ...lab import ssh, table

# The published server for tests, built from its Go module; it keeps all in memory.
S3 = "github.com/johannesboyne/gofakes3/cmd/gofakes3@v1.2.0"
S3_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "something"}
PORT = 19180
# rest-server is Debian's, on a host of the lab that belongs to no platform.
MACHINE = table.hosts()["outsider"]
REST_CREDENTIALS = {"RESTIC_REST_USERNAME": "edge", "RESTIC_REST_PASSWORD": "s3cret"}
END_REST = "systemctl stop rest-server-test; rm -rf /srv/rest-server-test"

Served = tuple[str, dict[str, str], Callable[[], object]]


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Served]:
    """(repository URL, the variables of its account, how to end the server)"""
    subprocess.run(["go", "install", S3], env={**os.environ, "GOBIN": str(tmp_path)}, check=True)
    where = ["-backend", "memory", "-host", f"127.0.0.1:{PORT}", "-initialbucket", "hearth"]
    process = subprocess.Popen([tmp_path / "gofakes3", *where], stderr=subprocess.DEVNULL)
    until_it_listens("127.0.0.1", PORT)
    yield f"s3:http://127.0.0.1:{PORT}/hearth/edge", S3_CREDENTIALS, process.kill
    process.kill()
    process.wait()


@pytest.fixture
def rest() -> Iterator[Served]:
    """As `s3`; nobody deletes or changes anything there, and each account has a folder of its own."""
    subprocess.run([BIN / "python", "-m", "tests.lab", "up", "outsider"], cwd=ROOT, check=True)
    password = b64encode(sha1(REST_CREDENTIALS["RESTIC_REST_PASSWORD"].encode()).digest()).decode()
    on_host(
        "dpkg -s restic-rest-server >/dev/null 2>&1 ||"
        " { apt-get update -qq && DEBIAN_FRONTEND=noninteractive"
        " apt-get install -qq -y --no-install-recommends restic-rest-server; } >/dev/null;"
        f" {END_REST} 2>/dev/null; mkdir -p /srv/rest-server-test;"
        f" echo 'edge:{{SHA}}{password}' >/srv/rest-server-test/.htpasswd;"
        " systemd-run --quiet --unit rest-server-test $(command -v rest-server restic-rest-server | head -1)"
        f" --path /srv/rest-server-test --listen :{PORT} --append-only --private-repos"
    )
    until_it_listens(MACHINE.address, PORT)
    yield f"rest:http://{MACHINE.address}:{PORT}/edge/", REST_CREDENTIALS, lambda: on_host(END_REST)
    on_host(f"{END_REST} 2>/dev/null; true")


def on_host(command: str) -> str:
    return subprocess.run(ssh.command(MACHINE, command), stdout=subprocess.PIPE, text=True, check=True).stdout


def until_it_listens(address: str, port: int) -> None:
    until = time.monotonic() + 30
    while True:
        with socket.socket() as tried:
            if not tried.connect_ex((address, port)):
                return
        assert time.monotonic() < until, "the server does not listen"
        time.sleep(0.2)


@pytest.mark.lab
@pytest.mark.parametrize("kind", ["s3", "rest"])
def test_what_is_saved_there_is_restored_from_there_alone(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    need_restic()
    url, credentials, end = request.getfixturevalue(kind)
    host = BackupHost(tmp_path / "host")
    row = {**host.repository_row(kind, url), "kind": "url", "append_only": kind == "rest"}
    host.plan["repositories"].append(row)
    (host.root / "etc" / "environment.json").write_text(json.dumps(credentials))
    assert host.backup().init([]) == []
    assert host.run() == []
    assert {item["repository"] for item in host.snapshots()} == {"disk", kind}
    host.plan["repositories"] = [row]
    host.change()
    host.restore()
    assert (host.texts(), host.letter()) == (["one"], "dear reader")
    if kind == "rest":
        (saved,) = host.snapshots()
        restic = host.backup().repository(kind)
        forget = ["restic", *restic.options, "forget", saved["id"]]
        subprocess.run(forget, env=restic.environment, check=False)
        assert host.snapshots() == [saved]
    end()
    assert f"the repository {kind} cannot be reached" in host.run()[0]
