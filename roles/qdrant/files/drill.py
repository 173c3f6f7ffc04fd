# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notes a point of a collection, and finds it again: by its id, and by its own vector among all others."""

import json
import sys
import urllib.request

asked = json.load(sys.stdin)
base = f"http://{asked['address']}:{asked['port']}/collections"
headers = {"api-key": asked["environment"]["QDRANT__SERVICE__API_KEY"], "Content-Type": "application/json"}


def answer(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, headers=headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        return json.load(response)["result"]


def note():
    for collection in (item["name"] for item in answer("")["collections"]):
        wanted = {"limit": 1, "with_vector": True, "with_payload": True}
        for point in answer(f"/{collection}/points/scroll", wanted)["points"]:
            return {"collection": collection, "point": point}
    return None


def find(noted):
    collection, point = noted["collection"], noted["point"]
    there = answer(f"/{collection}/points", {"ids": [point["id"]], "with_payload": True})
    if [item["payload"] for item in there] != [point["payload"]]:
        sys.exit(f"the point {point['id']} of {collection} is not there as it was")
    vector, name = point["vector"], None
    if isinstance(vector, dict):
        name, vector = next(iter(vector.items()))
    query = {"query": vector, "using": name, "limit": 10, "with_payload": False}
    nearest = answer(f"/{collection}/points/query", query)["points"]
    # Others with the same vector are as near.
    if point["id"] not in [item["id"] for item in nearest if item["score"] == nearest[0]["score"]]:
        sys.exit(f"the point {point['id']} of {collection} is not found by its own vector")


if asked["do"] == "note":
    json.dump(note(), sys.stdout)
else:
    find(asked["note"])
