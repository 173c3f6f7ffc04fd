"""authentik's program for the drill: as many rows as there were, or it says which table lost some."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "authentik" / "files" / "drill.py"


def asked(tmp_path, rows, **question):
    """The program's answer where psql in the container counts these rows."""
    docker = tmp_path / "docker"
    listed = "\n".join(f"{table}|{number}" for table, number in rows.items())
    docker.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "exec c1 psql" ] || exit 9\ncat <<END\n{listed}\nEND\n')
    docker.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-I", PROGRAM],
        input=json.dumps({"container": "c1", **question}),
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_notes_the_rows_of_each_table_and_finds_them_again(tmp_path):
    rows = {"authentik_core_user": 7, "authentik_core_group": 2}
    noted = json.loads(asked(tmp_path, rows, do="note").stdout)
    assert noted == rows
    more = {**rows, "authentik_core_user": 8}
    assert asked(tmp_path, more, do="find", note=noted).returncode == 0


def test_a_table_that_lost_rows_is_named(tmp_path):
    found = asked(tmp_path, {"authentik_core_user": 6}, do="find", note={"authentik_core_user": 7})
    assert found.returncode == 1
    assert "the table authentik_core_user has 6 rows of 7" in found.stderr
    gone = asked(tmp_path, {}, do="find", note={"authentik_core_user": 7})
    assert "has 0 rows of 7" in gone.stderr
