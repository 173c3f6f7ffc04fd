"""What the scenarios' tests share: the scenario's secrets and the operator's own playbooks, on the scenario's host."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The folder: its `hosts` file alone does not know the group variables.
INVENTORY = str(Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)


def secret(name: str) -> str:
    """A secret of the scenario's vault, read as an operator would read it; name: without `vault_`."""
    run = _ansible("ansible", "solo", "-c", "local", "-o", "-m", "debug", "-a", f"var=vault_{name}")
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(run.stdout.partition("=> ")[2])[f"vault_{name}"]


def play(playbook: str, *arguments: str, good: bool = True, **variables: object) -> str:
    """Run one of Hearth's playbooks with some variables changed; what Ansible says. good: whether it must succeed."""
    run = _ansible(
        *("ansible-playbook", str(ROOT / "playbooks" / f"{playbook}.yml"), *arguments),
        *("-e", f"@{ROOT}/.lab/images.yml", "-e", json.dumps(variables)),
    )
    assert (run.returncode == 0) == good, run.stdout + run.stderr
    return run.stdout + run.stderr


def _ansible(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command[0], "-i", INVENTORY, *command[1:]],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_VAULT_PASSWORD_FILE": str(ROOT / "molecule/shared/vault-password.sh")},
        capture_output=True,
        text=True,
        check=False,
    )
