# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notes how many rows each of authentik's tables has, users' among them, and finds as many again.

What authentik ends by itself (sessions, events, tasks and the like) is left out; of the rest it may have made more when
it started, never less.
"""

import json
import subprocess
import sys

COUNTS = """
select table_name, (xpath('/row/n/text()', query_to_xml(
    format('select count(*) as n from %I.%I', table_schema, table_name), false, true, '')))[1]::text
from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'
and table_name !~ '(session|event|task|schedule|log|token|cache|channel|lock|worker|connection|reputation)'
"""
PSQL = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--username=authentik", "--dbname=authentik"]

asked = json.load(sys.stdin)


def rows():
    command = ["docker", "exec", asked["container"], *PSQL, "--command", COUNTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"its tables could not be counted: {done.stderr.strip()}")
    return {name: int(number) for name, _bar, number in (line.partition("|") for line in done.stdout.split())}


if asked["do"] == "note":
    json.dump(rows(), sys.stdout)
else:
    there = rows()
    for table, number in asked["note"].items():
        if there.get(table, 0) < number:
            sys.exit(f"the table {table} has {there.get(table, 0)} rows of {number}")
