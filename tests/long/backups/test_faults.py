"""Whatever breaks while services are saved or put back: nothing looks saved that is not, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from ...e2e.conftest import BIN, ROOT
from ...lab import table
from .people import People

pytestmark = pytest.mark.lab

# Service → its host, and how what saves it is broken and mended.
BREAKS = {
    "authentik": ("edge", "docker stop authentik-database", "docker start authentik-database"),
    "openwebui": (
        "edge",
        "docker stop open-webui && mv /srv/docker/openwebui/data/webui.db /root/",
        "mv /root/webui.db /srv/docker/openwebui/data/ && docker start open-webui",
    ),
    "rustpad": (
        "edge",
        "docker stop rustpad && mv /srv/docker/rustpad/pads /root/",
        "mv /root/pads /srv/docker/rustpad/ && docker start rustpad",
    ),
    "traefik": (
        "edge",
        "mv /srv/docker/traefik/certificates /root/",
        "mv /root/certificates /srv/docker/traefik/",
    ),
    "qdrant": (
        "gpu-1",
        "docker stop qdrant && mv /srv/docker/qdrant/storage /root/",
        "mv /root/storage /srv/docker/qdrant/ && docker start qdrant",
    ),
}


METRICS = "cat /var/lib/hearth/backups/metrics.prom"


@pytest.fixture(scope="module")
def saved(people: People) -> People:
    people.play("backup").succeeded()
    return people


def of(people: People, host: str, service: str) -> list[str]:
    return [row["id"] for row in people.snapshots(host) if row["service"] == service]


def healthy(people: People, host: str, container: str) -> None:
    until = time.monotonic() + 300
    form = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
    while people.ssh(host, f"docker inspect --format '{form}' {container} || true").split() != [
        "running",
        "healthy",
    ]:
        assert time.monotonic() < until, f"{container} does not come back"
        time.sleep(1)


@pytest.mark.parametrize("service", BREAKS)
def test_what_cannot_be_saved_whole_is_no_snapshot_and_is_told(saved: People, service: str) -> None:
    host, broken, mended = BREAKS[service]
    before = of(saved, host, service)
    saved.ssh(host, broken)
    try:
        said = saved.ssh(host, f"hearth-backup --wait run {service} 2>&1; echo ended with $?")
    finally:
        saved.ssh(host, mended)
    assert said.rstrip().endswith("ended with 1"), said
    assert f"{service}: " in said
    assert of(saved, host, service) == before
    status = saved.status(host)["services"][service]
    assert not status["run"]["good"]
    assert f'hearth_backup_run_good{{service="{service}"}} 0' in saved.ssh(host, METRICS)
    if service == "openwebui":
        healthy(saved, host, "open-webui")
    if service == "authentik":
        for container in ("authentik-database", "authentik-server", "authentik-worker"):
            healthy(saved, host, container)


def cut_the_power(people: People, host: str, command: str, sign: str) -> None:
    """Have a command begin on a host, and the host die at once when a file has appeared there."""
    process = subprocess.Popen(
        [BIN / "python", "-m", "tests.lab", "ssh", host, command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    people.ssh(host, f"for i in $(seq 6000); do [ -e {sign} ] && exit 0; sleep 0.01; done; exit 1")
    subprocess.run(["docker", "kill", table.hosts()[host].container], check=True, capture_output=True)
    process.wait(timeout=60)
    people.lab("up", host)


def test_a_power_cut_in_a_restore_is_undone_at_the_boot(saved: People) -> None:
    shape = {"vectors": {"size": 2, "distance": "Cosine"}}
    saved.vectors("/collections/since", shape, "PUT")
    marker = "/var/lib/hearth/backups/restoring.json"
    cut_the_power(saved, "gpu-1", "hearth-backup restore qdrant --confirm qdrant", marker)
    saved.ssh("gpu-1", f"for i in $(seq 300); do [ -e {marker} ] || exit 0; sleep 1; done; exit 1")
    healthy(saved, "gpu-1", "qdrant")
    names = [item["name"] for item in saved.vectors("/collections")["collections"]]
    assert "since" in names, "what was there before the restore is there"
    assert saved.ssh("gpu-1", "ls -d /srv/docker/qdrant/*.before-restore 2>/dev/null || true") == ""


def test_a_power_cut_of_the_other_host_in_a_backup_holds_nobody_and_costs_its_snapshot_only(
    saved: People,
) -> None:
    chats, vectors = of(saved, "edge", "openwebui"), of(saved, "gpu-1", "qdrant")
    done = "/root/run-of-openwebui"
    run = f"hearth-backup --wait run openwebui >{done}.half 2>&1; mv {done}.half {done}"
    begin = f"systemd-run --collect --unit=cut sh -c '{run}'"
    saved.ssh("edge", f"rm -f {done}*; {begin}")
    saved.ssh(
        "gpu-1",
        "for i in $(seq 6000); do [ -e /srv/docker/.backup/qdrant ] && exit 0; sleep 0.01; done; exit 1",
    )
    subprocess.run(["docker", "kill", table.hosts()["gpu-1"].container], check=True, capture_output=True)
    try:
        said = saved.ssh("edge", f"for i in $(seq 600); do [ -e {done} ] && break; sleep 1; done; cat {done}")
        assert "qdrant on gpu-1, saved together with openwebui" in said
        paused = json.loads(saved.ssh("edge", "docker inspect --format '{{json .State.Paused}}' open-webui"))
        assert paused is False
    finally:
        saved.lab("up", "gpu-1")
    healthy(saved, "gpu-1", "qdrant")
    assert of(saved, "gpu-1", "qdrant") == vectors
    # Its own repository lies on the host that died; it says so, and the next run is as ever.
    assert of(saved, "edge", "openwebui") in (chats, chats + of(saved, "edge", "openwebui")[-1:])
    saved.play("backup").succeeded()
    assert len(of(saved, "gpu-1", "qdrant")) == len(vectors) + 1
