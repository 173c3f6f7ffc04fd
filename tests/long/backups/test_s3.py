"""Backups on an S3-compatible server beside those in a directory, and what is said when that server is gone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_host import BackupHost, need_restic

# The published server for tests, built from its Go module.
SERVER = "github.com/johannesboyne/gofakes3/cmd/gofakes3@v1.2.0"
PORT = 19180
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "something"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    subprocess.run(["go", "install", SERVER], env={**os.environ, "GOBIN": str(tmp_path)}, check=True)
    where = ["-backend", "memory", "-host", f"127.0.0.1:{PORT}", "-initialbucket", "hearth"]
    process = subprocess.Popen([tmp_path / "gofakes3", *where], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while socket.socket().connect_ex(("127.0.0.1", PORT)):
        assert time.monotonic() < until, "the server does not listen"
        time.sleep(0.2)
    yield process
    process.kill()
    process.wait()


def test_what_is_saved_there_is_restored_from_there_alone(
    server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    need_restic()
    host = BackupHost(tmp_path / "host")
    row = {**host.repository_row("s3", f"s3:http://127.0.0.1:{PORT}/hearth/edge"), "kind": "url"}
    host.plan["repositories"].append(row)
    (host.root / "etc" / "environment.json").write_text(json.dumps(CREDENTIALS))
    assert host.backup().init([]) == []
    assert host.run() == []
    assert {item["repository"] for item in host.snapshots()} == {"disk", "s3"}
    host.plan["repositories"] = [row]
    host.change()
    host.restore()
    assert (host.texts(), host.letter()) == (["one"], "dear reader")
    server.kill()
    server.wait()
    assert "the repository s3 cannot be reached" in host.run()[0]
