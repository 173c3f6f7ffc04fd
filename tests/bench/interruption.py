"""How long people wait for each service while its host is saved, against how long they wait anyway."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.conftest import BIN, EDGE, GPU_1, ROOT
from tests.long.backups.people import DOMAIN, People

from . import figures
from .figures import Figure

ROUNDS = 3
CA = "/srv/docker/traefik/certificates/ca.crt"
WAITER = Path(__file__).resolve().parent / "waiter.py"
# What is copied while its container is frozen, and what is only linked to while nobody writes (docs/backups.md).
BALLAST = {
    "gpu-1": ("/srv/docker/qdrant/storage/ballast", 256),
    "edge": ("/srv/docker/openwebui/data/ballast", 512),
}
# Seconds: what docs/backups.md states. No service but the first two is interrupted; others feel the busy disk at most.
STATED = {"openwebui": 2.0, "qdrant": 2.0}
NONE = 1.0


def measure(people: People) -> list[Figure]:
    people.play("backup").succeeded()
    for host, (file, size) in BALLAST.items():
        people.ssh(host, f"dd if=/dev/urandom of={file} bs=1M count={size} status=none")
    people.ssh("edge", f"cat > /root/waiter.py <<'PROGRAM'\n{WAITER.read_text()}\nPROGRAM\n")
    asked = questions(people)
    waits: dict[str, dict[str, list[float]]] = {"saved": {}, "undisturbed": {}}
    for _round in range(ROUNDS):
        for name, command in (("saved", "hearth-backup run"), ("undisturbed", "sleep 10")):
            with waiter(asked) as longest:
                for host in ("edge", "gpu-1"):
                    people.ssh(host, command)
            for service, seconds in longest.items():
                waits[name].setdefault(service, []).append(seconds)
    return [
        figures.difference(
            *(
                f"interruption/{service}",
                f"longest wait for {service} while both hosts are saved",
                "undisturbed",
            ),
            *(waits["saved"][service], waits["undisturbed"][service], STATED.get(service, NONE)),
        )
        for service in asked
    ]


def questions(people: People) -> dict[str, str]:
    """A command that reads each service's data, by the way in that people or programs use."""

    def door(name: str, path: str, body: Any = None, **headers: str) -> str:
        fqdn = f"{name}.{DOMAIN}"
        reach = ["--resolve", f"{fqdn}:443:{EDGE}", "--cacert", CA]
        return _curl(
            f"https://{fqdn}{path}", *reach, *(["--json", json.dumps(body)] if body else []), **headers
        )

    people.types("waiting", "how long?")
    ask = {"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "hello"}]}
    key = people.vault("litellm_client_team")
    return {
        "authentik": door("auth", "/api/v3/root/config/"),
        "bind9": f"dig +short +time=1 +tries=1 @{EDGE} nas.{DOMAIN} A | grep -q .",
        "ollama": door("openai", "/v1/chat/completions", ask, Authorization=f"Bearer {key}"),
        "openwebui": door("chat", "/api/v1/chats/", **people.signs_in()),
        "qdrant": _curl(f"http://{GPU_1}:6333/collections", **{"api-key": people.vault("qdrant_api_key")}),
        "rustpad": door("pad", "/api/text/waiting", **people.pad_cookies()),
    }


def _curl(url: str, *options: str, **headers: str) -> str:
    told = [word for name, value in headers.items() for word in ("--header", f"{name}: {value}")]
    words = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "60"]
    return f'[ "$({shlex.join([*words, *options, *told, url])})" = 200 ]'


@contextmanager
def waiter(asked: dict[str, str]) -> Iterator[dict[str, float]]:
    """Somebody asks all the time; filled at the end: service → the longest wait."""
    command = f"python3 /root/waiter.py {shlex.quote(json.dumps(asked))}"
    longest: dict[str, float] = {}
    with subprocess.Popen(
        [BIN / "python", "-m", "tests.lab", "ssh", "edge", command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield longest
        longest.update(json.loads(process.communicate()[0]))
