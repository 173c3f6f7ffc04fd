"""A host for the transaction's tests: this machine's Docker engine, with an image of one static program."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from pathlib import Path

from ansible_collections.hearth.llm.plugins.module_utils import _durable, _state, engine_program, transaction
from ansible_collections.hearth.llm.plugins.module_utils._docker import Docker
from ansible_collections.hearth.llm.plugins.module_utils._journal import Folder

TINY = Path(__file__).parent / "recorded" / "tiny.c"
OWNER = f"{os.geteuid()}:{os.getegid()}"
SECRET = "sk-very-secret-0123"

COMPOSE = """
services:
  svc:
    image: {image}
    command: {command}
    env_file: [.env.svc]
    labels: {{hearth.config: "{label}"}}
    volumes: ["./config:/etc/svc:ro", "data:/data"]
    healthcheck: {{test: [CMD, /tiny, {check}, "{sign}"], interval: 200ms, retries: 2, timeout: 5s}}
    restart: {restart}
    stop_grace_period: 1s
{more}
volumes: {{data: {{}}}}
"""


def docker(*arguments, check=True):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=check).stdout.strip()


def docker_bytes(*arguments):
    return subprocess.run(["docker", *arguments], capture_output=True, check=True).stdout


class Host:
    """A state directory and the stacks of one test, on this machine's engine."""

    def __init__(self, root, image):
        self.root = root
        self.state_dir = str(root / "state")
        self.image = image
        self.name = f"hearthtest{uuid.uuid4().hex[:8]}"
        self.names = {self.name}

    def plan(self, *, name=None, config="one", files=(), deadline=20, **compose):
        name = name or self.name
        self.names.add(name)
        usual = {
            "image": f"{self.image}:1",
            "command": "[serve]",
            "label": config,
            "check": "exists",
            "sign": "/etc/svc/value",
            "restart": "unless-stopped",
            "more": "",
        }
        texts = {
            "compose.yaml": (COMPOSE.format(**{**usual, **compose}), "0644"),
            ".env.svc": (f"SVC_KEY='{SECRET}'\n", "0600"),
            "config/value": (config, "0644"),
            **dict(files),
        }
        return {
            "format": 1,
            "name": name,
            "title": "A service",
            "project": name,
            "stack_dir": str(self.root / "stacks" / name),
            "state_dir": self.state_dir,
            "files": [
                {
                    "path": path,
                    "content": base64.b64encode(text.encode()).decode(),
                    "mode": mode,
                    "owner": OWNER,
                }
                for path, (text, mode) in texts.items()
                if text
            ],
            "directories": [],
            "images": {"svc": {**usual, **compose}["image"]},
            "check": None,
            "reload": None,
            "deadline": deadline,
            "exports": "e",
            "digest": "d",
        }

    def submitted(self, plan):
        """A submitted transaction that nobody carries out yet."""
        folder = Folder(self.state_dir, plan["name"], engine_program.new_id())
        folder.create(plan)
        return folder

    def deploy(self, plan):
        folder = self.submitted(plan)
        return transaction.run(self.state_dir, plan["name"], folder.id, folder)

    def deploy_and_die(self, plan, arm):
        """Carry it out in a process that `arm` makes die somewhere, as if by SIGKILL."""
        folder = self.submitted(plan)
        child = os.fork()
        if child == 0:
            try:
                arm(folder)
                transaction.run(self.state_dir, plan["name"], folder.id, folder)
            finally:
                os._exit(0)
        _pid, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 137, "it did not die where it should"
        return folder

    def recover(self):
        return transaction.recover(self.state_dir)

    def containers(self, name=None):
        return Docker().containers(name or self.name)

    def only(self, name=None):
        (container,) = self.containers(name)
        return container

    def text(self, path, name=None):
        file = self.root / "stacks" / (name or self.name) / path
        return file.read_text() if file.exists() else None

    def state(self, name=None):
        return _durable.read_json(_state.state_path(self.state_dir, name or self.name))

    def stands(self):
        """What runs, in one comparable value: container, its health, the configuration it was made with."""
        item = self.only()
        return (item["id"], item["health"], item["config"], self.text("config/value"))

    def everything_kept(self):
        """The bytes of every file below the state directory."""
        return b"".join(path.read_bytes() for path in Path(self.state_dir).rglob("*") if path.is_file())


def failed(result, outcome, step):
    assert (result["outcome"], result["error"]["step"]) == (outcome, step), result
    return result["error"]


def die_at(step, phase):
    def arm(folder):
        mark = folder.mark

        def mark_and_die(reached, reached_phase):
            mark(reached, reached_phase)
            if (reached, reached_phase) == (step, phase):
                os._exit(137)

        folder.mark = mark_and_die

    return arm
