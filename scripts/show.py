"""Prints one secret of inventories/local, bare, so that it can be used in a command: `show.py password|key`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
# The first that there is: a client of the inventory's own, else the key that the platform proves itself with.
WANTED = {
    "password": ["^vault_openwebui_admin_password$"],
    "key": ["^vault_litellm_client_", "^vault_litellm_probe_key$"],
}


def values(pattern: str) -> list[str]:
    """The values of the variables that match, decrypted by Ansible."""
    template = f"{{{{ query('vars', *query('varnames', '{pattern}')) }}}}"
    command = [str(BIN / "ansible"), "localhost", "-i", "inventories/local", "-m", "ansible.builtin.debug"]
    done = subprocess.run(
        [*command, "-a", f"msg={template}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "NO_COLOR": "1"},
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}{done.stderr}\nThere is no such secret yet: make up makes it.")
    return json.loads(done.stdout.split("=>", 1)[1])["msg"]


def main() -> None:
    """Print the secret that the command line names."""
    for pattern in WANTED[sys.argv[1]]:
        found = values(pattern)
        if found:
            print(found[0])
            return
    sys.exit("There is no such secret yet: make up makes it.")


if __name__ == "__main__":
    main()
