"""What the way through the gateway costs: the model server alone, LiteLLM plain, LiteLLM as configured, the whole way.

All are asked from the trusted host, in turn, by a program that runs there (asker.py), with one Ollama behind each.
"""

import json
import shlex
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab import ssh, table
from tests.long.backends import COMPUTE, EDGE, Backends

from . import figures
from .clock import BenchError
from .figures import Figure

# Issue 6, 'Measured in make bench': so many times as much is served, and so much of it is left behind the front door.
PLAIN = 1 / 1.4
FRONT_DOOR = 1 / 0.95

CLIENTS = (1, 8, 32)
# Many short rounds: on a busy machine speed changes from one second to the next, and the ways are compared by round.
ROUNDS = 24
SECONDS = 1.0
BY_ROUND = {"by_round": True, "absolute": "ms"}
ASKER = Path(__file__).resolve().parent / "asker.py"
PATH = "/v1/chat/completions"
CA = "/srv/docker/traefik/certificates/ca.crt"
OLLAMA, BARE, OURS, WHOLE = "Ollama alone", "LiteLLM in its plain configuration", "LiteLLM", "the whole way"

# What somebody writes who follows LiteLLM's guide for Ollama; keys, logging and accounting as ours.
PLAIN_CONFIG = {
    "litellm_settings": {
        "drop_params": True,
        "turn_off_message_logging": True,
        "enable_post_custom_auth_checks": True,
    },
    "general_settings": {
        "custom_auth": "hearth_auth.authenticate",
        "custom_auth_run_common_checks": True,
    },
}


@dataclass(frozen=True)
class Way:
    """Where completions are asked for; ca, name: of the platform, where that is asked over TLS."""

    url: str
    ca: str = ""
    name: str = ""


def measure(two: Backends) -> list[Figure]:
    two.write(hosts=[COMPUTE[0].name], litellm_servers=[], traefik_rate_limit=0, traefik_in_flight_limit=1000)
    two.deploy().succeeded()
    key = two.secret("litellm_probe_key")
    _start_plain(two)
    try:
        ways = _ways(two)
        found: list[Figure] = []
        for streamed in (False, True):
            for clients in CLIENTS:
                print(f"  {clients} clients{', streamed' if streamed else ''} …", flush=True)
                found += _figures(clients, streamed, _asked(ways, key, clients, streamed))
        return found
    finally:
        two.ssh(EDGE.name, "docker rm -f plain; rm -rf /root/plain")


def _start_plain(two: Backends) -> None:
    backend = f"http://{COMPUTE[0].address}:11434"
    model = {"model_name": "tiny", "litellm_params": {"model": "ollama_chat/tiny", "api_base": backend}}
    config = json.dumps({"model_list": [model], **PLAIN_CONFIG})
    two.ssh(
        EDGE.name,
        "docker rm -f plain 2>/dev/null; mkdir -p /root/plain;"
        " cp /opt/stacks/litellm/config/hearth_auth.py /opt/stacks/litellm/config/clients.yaml /root/plain/;"
        f" cat > /root/plain/config.yaml <<'CONFIG'\n{config}\nCONFIG\n",
    )
    image = two.ssh(EDGE.name, "docker inspect litellm --format '{{.Config.Image}}'").strip()
    # Compose unquotes an env file and `docker run` does not, so both get theirs from Compose.
    compose = {
        "services": {
            "plain": {
                "container_name": "plain",
                "image": image,
                "command": ["--config", "/app/config/config.yaml", "--port", "4000"],
                "env_file": ["/opt/stacks/litellm/.env.litellm"],
                "volumes": ["/root/plain:/app/config:ro"],
                "networks": ["frontend"],
            }
        },
        "networks": {"frontend": {"external": True}},
    }
    two.ssh(EDGE.name, f"cat > /root/plain/compose.yaml <<'FILE'\n{json.dumps(compose)}\nFILE\n")
    alive = "urllib.request.urlopen('http://127.0.0.1:4000/health/liveliness')"
    two.ssh(
        EDGE.name,
        "docker compose --project-directory /root/plain up -d && for i in $(seq 120); do"
        f' docker exec plain python3 -c "import urllib.request; {alive}" 2>/dev/null && exit 0; sleep 1;'
        " done; docker logs plain; exit 1",
    )


def _ways(two: Backends) -> dict[str, Way]:
    address = "docker inspect %s --format '{{.NetworkSettings.Networks.frontend.IPAddress}}'"
    plain, ours = (two.ssh(EDGE.name, address % name).strip() for name in ("plain", "litellm"))
    return {
        OLLAMA: Way(f"http://{COMPUTE[0].address}:11434{PATH}"),
        BARE: Way(f"http://{plain}:4000{PATH}"),
        OURS: Way(f"http://{ours}:4000{PATH}"),
        WHOLE: Way(f"https://{EDGE.address}{PATH}", CA, "openai.hearth.lan"),
    }


def _asked(ways: dict[str, Way], key: str, clients: int, streamed: bool) -> dict[str, list[dict]]:
    plan = {
        "model": "tiny",
        "key": key,
        "clients": clients,
        "stream": streamed,
        "rounds": ROUNDS,
        "seconds": SECONDS,
        "ways": {name: asdict(way) for name, way in ways.items()},
    }
    done = subprocess.run(
        ssh.command(table.hosts()[EDGE.name], "python3", "-", shlex.quote(json.dumps(plan))),
        input=ASKER.read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(done.stderr[-2000:])
    return json.loads(done.stdout)


def _figures(clients: int, streamed: bool, asked: dict[str, list[dict]]) -> list[Figure]:
    each = {name: [1000 / round_["rate"] for round_ in rounds] for name, rounds in asked.items()}
    suffix = f"{clients}{'/stream' if streamed else ''}"
    word = f"{clients} client{'s' if clients > 1 else ''}{', streamed' if streamed else ''}"
    judged = clients > 1
    found = [
        figures.ratio(
            *(f"gateway/plain/{suffix}", f"LiteLLM as configured, time for an answer, {word}", BARE),
            *(each[OURS], each[BARE], PLAIN if judged else None),
            **BY_ROUND,
        ),
        figures.ratio(
            *(f"gateway/front-door/{suffix}", f"the whole way through Traefik, time for an answer, {word}"),
            *("LiteLLM as configured", each[WHOLE], each[OURS], FRONT_DOOR if judged else None),
            **BY_ROUND,
        ),
        # LiteLLM's plain server logs each request, as Traefik does and ours behind it does not: the same on both sides.
        figures.ratio(
            *(f"gateway/whole/{suffix}", f"the whole way through Traefik, time for an answer, {word}", BARE),
            *(each[WHOLE], each[BARE], PLAIN if judged else None),
            **BY_ROUND,
        ),
        figures.ratio(
            *(f"gateway/alone/{suffix}", f"the whole way through Traefik, time for an answer, {word}"),
            *(OLLAMA, each[WHOLE], each[OLLAMA], None),
            **BY_ROUND,
        ),
    ]
    if streamed:
        first = {name: [1000 * round_["first"] for round_ in rounds] for name, rounds in asked.items()}
        found.append(
            figures.ratio(
                *(f"gateway/first/{suffix}", f"LiteLLM as configured, time to the first piece, {word}", BARE),
                *(first[OURS], first[BARE], None),
                **BY_ROUND,
            )
        )
    return found
