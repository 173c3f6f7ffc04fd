# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notes a pad with its text, and has Rustpad show it."""

import contextlib
import json
import sqlite3
import sys
import urllib.parse
import urllib.request

asked = json.load(sys.stdin)


def note():
    path = f"file:{asked['data']['pads']}/pads.db?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True, timeout=60)) as pads:
        found = pads.execute("select id, text from document order by id limit 1").fetchall()
    return list(found[0]) if found else None


def find(pad, text):
    url = f"http://{asked['address']}:{asked['port']}/api/text/{urllib.parse.quote(pad, safe='')}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as response:
        if response.read().decode() != text:
            sys.exit(f"the pad {pad} has another text")


if asked["do"] == "note":
    json.dump(note(), sys.stdout)
else:
    find(*asked["note"])
