"""What `make up` finds out about this machine, written as variables for inventories/local: `.hearth/local.yml`.

The ports that it was told (HTTP_PORT, HTTPS_PORT), kept until it is told others; where the images come from; and, where
the model registry cannot be reached, the lab's tiny model in place of a real one. `make down` and `make ask` read the
same file, so that they mean the same platform.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / ".hearth" / "local.yml"
PORTS = {"HTTP_PORT": "traefik_http_port", "HTTPS_PORT": "traefik_https_port"}
MODEL_REGISTRY = "registry.ollama.ai"
TINY = {
    "name": "tiny",
    "source": "gguf",
    "path": str(ROOT / "tests/lab/model/tiny.gguf"),
    "modelfile": str(ROOT / "tests/lab/model/Modelfile"),
    "about": "random weights: its words mean nothing",
}


def load(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, empty where there is no file."""
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def ports(before: dict[str, Any]) -> dict[str, int]:
    """The ports given now, else those given last time."""
    found = {}
    for name, variable in PORTS.items():
        text = os.environ.get(name) or before.get(variable)
        if text:
            if not str(text).isdigit() or not 0 < int(text) < 65536:
                sys.exit(f"{name}={text} is not a port: give a number from 1 to 65535")
            found[variable] = int(text)
    return found


def models() -> dict[str, Any]:
    """Nothing where models can be pulled; else the model that the checkout brings, announced."""
    sys.path.insert(0, str(ROOT))
    from tests.lab import registries

    if registries.reachable(MODEL_REGISTRY):
        return {}
    print(f" ! {MODEL_REGISTRY} not reachable: deploying the model `tiny` ({TINY['about']})")
    return {"ollama_models": [TINY]}


def main() -> None:
    """Write the file."""
    settings = {**ports(load(FILE)), **load(ROOT / ".lab" / "images.yml"), **models()}
    FILE.parent.mkdir(exist_ok=True)
    text = yaml.safe_dump(settings, sort_keys=False)
    FILE.write_text(f"---\n# Written by `make up`.\n{text}")


if __name__ == "__main__":
    main()
