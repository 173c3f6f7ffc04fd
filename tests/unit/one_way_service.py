# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service for the tests of transactions that keeps the number of its version in its data, and refuses newer data."""

from __future__ import annotations

import pytest
from engine_host import docker

COMPOSE = """
services:
  svc:
    image: {image}
    command: [migrate, "{version}"]
    env_file: [.env.svc]
    labels: {{route: "here", hearth.config: x}}
    ports: ["127.0.0.1:{port}:9"]
    volumes: ["{data}:/data"]
    networks: [shared, default]
    healthcheck: {{test: [CMD, /tiny, exists, "{sign}"], interval: 200ms, retries: 2, timeout: 5s}}
    restart: unless-stopped
    stop_grace_period: 1s
networks: {{shared: {{external: true, name: "{network}"}}}}
{volumes}
"""


class Service:
    """The host's service with its data, at a version."""

    def __init__(self, host, place):
        self.host = host
        self.network = f"{host.name}shared"
        self.place = place
        self.copies = host.root / "before" / host.name

    def plan(self, version, *, sign="/data/version", deadline=20, port="", run=None, **item):
        image = f"{self.host.image}:{version}"
        compose = COMPOSE.format(
            image=image,
            version=run or version,
            data=self.place,
            sign=sign,
            network=self.network,
            port=port,
            volumes=""
            if self.place.startswith("/")
            else f"volumes: {{{self.place}: {{name: {self.place}}}}}",
        )
        plan = self.host.plan(files={"compose.yaml": (compose, "0644"), "config/value": ("", "0644")})
        data = {
            "name": "db",
            "place": self.place,
            "container": "svc",
            "dump": [],
            "restore": [],
            "by_dump": False,
        }
        update = {"copies": str(self.copies), "data": [{**data, **item}]}
        return {**plan, "images": {"svc": image}, "update": update, "deadline": deadline}

    def version(self):
        """(of the container that runs and that everybody reaches, of the data)"""
        item = next(item for item in self.host.containers() if item["service"] == "svc")
        assert item["state"] == "running"
        assert item["health"] == "healthy"
        assert self.network in item["networks"]
        assert item["ports"]
        return item["image"].rpartition(":")[2], self.data()

    def data(self):
        return docker(
            "run", "--rm", "-v", f"{self.place}:/data", f"{self.host.image}:1", "cat", "/data/version"
        )

    def copied(self):
        return sorted(path.name for path in self.copies.iterdir()) if self.copies.exists() else []


in_a_directory = pytest.mark.parametrize("service", ["directory"], indirect=True)
