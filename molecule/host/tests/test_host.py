"""The effective state of a host that had no engine before the role ran."""

from __future__ import annotations

import json

from testinfra.host import Host


def test_the_engine_answers_and_starts_at_boot(host: Host) -> None:
    assert host.service("docker").is_running
    assert host.service("docker").is_enabled
    assert host.check_output("docker version --format '{{.Server.Version}}'")


def test_compose_2_is_there(host: Host) -> None:
    assert host.check_output("docker compose version --short").lstrip("v").startswith("2.")


def test_the_engine_runs_with_the_merged_options(host: Host) -> None:
    options = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert options["max-concurrent-downloads"] == 4
    assert options["log-opts"] == {"max-size": "10m", "max-file": "3"}, "an option that was there is gone"
    # Started after the file was written: it is in effect.
    changed = host.file("/etc/docker/daemon.json").mtime.timestamp()
    since = host.check_output('date -d "$(systemctl show -p ActiveEnterTimestamp --value docker)" +%s')
    assert int(since) >= int(changed)


def test_stacks_have_a_network_without_ipv6(host: Host) -> None:
    network = json.loads(host.check_output("docker network inspect frontend"))[0]
    assert network["Driver"] == "bridge"
    assert network["EnableIPv6"] is False


def test_an_interrupted_change_is_dealt_with_at_boot(host: Host) -> None:
    unit = host.service("hearth-recover")
    assert unit.is_enabled
    shown = host.check_output("systemctl show hearth-recover -p After -p ExecStart")
    assert "docker.service" in shown
    assert "engine.py recover /var/lib/hearth" in shown
    host.check_output("systemd-analyze verify hearth-recover.service")


def test_without_an_interrupted_change_the_boot_unit_does_not_fail(host: Host) -> None:
    host.run("systemctl start hearth-recover")
    assert host.check_output("systemctl show hearth-recover -p Result --value") == "success"
