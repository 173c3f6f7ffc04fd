# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What roles/host does where the container toolkit is there already: it finishes, and installs nothing again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NOTIFIED = ["Name the containers that a restart of the engine touches", "Restart the engine"]


@pytest.mark.parametrize(
    ("runtimes", "taken_up", "restarts"),
    [(["runc"], False, True), (["runc"], True, False), (["nvidia", "runc"], False, False)],
)
def test_a_toolkit_that_is_there_is_taken_up_by_the_engine_and_not_installed_again(
    tmp_path, runtimes, taken_up, restarts
):
    look = {
        "gpus": {"hook": "/usr/bin/nvidia-container-runtime-hook", "taken_up": taken_up},
        "engine": {"runtimes": runtimes},
        "container": {"kind": None},
        "system": {"arch": "x86_64"},
    }
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"hearth_look": look, "host_gpu_repository": "http://127.0.0.1:9/none"},
        "tasks": [{"ansible.builtin.import_tasks": str(ROOT / "roles/host/tasks/gpu.yml")}],
        "handlers": [{"name": name, "ansible.builtin.debug": {"msg": "done"}} for name in NOTIFIED],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-c",
            "local",
            "--check",
            str(tmp_path / "play.yml"),
        ],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "300", "ANSIBLE_LOCALHOST_WARNING": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (NOTIFIED[1] in done.stdout) is restarts, done.stdout
