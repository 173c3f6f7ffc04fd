# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notes which models there are, and finds them listed again; one that was made here is there with all of its files."""

import json
import sys
import urllib.request
from pathlib import Path

asked = json.load(sys.stdin)


def listed():
    url = f"http://{asked['address']}:{asked['port']}/api/tags"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as response:
        return {model["name"]: model["digest"] for model in json.load(response)["models"]}


def find(noted):
    found = listed()
    for name, digest in noted.items():
        if found.get(name) != digest:
            sys.exit(f"the model {name} is not there as it was")
    models = Path(asked["data"]["models"], "models")
    pulled = set()  # their weights are not saved; a model that was made of one shares them
    made = {}
    for file in (models / "manifests").glob("*/*/*/*"):
        text = file.read_text()
        sizes = {item["digest"]: item["size"] for item in json.loads(text)["layers"]}
        if text.endswith("\n"):  # as in models.py
            made.update(sizes)
        else:
            pulled.update(sizes)
    for digest, size in made.items():
        file = models / "blobs" / digest.replace(":", "-")
        if digest not in pulled and (not file.is_file() or file.stat().st_size != size):
            sys.exit(f"{file.name}, of a model that was made here, is lost")


if asked["do"] == "note":
    json.dump(listed() or None, sys.stdout)
else:
    find(asked["note"])
