"""Runs on a lab's host: strikes the next change of a service at a step of its journal, or after some seconds.

    python3 killer.py STATE_DIR SERVICE MOMENT VICTIM

MOMENT: STEP:PHASE or seconds. VICTIM: `worker`, the process that carries the change out; `engine`, all processes of the
engine; `all`, also the docker commands that they started, as a power cut would; `sh:COMMAND` kills nothing and runs a
command instead. Prints `ready`, then as JSON which processes were killed, which of the engine's were left, and where
the journal stood.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

state_dir, service, moment, victim = sys.argv[1:]
folder = os.path.join(state_dir, "transactions", service)


def listed():
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()


def journal(identity):
    try:
        with open(os.path.join(folder, identity, "journal.jsonl")) as file:
            return [json.loads(line) for line in file.read().splitlines(True) if line.endswith("\n")]
    except OSError:
        return []


def engines(identity):
    """Process ids of the engine that works on a change, the oldest first."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if identity.encode() in words and any(word.endswith(b"engine.py") for word in words):
            found.append(int(pid))
    return sorted(found)


def holders():
    """Process ids that hold the host's lock: the engine and the commands that it started."""
    lock = os.path.realpath(os.path.join(state_dir, "lock"))
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{handle}") for handle in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        if lock in links:
            found.append(int(pid))
    return found


before = listed()
sys.stdout.write("ready\n")
sys.stdout.flush()
until = time.monotonic() + 120
while not (new := listed() - before) or not engines(identity := max(new)):
    if time.monotonic() > until:
        sys.exit("no change came")
    time.sleep(0.001)
if ":" in moment:
    until += 600  # first of all it may have to end what was interrupted
    while moment not in [f"{entry['step']}:{entry['phase']}" for entry in journal(identity)]:
        if time.monotonic() > until or os.path.exists(os.path.join(folder, identity, "result.json")):
            break
else:
    time.sleep(float(moment))
everyone = victims = engines(identity)
if victim.startswith("sh:"):
    subprocess.run(victim[3:], shell=True, check=True, stdout=sys.stderr)
victims = {"worker": victims[-1:], "engine": victims, "all": sorted({*victims, *holders()})}.get(victim, [])
# All are stopped before the first one dies: none may notice that another is gone.
for number in (signal.SIGSTOP, signal.SIGKILL):
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
last = (journal(identity) or [{"step": "submitted", "phase": ""}])[-1]
left = sorted({*everyone} - {*victims})
print(json.dumps({"id": identity, "killed": victims, "left": left, "at": f"{last['step']}:{last['phase']}"}))
