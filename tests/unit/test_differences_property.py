"""For random stacks and edits, without a host: the comparison on the controller and the change on the host agree.

What check mode says is `differences`; what the run does is `_stack_files`. HEARTH_SEED repeats a run.
"""

from __future__ import annotations

import base64
import os
import random
from dataclasses import asdict, replace

from ansible_collections.hearth.llm.plugins.module_utils import _stack_files
from ansible_collections.hearth.llm.plugins.module_utils._durable import look_at_files
from ansible_collections.hearth.llm.plugins.module_utils.compare import differences
from ansible_collections.hearth.llm.plugins.plugin_utils.render import File, render_stack

CASES = 400
OWNER = f"{os.geteuid()}:{os.getegid()}"
TEXTS = ("", " \n", "a\n", "b\n", "é漢 $x\r\n", "{{ hash }}\n")
TEMPLATES = ("env.a.j2", "env.b.j2", "config/a.j2", "config/deep/er/b", "config/live/c.j2", "secrets/k.j2")
SERVICE = {"name": "gate", "secrets_owner": OWNER, "reload": {"paths": ["config/live/"]}}


def render(text, more):
    return text.replace("{{ hash }}", more["service"].get("config_hash", ""))


def drawn(chance):
    """A role's templates: path → text."""
    some = chance.sample(TEMPLATES, chance.randint(0, len(TEMPLATES)))
    return {path: chance.choice(TEXTS) for path in some}


def edited(templates, chance):
    found = dict(templates)
    for _edit in range(chance.randint(0, 2)):
        path = chance.choice(TEMPLATES)
        if path in found and chance.random() < 0.4:
            del found[path]
        else:
            found[path] = chance.choice(TEXTS)
    return found


def rendered(folder, templates):
    for path, text in {"compose.yaml.j2": "# {{ hash }}\n", **templates}.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    return [replace(file, owner=OWNER) for file in render_stack(folder, SERVICE, render)[0]]


def predicted(files: list[File], stack_dir):
    wanted = {file.path: (file.sha256, file.mode, file.owner) for file in files}
    found = {path: asdict(facts) for path, facts in look_at_files(stack_dir).items()}
    stack = {"files": found, "state": {"containers": {}}, "containers": {}}
    look = {"system": {"uid": 0}, "images": {}, "stacks": {"gate": stack}}
    return {reason.split(" ", maxsplit=1)[0] for reason in differences(wanted, {}, look, "gate")}


def run(files: list[File], folder, stack_dir):
    """Place the files as the host does; returns the paths that it says it changed."""
    staged = folder / "staged"
    contents = [{**asdict(file), "content": base64.b64encode(file.content)} for file in files]
    _stack_files.stage(contents, str(staged))
    listing = [{"path": file.path, "mode": file.mode, "owner": file.owner} for file in files]
    changed = _stack_files.changes(_stack_files.wanted_facts(listing, str(staged)), look_at_files(stack_dir))
    _stack_files.place(listing, str(staged), stack_dir)
    return set(changed)


def drift(stack_dir, chance):
    """Something that a person does by hand to one of the files."""
    path = os.path.join(stack_dir, chance.choice(sorted(look_at_files(stack_dir))))
    kind = chance.choice(("edit", "mode", "owner", "remove", "add", "nothing"))
    if kind == "edit":
        with open(path, "ab") as file:
            file.write(b"# by hand\n")
    elif kind == "mode":
        os.chmod(path, 0o640)
    elif kind == "owner" and os.geteuid() == 0:
        os.chown(path, 7, 7)
    elif kind == "remove":
        os.unlink(path)
    elif kind == "add":
        with open(os.path.join(stack_dir, ".env.stray"), "w", encoding="utf-8") as file:
            file.write("A=1\n")


def test_check_mode_and_the_run_name_the_same_files_and_back_is_back(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # nothing here survives a power cut, nor need it
    seed = int(os.environ.get("HEARTH_SEED", "1"))
    for number in range(CASES):
        said = f"HEARTH_SEED={seed}, case {number}"
        chance = random.Random(f"{seed} {number}")
        case = tmp_path / str(number)
        stack_dir = str(case / "stack")
        one = drawn(chance)
        versions = [rendered(case / "one", one), rendered(case / "two", edited(one, chance))]
        run(versions[0], case / "0", stack_dir)
        first = look_at_files(stack_dir)
        for step, files in enumerate((versions[1], versions[0])):
            drift(stack_dir, chance)
            names = predicted(files, stack_dir)
            assert run(files, case / f"{step + 1}", stack_dir) == names, said
            assert predicted(files, stack_dir) == set(), said
        assert look_at_files(stack_dir) == first, said
