"""Runs on a lab's host, and on the controller: where do these secrets stand?

    python3 scanner.py ROOT… [--once | --watch SECONDS]

Standard input: {"values": {name: value}, "skip": [path]}, as JSON. Every file below the roots is searched, and with `/`
among them every container's and image's description, the journal, and every process's arguments and environment; for
each value as it is, URL-encoded, as JSON writes it, and in base64 at any of the three offsets. Prints what it found,
one JSON list a line: [place, name, form].

--watch: only the arguments of processes, again and again, until standard input's end.
"""

import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.parse


def forms(value):
    """{form: bytes to look for} of one value."""
    raw = value.encode()
    found = {
        "as it is": raw,
        "URL-encoded": urllib.parse.quote(value, safe="").encode(),
        "JSON": json.dumps(value)[1:-1].encode(),
    }
    for offset in range(3):
        # Whole groups of three bytes come out alike whatever stands before and behind.
        inner = raw[(3 - offset) % 3 :]
        inner = inner[: len(inner) // 3 * 3]
        found[f"base64, offset {offset}"] = base64.b64encode(inner)
        found[f"base64 for URLs, offset {offset}"] = base64.urlsafe_b64encode(inner)
    return found


def needles(values):
    """{bytes: (name, form)}; a form that is like another counts once."""
    found = {}
    for name, value in values.items():
        for form, text in forms(value).items():
            found.setdefault(text, (name, form))
    return found


def in_bytes(content, wanted):
    return [what for text, what in wanted.items() if text in content]


def files(roots, skip, wanted):
    """Files that hold one, found by grep, whose patterns go by a file that only root reads."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as patterns:
        patterns.write(b"\n".join(wanted) + b"\n")
        patterns.flush()
        command = ["grep", "-rlaF", "--devices=skip", "-f", patterns.name]
        command += [f"--exclude-dir={name}" for name in ("proc", "sys", "dev", "merged")]
        listed = subprocess.run(
            [*command, *roots], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        ).stdout
    for path in listed.decode(errors="replace").splitlines():
        if any(path.startswith(name) for name in skip):
            continue
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError:
            continue  # gone by now
        mode = f"{os.stat(path).st_mode & 0o777:04o}"
        for name, form in in_bytes(without_environment(path, content), wanted):
            yield f"{path} {mode}", name, form


def without_environment(path, content):
    """What the engine itself wrote of a container, for root alone, without the environment that it was given."""
    if not path.endswith(("config.v2.json", "config.json")) or not (
        "docker" in path or "/containerd/" in path
    ):
        return content
    try:
        described = json.loads(content)
    except ValueError:
        return content
    for part in ("Config", "process"):
        for key in ("Env", "env"):
            (described.get(part) or {}).pop(key, None)
    return json.dumps(described).encode()


def said(command, wanted):
    """What a command prints."""
    output = subprocess.run(command, capture_output=True, check=False).stdout
    for name, form in in_bytes(output, wanted):
        yield " ".join(command[:3]), name, form


def descriptions(wanted):
    """Containers, without their environment, and images."""
    for kind, listing in (("container", ["ps", "-aq"]), ("image", ["images", "-q"])):
        listed = subprocess.run(
            ["docker", *listing], capture_output=True, text=True, check=False
        ).stdout.split()
        if not listed:
            continue
        output = subprocess.run(["docker", kind, "inspect", *listed], capture_output=True, check=False).stdout
        for item in json.loads(output):
            if kind == "container":
                item["Config"].pop("Env", None)
            for name, form in in_bytes(json.dumps(item).encode(), wanted):
                yield f"docker {kind} inspect {item.get('Name') or item['Id']}", name, form


def processes(wanted, environment=True):
    """Arguments of every process but this one; the environment of those that are in no container."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            contained = os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
            for part in ("cmdline", "environ") if environment and not contained else ("cmdline",):
                with open(f"/proc/{pid}/{part}", "rb") as file:
                    content = file.read()
                with open(f"/proc/{pid}/comm") as file:
                    comm = file.read().strip()
                for name, form in in_bytes(content, wanted):
                    yield f"{part} of {comm}", name, form
        except OSError:
            continue  # ended by now


def watch(wanted):
    """Processes come and go: look at all arguments until standard input ends."""
    told = set()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0)[0]:
        for found in processes(wanted, environment=False):
            if found not in told:
                told.add(found)
                sys.stdout.write(json.dumps(found) + "\n")
        time.sleep(0.05)
    sys.stdout.flush()


def main():
    asked = json.loads(sys.stdin.readline())
    wanted = needles(asked["values"])
    if "--watch" in sys.argv:
        watch(wanted)
        return
    roots = sys.argv[1:]
    found = set(files(roots, asked.get("skip", []), wanted))
    if "/" in roots:
        found.update(said(["journalctl", "--no-pager", "-o", "export"], wanted))
        found.update(descriptions(wanted))
        found.update(processes(wanted))
    for row in sorted(found):
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
