"""ssh to the lab's hosts as Ansible does it: a key of the lab's own, and host keys that are checked."""

import fcntl
import hashlib
import subprocess
from pathlib import Path

from .paths import state
from .table import Host

KEY = "id_ed25519"
KNOWN_HOSTS = "known_hosts"


def key() -> Path:
    """The lab's private key, made on first use."""
    path = state(KEY)
    if not path.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hearth-lab", "-f", str(path)]
        subprocess.run(command, check=True)
    return path


def public_key() -> str:
    """The line for authorized_keys."""
    return key().with_suffix(".pub").read_text()


def fingerprint() -> str:
    """A short name for the lab's key, and so for the checkout that made it."""
    return hashlib.sha256(public_key().encode()).hexdigest()[:16]


def forget() -> None:
    """Remove the key and the known hosts."""
    for name in (KEY, f"{KEY}.pub", KNOWN_HOSTS):
        state(name).unlink(missing_ok=True)


def trust(host: Host, host_key: str) -> None:
    """Put the host's key, read from inside its container, in place of any earlier one."""
    path = state(KNOWN_HOSTS)
    names = f"{host.name},{host.address}"
    algorithm, blob = host_key.split()[:2]
    # Tests that run side by side start hosts too, and ssh reads the file meanwhile.
    with state(f"{KNOWN_HOSTS}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if line.split(" ", 1)[0] != names]
        fresh = path.with_name(f"{KNOWN_HOSTS}.new")
        fresh.write_text("\n".join([*kept, f"{names} {algorithm} {blob}"]) + "\n")
        fresh.replace(path)


def command(host: Host, *remote: str) -> list[str]:
    """The ssh command line for this host."""
    options = {
        "UserKnownHostsFile": state(KNOWN_HOSTS),
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": 5,
        "LogLevel": "ERROR",
    }
    flags = [flag for name, value in options.items() for flag in ("-o", f"{name}={value}")]
    return ["ssh", "-i", str(key()), *flags, f"root@{host.address}", *remote]
