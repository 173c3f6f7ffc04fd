"""A drill asks each restored service for what it held: a chat, a document's vector, a pad. What lost it fails."""

from __future__ import annotations

import pytest

from .people import People

pytestmark = pytest.mark.lab

# A snapshot as whole as any other, but for one collection.
LOSSY = """
set -e
hearth-backup restic edge restore latest --tag service=qdrant --target /root/lossy >/dev/null
mkdir -p /srv/docker/.backup
mv /root/lossy/srv/docker/.backup/qdrant /srv/docker/.backup/
find /srv/docker/.backup/qdrant/storage -mindepth 2 -delete
hearth-backup restic edge backup --host gpu-1 --tag hearth,service=qdrant /srv/docker/.backup/qdrant \
  /srv/docker/qdrant/snapshots >/dev/null
rm -r /srv/docker/.backup /root/lossy
"""


def test_each_service_finds_in_its_backup_what_it_held(people: People) -> None:
    me = people.signs_in()
    people.writes_a_chat(me, "a drill")
    people.uploads(me, "drill.txt", "A drill is done before the fire.")
    people.types("drill", "in case of fire")
    people.play("backup").succeeded()
    before = {host: people.containers(host) for host in ("edge", "gpu-1")}
    run = people.play("backup-drill").succeeded()
    for service in ("authentik", "openwebui", "qdrant", "rustpad"):
        assert f"{service}: found what was noted when it was saved" in run.output
    assert {host: people.containers(host) for host in before} == before


def test_a_backup_that_lost_vectors_fails_the_drill_loudly(people: People) -> None:
    people.ssh("gpu-1", LOSSY)
    said = people.ssh("gpu-1", "hearth-backup drill qdrant 2>&1; echo ended with $?")
    assert said.rstrip().endswith("ended with 1"), said
    assert "qdrant is not whole on" in said
    assert "what was noted is lost" in said
    assert "qdrant on gpu-1: the last drill failed" in people.play("verify").output
    metrics = people.ssh("gpu-1", "cat /var/lib/hearth/backups/metrics.prom")
    assert 'hearth_backup_drill_good{service="qdrant"} 0' in metrics
    people.ssh("gpu-1", "hearth-backup run qdrant && hearth-backup drill qdrant")
