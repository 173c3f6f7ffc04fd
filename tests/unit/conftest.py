"""Fixtures for the tests of whole transactions, and of backups."""

from __future__ import annotations

import os
import subprocess
import uuid

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import transaction
from backup_host import new_repository
from engine_host import TINY, Host, docker
from one_way_service import Service


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    name = f"hearth-test-{uuid.uuid4().hex[:8]}"
    subprocess.run(["gcc", "-static", "-O1", "-o", str(folder / "tiny"), str(TINY)], check=True)
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY tiny /tiny\nENTRYPOINT ["/tiny"]\n')
    for tag, label in (("1", "one"), ("2", "two")):
        subprocess.run(
            ["docker", "build", "-q", "-t", f"{name}:{tag}", "--label", f"which={label}", str(folder)],
            capture_output=True,
            check=True,
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
        )
    yield name
    docker("image", "rm", "-f", f"{name}:1", f"{name}:2", check=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A repository of restic's that has begun, to be copied."""
    return new_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def host(tmp_path, image):
    host = Host(tmp_path, image)
    yield host
    with transaction.host_lock(host.state_dir, "the end of the test", 60, lambda text: None):
        pass  # a detached runner may still be at work where a test failed
    for name in host.names:
        docker("compose", "-p", name, "down", "--volumes", "--remove-orphans", "-t", "0", check=False)
        docker("image", "rm", f"hearth-rollback/{name}/svc:previous", check=False)


@pytest.fixture
def running(host):
    """A host on which version one is committed."""
    assert host.deploy(host.plan())["outcome"] == "committed"
    return host


@pytest.fixture(params=["directory", "volume"])
def service(host, request):
    directory = host.root / "data"
    place = f"{host.name}data" if request.param == "volume" else str(directory)
    found = Service(host, place)
    docker("network", "create", found.network)
    yield found
    docker("compose", "-p", host.name, "down", "-t", "0", "--remove-orphans", check=False)
    docker("network", "rm", found.network, check=False)
    docker("volume", "rm", "-f", place if request.param == "volume" else "none", check=False)


@pytest.fixture
def one(service):
    """The service at version 1, in a directory."""
    if service.place.startswith("/"):
        os.makedirs(service.place)
    assert service.host.deploy(service.plan(1))["outcome"] == "committed"
    assert service.version() == ("1", "1")
    assert service.copied() == []
    return service
