"""A compute host that somebody took over: its past backups stay, and the trusted host's are nothing to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .people import People

pytestmark = pytest.mark.lab

SSH = (
    "ssh -i /etc/hearth/backups/id_ed25519 -o UserKnownHostsFile=/etc/hearth/backups/known_hosts -o BatchMode=yes"
    " -l backup-gpu-1 $(cut -d' ' -f1 /etc/hearth/backups/known_hosts)"
)
REPOSITORY = "/var/backups/hearth/backup-gpu-1/repository"


@pytest.fixture(scope="module")
def captured(people: People) -> Iterator[People]:
    """gpu-1 saves to edge, append-only; and whoever has it now is root there."""
    hosts: Path = people.inventory / "hosts.yml"
    before = hosts.read_text()
    changed = yaml.safe_load(before)
    changed["compute"]["hosts"]["gpu-1"]["backups_to"] = [{"host": "edge", "append_only": True}]
    hosts.write_text(yaml.safe_dump(changed))
    people.play("backup").succeeded()
    yield people
    hosts.write_text(before)
    people.play("backup").succeeded()


def tried(people: People, command: str) -> tuple[int, str]:
    said = people.ssh("gpu-1", f"({command}) 2>&1 </dev/null; echo ended $?")
    text, _word, code = said.rstrip().rpartition("ended ")
    return int(code), text


def ids(people: People) -> list[str]:
    return [row["id"] for row in people.snapshots("gpu-1")]


def test_it_deletes_nothing_of_its_past(captured: People) -> None:
    before = ids(captured)
    assert before
    _code, said = tried(captured, f"hearth-backup restic edge forget {before[-1]}")
    assert "403 Forbidden" in said
    tried(captured, "hearth-backup restic edge forget --keep-last 1 --group-by host --prune")
    # Whatever is asked for, rclone answers, in HTTP/2: no text.
    tried(captured, f"{SSH} rm -rf {REPOSITORY} >/dev/null")
    assert ids(captured) == before
    assert captured.ssh("edge", f"ls {REPOSITORY}/config").strip() == f"{REPOSITORY}/config"
    captured.ssh("gpu-1", "hearth-backup run qdrant")
    assert set(ids(captured)) > set(before)


def test_it_cannot_read_what_the_trusted_host_saved_on_it(captured: People) -> None:
    read = "restic --repo /var/backups/hearth/backup-edge/repository --password-file /etc/hearth/backups/key snapshots"
    code, said = tried(captured, read)
    assert code != 0
    assert "wrong password" in said
    assert (
        captured.ssh("gpu-1", f"grep -rlF {captured.vault('backups_key_edge')} /etc /var/lib /opt || true")
        == ""
    )


def test_the_trusted_host_thins_out_by_age_and_whoever_floods_it_pushes_nothing_out(captured: People) -> None:
    good = ids(captured)
    save = "hearth-backup restic edge backup --quiet --host gpu-1 --tag hearth,service=qdrant /etc/hostname --time"
    captured.ssh("gpu-1", f"{save} '2020-01-01 00:00:00'; {save} '2020-01-02 00:00:00'")
    captured.ssh("gpu-1", f'for day in 01 02 03; do {save} "2090-01-$day 00:00:00"; done')
    old = {row["id"] for row in captured.snapshots("gpu-1") if row["time"].startswith("2020")}
    assert len(old) == 2
    assert (
        captured.ssh("edge", "systemctl is-enabled hearth-backup-prune@backup-gpu-1.timer").strip()
        == "enabled"
    )
    captured.ssh("edge", "systemctl start hearth-backup-prune@backup-gpu-1.service")
    left = ids(captured)
    assert not old & set(left)
    assert set(good) <= set(left)
    for row in captured.snapshots("gpu-1"):
        if row["time"].startswith("2090"):
            captured.ssh(
                "edge",
                f"runuser -u backup-gpu-1 -- env RESTIC_PASSWORD={captured.vault('backups_key_gpu_1')}"
                f" restic --no-cache -r {REPOSITORY} forget {row['id']}",
            )
    # It can still write, and what it wrote can still be restored.
    captured.ssh("gpu-1", "hearth-backup run qdrant && hearth-backup restore qdrant --confirm qdrant")


def test_once_it_may_thin_out_by_itself_the_trusted_host_has_neither_the_timer_nor_the_key(
    captured: People,
) -> None:
    key = "/etc/hearth/backup-clients/backup-gpu-1.key"
    captured.ssh("edge", f"test -e {key}")
    hosts = captured.inventory / "hosts.yml"
    changed = yaml.safe_load(hosts.read_text())
    changed["compute"]["hosts"]["gpu-1"]["backups_to"] = [{"host": "edge"}]
    hosts.write_text(yaml.safe_dump(changed))
    captured.play("backup").succeeded()
    timers = "systemctl list-timers --all --no-legend 'hearth-backup-prune@*'"
    assert captured.ssh("edge", timers).strip() == ""
    captured.ssh("edge", f"test ! -e {key}")
    assert tried(captured, "hearth-backup restic edge snapshots")[0] == 0


def test_one_that_saves_elsewhere_is_not_let_in_any_more_and_what_it_saved_stays(captured: People) -> None:
    hosts = captured.inventory / "hosts.yml"
    changed = yaml.safe_load(hosts.read_text())
    changed["compute"]["hosts"]["gpu-1"]["backups_to"] = [{"path": "/var/backups/here"}]
    hosts.write_text(yaml.safe_dump(changed))
    captured.play("backup").succeeded()
    code, said = tried(captured, f"{SSH} -s sftp")
    assert code != 0
    assert "Permission denied" in said
    captured.ssh("edge", f"test -e {REPOSITORY}/config")
    assert "lead-edge" in captured.ssh("gpu-1", "ls /etc/hearth/backup-clients"), "the chat still leads it"
