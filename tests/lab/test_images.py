"""The built images have the shape of the originals: what compose files and healthchecks rely on, and must not.

Runs where `python -m tests.lab images` has built them; an image that is not built here is skipped.
"""

import docker
import pytest

from . import table
from .build import CONTENT_LABEL, content_hash
from .table import Image, Shape

pytestmark = pytest.mark.docker
ROWS = table.images()
SHAPED = {name: image for name, image in ROWS.items() if image.shape}


@pytest.fixture(params=list(SHAPED.values()), ids=list(SHAPED))
def image(request: pytest.FixtureRequest, client: docker.DockerClient) -> Image:
    try:
        client.images.get(request.param.reference)
    except docker.errors.ImageNotFound:
        pytest.skip(f"{request.param.reference} is not built here")
    return request.param


@pytest.fixture
def shape(image: Image) -> Shape:
    assert image.shape is not None
    return image.shape


def run(client: docker.DockerClient, image: Image, script: str, **options: object) -> list[str]:
    """The words that a shell script prints inside the image."""
    if image.shape and not image.shape.present:
        pytest.skip("an empty image: its own tests assert that nothing can be run in it")
    container = client.containers.run(
        image.reference, ["-c", script], entrypoint="sh", detach=True, **options
    )
    try:
        ended = container.wait()
        output = container.logs(stderr=False)
        assert ended["StatusCode"] == 0, container.logs()
    finally:
        # Not the library's own `remove`, which leaves the volumes that an image declares.
        container.remove(force=True, v=True)
    return output.decode().split()


def test_metadata_is_the_originals(client: docker.DockerClient, image: Image, shape: Shape) -> None:
    config = client.images.get(image.reference).attrs["Config"]
    found = {
        "entrypoint": config["Entrypoint"] or [],
        "cmd": config["Cmd"] or [],
        "user": config["User"],
        "workdir": config["WorkingDir"] or "/",
        "ports": sorted(config.get("ExposedPorts") or {}),
    }
    assert found == {key: getattr(shape, key) for key in found}


def test_paths_exist(client: docker.DockerClient, image: Image, shape: Shape) -> None:
    script = f"for path in {' '.join(shape.paths)}; do test -e $path && echo $path; done; true"
    assert run(client, image, script) == shape.paths


def test_tools_are_there_or_missing_as_in_the_original(
    client: docker.DockerClient, image: Image, shape: Shape
) -> None:
    tools = [*shape.present, *shape.absent]
    script = f"for tool in {' '.join(tools)}; do command -v $tool > /dev/null && echo $tool; done; true"
    assert run(client, image, script) == shape.present


def test_the_image_is_built_from_todays_sources(client: docker.DockerClient, image: Image) -> None:
    built = client.images.get(image.reference).labels[CONTENT_LABEL]
    assert built == content_hash(image, ROWS), f"run `python -m tests.lab images {image.name}`"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("traefik", "traefik version | grep Version:"),
        ("litellm", "python3 -c 'import importlib.metadata as m; print(m.version(\"litellm\"))'"),
        ("open-webui", "python -c 'import importlib.metadata as m; print(m.version(\"open-webui\"))'"),
        ("ollama", "ollama --version 2>&1 | grep version"),
        ("socket-proxy", "haproxy -v | grep version"),
        ("postgres", "postgres --version"),
        ("authentik", "python -c 'import importlib.metadata as m; print(m.version(\"authentik-client\"))'"),
        ("authentik-proxy", "PYTHONHOME=/usr /opt/outpost/python --version"),
    ],
)
def test_the_version_inside_is_the_one_in_the_table(
    client: docker.DockerClient, name: str, command: str
) -> None:
    image = ROWS[name]
    assert image.package is not None
    assert image.package.version in " ".join(run(client, image, command))


def test_everything_with_an_upstream_can_be_deployed_in_its_place() -> None:
    for image in ROWS.values():
        if image.upstream:
            assert image.variable, f"{image.name}: no platform variable picks its tag"
            assert image.package, f"{image.name}: no package to build it from"
            assert image.reference == f"hearth.lab/{image.upstream.split('/', 1)[1]}:{image.tag}"
