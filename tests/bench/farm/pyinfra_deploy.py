"""The same work in pyinfra."""

from pyinfra import host
from pyinfra.operations import docker, files, server

docker.network(name="Create the network", network="frontend")
for service in host.data.services:
    name = service["name"]
    stack = f"/opt/stacks/{name}"
    values = {"service": service, "secrets": {f"{name}_word": f"the secret word of {name}"}}
    for path in (stack, f"{stack}/config", f"/srv/docker/{name}/data"):
        files.directory(path=path, mode="755")
    for source, target, mode in (
        ("app.conf.j2", "config/app.conf", "644"),
        ("env.app.j2", ".env.app", "600"),
        ("compose.yaml.j2", "compose.yaml", "644"),
    ):
        files.template(src=source, dest=f"{stack}/{target}", mode=mode, **values)
    server.shell(commands=[f"docker compose --project-directory {stack} up -d --wait"])
