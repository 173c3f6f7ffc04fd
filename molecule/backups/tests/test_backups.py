"""Backups of services that run: saved while they are used, put back in place, tried beside what runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from testinfra.host import Host

testinfra_hosts = ["ansible://solo"]

# Of solo on shelf, which is the same machine.
REPOSITORY = "/var/backups/hearth/backup-solo/repository"
WRITE = """
import sqlite3, sys
pads = sqlite3.connect('/srv/docker/rustpad/pads/pads.db', timeout=30)
pads.execute('INSERT OR REPLACE INTO document (id, text) VALUES (?, ?)', sys.argv[1:])
pads.commit()
"""
FLIP = """
import os, pathlib
pack = max(pathlib.Path('%s/data').rglob('*'), key=lambda path: path.stat().st_size if path.is_file() else 0)
content = bytearray(pack.read_bytes())
pathlib.Path('/root/pack').write_bytes(content)
content[len(content) // 2 : len(content) // 2 + 64] = os.urandom(64)
os.chmod(pack, 0o600)
pack.write_bytes(content)
print(pack)
"""
# Sound as a database, and nothing that Rustpad can ask.
STRANGE = """
import os, sqlite3
path = '/srv/docker/rustpad/pads/pads.db'
pads = sqlite3.connect(path)
pads.execute("CREATE VIEW document AS SELECT * FROM missing")
pads.close()
os.chown(path, 1000, 1000)
"""


def wait_for(what: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.5)


def write(host: Host, pad: str, text: str) -> None:
    host.check_output("python3 -c %s %s %s", WRITE, pad, text)


def read(host: Host, pad: str) -> str:
    """A pad's text as Rustpad answers it."""
    found = json.loads(host.check_output("docker inspect rustpad"))[0]
    address = found["NetworkSettings"]["Networks"]["frontend"]["IPAddress"]
    return host.check_output(
        "curl -sS --retry 20 --retry-connrefused http://%s:3030/api/text/%s", address, pad
    )


def containers(host: Host) -> str:
    """Which containers run, and since when."""
    listed = (
        "docker ps --quiet --no-trunc | sort | xargs docker inspect --format '{{.Id}} {{.State.StartedAt}}'"
    )
    return host.check_output(listed)


def status(host: Host) -> dict:
    return json.loads(host.check_output("hearth-backup status --json"))


def test_the_timers_run_and_catch_up(host: Host) -> None:
    for timer in ("hearth-backup.timer", "hearth-backup-drill.timer"):
        assert host.service(timer).is_enabled
        assert host.service(timer).is_running
        shown = host.check_output(f"systemctl show {timer} -p Persistent -p RandomizedDelayUSec")
        assert "Persistent=yes" in shown
        assert "RandomizedDelayUSec=30min" in shown
    host.check_output("systemd-analyze verify hearth-backup.service hearth-backup-drill.service")
    assert host.service("hearth-backup-recover").is_enabled


def test_the_keys_are_roots_alone(host: Host) -> None:
    assert host.file("/etc/hearth/backups").mode == 0o700
    for name in ("key", "config.json", "environment.json"):
        assert host.file(f"/etc/hearth/backups/{name}").mode == 0o600


def test_whoever_brings_backups_can_do_nothing_else(host: Host) -> None:
    address = host.ansible.get_variables()["ansible_host"]
    ssh = (
        "{} -i /etc/hearth/backups/id_ed25519 -o UserKnownHostsFile=/etc/hearth/backups/known_hosts"
        " -o BatchMode=yes {} backup-solo@" + address
    )
    # ssh's own failures end with 255, which testinfra takes for its own.
    assert "uid=" not in host.run(ssh.format("ssh", "") + " id || true").stdout
    tunnel = host.run(ssh.format("timeout 10 ssh", "-W 127.0.0.1:22") + " || true")
    assert "SSH-2.0" not in tunnel.stdout
    seen = host.check_output("echo 'ls -1 /' | " + ssh.format("sftp", "-b -"))
    assert [line for line in seen.splitlines() if "sftp>" not in line] == ["/repository"]


def test_the_unit_saves_every_service_to_every_place(host: Host) -> None:
    write(host, "saved", "before")
    before = containers(host)
    host.check_output("systemctl start hearth-backup.service")
    assert containers(host) == before, "saving restarts nothing"
    rows = json.loads(host.check_output("hearth-backup list --json"))
    assert {(row["service"], row["repository"]) for row in rows} >= {
        (service, place) for service in ("rustpad", "qdrant", "traefik") for place in ("shelf", "/mnt/disk")
    }
    assert status(host)["services"]["qdrant"]["run"]["paused_seconds"] > 0
    assert host.check_output("docker inspect --format '{{.State.Paused}}' qdrant") == "false"
    metrics = host.file("/var/lib/hearth/backups/metrics.prom").content_string
    assert 'hearth_backup_run_good{service="rustpad"} 1' in metrics


def test_without_the_name_repeated_nothing_is_replaced(host: Host) -> None:
    before = containers(host)
    refused = host.run("hearth-backup restore rustpad")
    assert refused.rc == 2
    assert "--confirm rustpad" in refused.stderr
    assert containers(host) == before


def test_a_service_is_restored_in_place(host: Host) -> None:
    write(host, "restored", "first")
    host.check_output("hearth-backup run rustpad")
    write(host, "restored", "second")
    write(host, "later", "not in the backup")
    names = host.check_output("docker ps --quiet --no-trunc | sort")
    host.check_output("hearth-backup restore rustpad --confirm rustpad")
    assert read(host, "restored") == "first"
    assert read(host, "later") == ""
    assert host.check_output("docker ps --quiet --no-trunc | sort") == names, (
        "the containers are the deployed ones"
    )
    assert not host.file("/srv/docker/rustpad/pads.before-restore").exists
    assert not host.file("/var/lib/hearth/backups/restoring.json").exists
    owner = host.file("/srv/docker/rustpad/pads")
    assert (owner.uid, owner.gid, owner.mode) == (1000, 1000, 0o750)
    write(host, "restored", "third")
    assert host.file("/srv/docker/rustpad/pads/pads.db").uid == 1000


def test_a_service_whose_files_were_copied_while_it_was_frozen_starts_on_them(host: Host) -> None:
    host.check_output("hearth-backup run qdrant")
    host.check_output("hearth-backup restore qdrant --confirm qdrant")
    wait_for(lambda: health(host, "qdrant") == "healthy", "Qdrant did not come back")


def health(host: Host, name: str) -> str:
    return host.check_output("docker inspect --format '{{.State.Health.Status}}' %s", name)


def test_a_drill_starts_each_service_beside_the_running_one_and_leaves_nothing(host: Host) -> None:
    write(host, "known", "to be found again")
    host.check_output("hearth-backup run rustpad")
    before = containers(host)
    host.check_output("systemctl start hearth-backup-drill.service")
    said = host.check_output("journalctl --unit hearth-backup-drill.service --since -10min --output cat")
    assert "rustpad: found what was noted when it was saved" in said
    assert containers(host) == before, "what runs is not touched"
    assert host.check_output("docker ps --all --quiet --filter name=hearth-drill") == ""
    assert host.check_output("docker network ls --quiet --filter name=hearth-drill") == ""
    assert not host.file("/srv/docker/.drill").exists
    assert all(service["drill"]["good"] for service in status(host)["services"].values())


def test_a_drill_finds_flipped_bytes_and_is_loud(host: Host) -> None:
    pack = host.check_output("python3 -c %s", FLIP % REPOSITORY)
    host.run("rm -f /var/lib/hearth/backups/told")
    try:
        found = host.run("hearth-backup drill rustpad")
        assert found.rc == 1
        assert "the repository shelf is damaged" in found.stderr
        assert "is damaged" in host.file("/var/lib/hearth/backups/told").content_string
        assert status(host)["repositories"]["shelf"]["checked"]["good"] is False
        assert status(host)["repositories"]["/mnt/disk"]["checked"]["good"] is True
    finally:
        host.check_output("cp /root/pack %s", pack)


def test_a_service_that_cannot_start_on_a_snapshot_is_what_it_was(host: Host) -> None:
    write(host, "kept", "as it was")
    host.check_output("docker stop rustpad")
    host.check_output("mv /srv/docker/rustpad/pads/pads.db /root/pads.db")
    try:
        host.check_output("python3 -c %s", STRANGE)
        host.check_output("hearth-backup run rustpad")
    finally:
        host.check_output(
            "rm -f /srv/docker/rustpad/pads/pads.db*; mv /root/pads.db /srv/docker/rustpad/pads/pads.db"
        )
        host.check_output("docker start rustpad")
    failed = host.run("hearth-backup restore rustpad --confirm rustpad")
    assert failed.rc == 2
    assert "what was there before runs again" in failed.stderr
    assert read(host, "kept") == "as it was"
