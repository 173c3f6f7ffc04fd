# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole transactions against this machine's Docker engine, with an image of one static program.

What is asserted is what stands on the host afterwards: which container runs, its health, its files.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import (
    _durable,
    _journal,
    _stack_files,
    _steps,
    engine_program,
    look,
    transaction,
)
from ansible_collections.hearth.llm.plugins.module_utils._bring_up import Failure
from ansible_collections.hearth.llm.plugins.module_utils._docker import Answer, Docker
from ansible_collections.hearth.llm.plugins.module_utils._journal import Folder
from engine_host import SECRET, die_at, docker, docker_bytes, failed

pytestmark = pytest.mark.docker

# Forward ---------------------------------------------------------------------------------------------------------


def test_a_first_deployment_is_healthy_and_written_down(host):
    result = host.deploy(host.plan())
    assert (result["outcome"], result["stands"], result["error"]) == ("committed", "new", None)
    assert result["changed_files"] == [".env.svc", "compose.yaml", "config/value"]
    item = host.only()
    assert result["recreated"] == [item["name"]]
    assert item["health"] == "healthy"
    committed = host.state()
    assert committed["containers"][item["name"]]["id"] == item["id"]
    assert (committed["digest"], committed["exports"]) == ("d", "e")
    found = look.look(str(host.root / "stacks"), "/", host.state_dir, [], [], [])["stacks"][host.name]
    assert {path: file["sha256"] for path, file in found["files"].items()} == committed["files"]
    assert found["transaction"] is None


def test_no_secret_is_left_in_the_state_directory(running):
    encoded = base64.b64encode(f"SVC_KEY='{SECRET}'\n".encode())
    kept = running.everything_kept()
    assert SECRET.encode() not in kept
    assert encoded not in kept


def test_the_same_again_changes_nothing(running):
    before = running.stands()
    result = running.deploy(running.plan())
    assert (result["outcome"], result["changed_files"], result["recreated"]) == ("committed", [], [])
    assert running.stands() == before


def test_a_stopped_container_is_started_again(running):
    docker("stop", "-t", "0", running.only()["id"])
    assert running.deploy(running.plan())["outcome"] == "committed"
    assert running.only()["health"] == "healthy"


def test_a_changed_configuration_takes_effect_through_its_label(running):
    before = running.only()["id"]
    result = running.deploy(running.plan(config="two"))
    assert result["changed_files"] == ["compose.yaml", "config/value"]
    assert running.only()["id"] != before
    assert running.only()["config"] == "two"


def test_a_changed_configuration_takes_effect_where_the_label_was_forgotten(running):
    before = running.only()["id"]
    result = running.deploy(running.plan(config="two", label="one"))
    assert result["outcome"] == "committed"
    assert running.only()["id"] != before


def test_a_file_that_the_plan_no_longer_has_is_removed(running):
    running.deploy(running.plan(files={"config/extra": ("x", "0644")}))
    assert running.text("config/extra") == "x"
    result = running.deploy(running.plan())
    assert "config/extra" in result["changed_files"]
    assert running.text("config/extra") is None


def test_files_that_are_reloaded_restart_nothing_and_tell_the_service(host):
    reload = {"paths": ["config/live/"], "container": "svc", "command": ["/tiny", "touch", "/told"]}
    plan = {**host.plan(files={"config/live/a": ("1", "0644")}), "reload": reload}
    assert host.deploy(plan)["outcome"] == "committed"
    before = host.only()["id"]
    plan = {**host.plan(files={"config/live/a": ("2", "0644")}), "reload": reload}
    assert host.deploy(plan)["outcome"] == "committed"
    assert host.only()["id"] == before
    docker("exec", before, "/tiny", "exists", "/told")


def test_every_character_of_a_secret_reaches_the_container(host):
    secret = "a\"b$c ${HOME} #d\\e 'f' `g` !h %i {{j}} <k>|&;~^=*?[]() \t é漢"
    quoted = secret.replace("'", "\\'")
    plan = host.plan(files={".env.svc": (f"SVC_KEY='{quoted}'\n", "0600")})
    assert host.deploy(plan)["outcome"] == "committed"
    assert docker("exec", host.only()["id"], "/tiny", "env", "SVC_KEY") == secret
    assert secret.encode() not in host.everything_kept()


class Registry(BaseHTTPRequestHandler):
    """Serves one image from memory, slowly enough to be watched: `content` is path → bytes."""

    content: ClassVar[dict[str, bytes]] = {}

    def do_GET(self):
        data = self.content.get(self.path.rpartition("/")[2])
        if self.path == "/v2/":
            data = b"{}"
        self.send_response(200 if data is not None else 404)
        kind = "vnd.docker.distribution.manifest.v2+json" if "/manifests/" in self.path else "octet-stream"
        self.send_header("Content-Type", f"application/{kind}")
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        for at in range(0, len(data or b"") if self.command == "GET" else 0, 2**20):
            self.wfile.write(data[at : at + 2**20])
            time.sleep(0.5)

    do_HEAD = do_GET

    def log_message(self, *_arguments):
        pass


def image_of(program, filler):
    """The blobs and the manifest of an image that holds a program and `filler` bytes that do not compress."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for name, data in (("tiny", program), ("filler", os.urandom(filler))):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    config = json.dumps(
        {
            "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
            "os": "linux",
            "config": {"Entrypoint": ["/tiny"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer.getvalue())]},
        }
    ).encode()
    packed = gzip.compress(layer.getvalue(), 1)

    def described(kind, data):
        return {"mediaType": f"application/vnd.docker.{kind}", "size": len(data), "digest": digest(data)}

    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": described("container.image.v1+json", config),
            "layers": [described("image.rootfs.diff.tar.gzip", packed)],
        }
    ).encode()
    return {digest(config): config, digest(packed): packed, "1": manifest, digest(manifest): manifest}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_a_missing_image_is_pulled_and_its_bytes_are_told(host, image):
    program = docker_bytes("run", "--rm", f"{image}:1", "cat", "/tiny")
    Registry.content = image_of(program, 8 * 2**20)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    reference = f"localhost:{server.server_port}/tiny:1"
    try:
        folder = host.submitted(host.plan(image=reference))
        result = transaction.run(host.state_dir, host.name, folder.id, folder)
        assert result["outcome"] == "committed", result
        assert host.only()["image"] == reference
        told = [event for event in folder.events(0)[0] if event.get("bytes")]
        assert told
        assert {event["text"] for event in told} == {f"pulls {reference}"}
        assert all(0 < event["bytes"] <= event["total"] for event in told)
        assert told[-1]["total"] == pytest.approx(8.4e6, rel=0.2)
    finally:
        server.shutdown()
        docker("compose", "-p", host.name, "down", "-t", "0", check=False)
        docker("image", "rm", "-f", reference, check=False)


# Refused before anything was touched -----------------------------------------------------------------------------


def test_an_image_that_cannot_be_had_leaves_everything_as_it_was(running):
    before = running.stands()
    result = running.deploy(running.plan(config="two", image="localhost:9/nowhere/none:1"))
    error = failed(result, "failed", "pulled")
    assert "localhost:9/nowhere/none:1 cannot be pulled" in error["message"]
    assert result["stands"] == "previous"
    assert running.stands() == before


def test_a_compose_file_that_is_refused_leaves_everything_as_it_was(running):
    before = running.stands()
    error = failed(running.deploy(running.plan(config="two", more="    nonsense: 1")), "failed", "checked")
    assert "nonsense" in error["message"]
    assert running.stands() == before


def test_a_dollar_that_compose_would_swallow_is_refused(running):
    error = failed(running.deploy(running.plan(command="[serve, a$PASSWD]")), "failed", "checked")
    assert "PASSWD" in error["message"]


def test_a_network_that_is_not_there_is_refused(host):
    more = "networks: {default: {external: true, name: hearth-test-nowhere}}"
    error = failed(host.deploy(host.plan(more=more)), "failed", "checked")
    assert "hearth-test-nowhere" in error["message"]
    assert host.text("compose.yaml") is None


def test_the_products_own_checker_sees_the_new_files_before_they_replace_the_old(running):
    before = running.stands()
    check = {"container": "svc", "command": ["/tiny", "exists", "/etc/svc/extra"]}
    result = running.deploy({**running.plan(config="two"), "check": check})
    error = failed(result, "failed", "checked")
    assert (error["container"], error["exit_code"]) == ("svc", 1)
    assert error["log_lines"] == ["/etc/svc/extra is not there"]
    assert running.stands() == before
    plan = {**running.plan(config="two", files={"config/extra": ("x", "0644")}), "check": check}
    assert running.deploy(plan)["outcome"] == "committed"


# Undone ----------------------------------------------------------------------------------------------------------


def test_a_version_that_does_not_get_healthy_is_undone(running):
    result = running.deploy(running.plan(config="two", sign="/etc/svc/never", deadline=3))
    error = failed(result, "undone", "healthy")
    assert result["stands"] == "previous"
    assert error["container"] == running.only()["name"]
    assert error["health_output"] == "/etc/svc/never is not there"
    assert error["log_lines"] == ["serving"]
    assert running.stands()[1:] == ("healthy", "one", "one")
    assert running.state()["containers"]  # what was committed before stands in the state file


def test_a_version_that_crashes_is_undone_at_once_with_its_last_lines_masked(running):
    started = time.monotonic()
    plan = running.plan(config="two", command="[complain, SVC_KEY, '3']", deadline=120)
    error = failed(running.deploy(plan), "undone", "healthy")
    assert time.monotonic() - started < 40
    assert "restarted" in error["message"]
    assert len(error["log_lines"]) == 20
    assert error["log_lines"][-1] == "cannot use ***"
    assert SECRET.encode() not in running.everything_kept()
    assert running.stands()[1:] == ("healthy", "one", "one")


def test_what_is_in_the_way_of_going_back_may_pass(running, monkeypatch):
    put_back, tries = transaction.Transaction._put_back, []

    def put_back_later(self, before):
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise Failure("cannot assign requested address")
        put_back(self, before)

    monkeypatch.setattr(transaction.Transaction, "_put_back", put_back_later)
    monkeypatch.setattr(_steps, "_UNDO_PAUSE", 0.1)
    failed(running.deploy(running.plan(config="two", sign="/never", deadline=2)), "undone", "healthy")
    assert len(tries) == 3
    assert running.stands()[1:] == ("healthy", "one", "one")


def test_the_image_behind_a_moved_tag_comes_back(running):
    moving = f"{running.image}:moving"
    docker("tag", f"{running.image}:1", moving)
    try:
        assert running.deploy(running.plan(image=moving))["outcome"] == "committed"
        before = running.only()["image_id"]
        docker("tag", f"{running.image}:2", moving)
        plan = running.plan(image=moving, config="two", sign="/never", deadline=2)
        failed(running.deploy(plan), "undone", "healthy")
        assert running.only()["image_id"] == before
        assert docker("image", "inspect", "-f", "{{.Id}}", moving) == before
        assert docker("images", "-q", f"hearth-rollback/{running.name}/*") == ""
    finally:
        docker("compose", "-p", running.name, "down", "-t", "0", check=False)
        docker("image", "rm", "-f", moving, check=False)


def test_a_reload_that_is_refused_is_undone(host):
    reload = {"paths": ["config/live/"], "container": "svc", "command": ["/tiny", "exists", "/etc/svc/good"]}
    good = {"config/live/a": ("1", "0644"), "config/good": ("x", "0644")}
    assert host.deploy({**host.plan(files=good), "reload": reload})["outcome"] == "committed"
    before = host.stands()
    reload["command"] = ["/tiny", "exists", "/never"]
    plan = {**host.plan(files={**good, "config/live/a": ("2", "0644")}), "reload": reload}
    result = host.deploy(plan)
    assert result["error"]["step"] == "up"
    assert "does not take its new configuration" in result["error"]["message"]
    assert host.stands() == before
    assert host.text("config/live/a") == "1"


def test_a_first_deployment_that_fails_is_taken_down_with_its_logs_kept(host):
    result = host.deploy(host.plan(command="[complain, SVC_KEY, '3']", restart='"no"', deadline=60))
    error = failed(result, "failed", "healthy")
    assert (error["exit_code"], result["stands"]) == (3, "nothing")
    assert host.containers() == []
    assert host.text("compose.yaml") is None
    assert host.state() is None
    (folder,) = _journal.folders(host.state_dir, host.name)
    (log,) = Path(folder.inside("logs")).iterdir()
    assert log.read_text().splitlines()[-1] == "cannot use ***"
    assert SECRET.encode() not in host.everything_kept()
    assert docker("volume", "ls", "-q", "--filter", f"name={host.name}_data") == f"{host.name}_data"


def test_a_dependency_that_fails_is_named_and_not_the_one_that_waits_for_it(host):
    more = """    depends_on: {base: {condition: service_healthy}}
  base:
    image: %s:1
    healthcheck: {test: [CMD, /tiny, exists, /never], interval: 200ms, retries: 2}
    stop_grace_period: 1s
"""
    error = failed(host.deploy(host.plan(more=more % host.image)), "failed", "up")
    assert "base" in error["container"]
    assert error["health_output"] == "/never is not there"


def test_a_container_that_does_its_work_once_counts_as_fine(host):
    more = f"""  once:
    image: {host.image}:1
    command: [exists, /tiny]
    restart: "no"
"""
    assert host.deploy(host.plan(more=more))["outcome"] == "committed"
    assert sorted(item["state"] for item in host.containers()) == ["exited", "running"]


def full(monkeypatch, below, times):
    """Let the disk below a directory be full for so many writes."""
    real = os.open

    def no_room(path, flags, *more, **options):
        if str(path).startswith(below) and flags & (os.O_CREAT | os.O_APPEND) and len(refused) < times:
            refused.append(path)
            raise OSError(28, "No space left on device")
        return real(path, flags, *more, **options)

    refused = []
    monkeypatch.setattr(os, "open", no_room)
    return refused


def test_a_full_disk_under_the_stacks_replaces_no_file(running, monkeypatch):
    before = running.stands()
    stack = str(running.root / "stacks")
    with monkeypatch.context() as patch:
        full(patch, stack, 1)
        result = running.deploy(running.plan(config="two"))
    assert "No space left on device" in failed(result, "undone", "placed")["message"]
    assert running.stands() == before
    assert _durable.look_at_files(str(running.root / "stacks" / running.name)).keys() == {
        ".env.svc",
        "compose.yaml",
        "config/value",
    }


def test_a_disk_that_gets_full_under_the_journal_brings_the_previous_version_back(running, monkeypatch):
    folder = running.submitted(running.plan(config="two"))
    mark = folder.mark

    def mark_until_full(step, phase):
        mark(step, phase)
        if (step, phase) == ("up", "begin"):
            full(monkeypatch, folder.path, 1000)

    folder.mark = mark_until_full
    with pytest.raises(OSError, match="No space"):
        transaction.run(running.state_dir, running.name, folder.id, folder)
    monkeypatch.undo()
    assert running.stands()[1:] == ("healthy", "one", "one")
    (result,) = running.recover()
    assert result["outcome"] == "undone"
    assert running.stands()[1:] == ("healthy", "one", "one")


# Killed ----------------------------------------------------------------------------------------------------------


BEFORE = [(step, "done") for step in ("staged", "checked", "pulled", "kept")]
BETWEEN = [("placed", "begin"), ("placed", "done"), ("up", "begin"), ("up", "done"), ("healthy", "begin")]
AFTER = [("healthy", "done"), ("committed", "begin"), ("committed", "done")]


@pytest.mark.parametrize(("step", "phase"), BEFORE)
def test_killed_before_placing_nothing_happened(running, step, phase):
    before = running.stands()
    folder = running.deploy_and_die(running.plan(config="two"), die_at(step, phase))
    assert running.stands() == before
    unfinished = _journal.unfinished(running.state_dir, running.name)
    assert unfinished == {"id": folder.id, "step": step, "running": False, "decision": "drop"}
    (result,) = running.recover()
    assert (result["outcome"], result["stands"]) == ("failed", "previous")
    assert running.stands() == before
    assert SECRET.encode() not in running.everything_kept()


@pytest.mark.parametrize(("step", "phase"), BETWEEN)
def test_killed_after_placing_the_previous_version_comes_back(running, step, phase):
    running.deploy_and_die(running.plan(config="two"), die_at(step, phase))
    (result,) = running.recover()
    assert (result["outcome"], result["stands"]) == ("undone", "previous")
    assert running.stands()[1:] == ("healthy", "one", "one")
    assert running.recover() == []
    assert SECRET.encode() not in running.everything_kept()


@pytest.mark.parametrize(("step", "phase"), AFTER)
def test_killed_after_the_proof_the_new_version_stays(running, step, phase):
    running.deploy_and_die(running.plan(config="two"), die_at(step, phase))
    stands = running.stands()
    assert stands[1:] == ("healthy", "two", "two")
    (result,) = running.recover()
    assert result["outcome"] == "committed"
    assert running.stands() == stands
    assert running.state()["containers"][running.only()["name"]]["id"] == stands[0]


def test_killed_between_two_files_the_previous_ones_come_back(running):
    def arm(_folder):
        settle, settled = _stack_files.settle, []

        def settle_some(half, path):
            if running.name in path and "transactions" not in path:
                settled.append(path)
                if len(settled) == 2:
                    os._exit(137)
            settle(half, path)

        _stack_files.settle = settle_some

    running.deploy_and_die(running.plan(config="two", files={"config/added": ("x", "0644")}), arm)
    assert running.text("config/value") != running.text("compose.yaml")
    (result,) = running.recover()
    assert result["outcome"] == "undone"
    assert running.text("config/added") is None
    assert running.stands()[1:] == ("healthy", "one", "one")


def test_killed_while_undoing_it_is_undone_all_the_same(running):
    plan = running.plan(config="two", sign="/never", deadline=2)
    running.deploy_and_die(plan, die_at("undone", "begin"))
    (result,) = running.recover()
    assert result["outcome"] == "undone"
    assert running.stands()[1:] == ("healthy", "one", "one")


def test_a_first_deployment_that_was_killed_is_taken_down(host):
    host.deploy_and_die(host.plan(), die_at("up", "done"))
    assert len(host.containers()) == 1
    (result,) = host.recover()
    assert (result["outcome"], result["stands"]) == ("failed", "nothing")
    assert host.containers() == []
    assert host.text("compose.yaml") is None


def test_a_killed_deploy_heals_on_the_next_run(running):
    running.deploy_and_die(running.plan(config="two"), die_at("placed", "done"))
    folder = running.submitted(running.plan(config="three"))
    result = transaction.run(running.state_dir, running.name, folder.id, folder)
    assert result["outcome"] == "committed"
    assert running.stands()[1:] == ("healthy", "three", "three")
    texts = [event["text"] for event in folder.events(0)[0]]
    assert f"first ends the change of {running.name} that was interrupted at placed" in texts


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.05)


def engines_of(folder):
    """The pids of the detached processes that carry out a transaction, the worker last."""
    found = subprocess.run(
        ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout
    lines = [line for line in found.splitlines() if folder.id in line and "engine.py run" in line]
    return sorted(int(line.split()[0]) for line in lines)


@pytest.fixture
def in_compose_up(running):
    """A submitted change in the middle of a `docker compose up` that goes on for seconds."""
    more = f"""    depends_on: {{base: {{condition: service_healthy}}}}
  base:
    image: {running.image}:1
    command: [serve]
    healthcheck: {{test: [CMD, /tiny, exists, /never], interval: 1s, retries: 4}}
    stop_grace_period: 1s
"""
    plan = running.plan(config="two", more=more, deadline=60)
    folder = Folder(
        running.state_dir, running.name, engine_program.submit(running.state_dir, running.name, plan)
    )
    wait_for(lambda: any(item["service"] == "base" for item in running.containers()))
    return folder


def test_sigkill_of_the_engine_in_the_middle_of_compose_up(running, in_compose_up):
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in engines_of(in_compose_up):
            os.kill(pid, number)
    wait_for(lambda: not in_compose_up.is_running())
    followed = engine_program.follow(running.state_dir, running.name, in_compose_up.id, 0, 0)
    assert followed["finished"]
    assert followed["result"]["stands"] == "unknown"
    # The orphaned `docker compose up` still holds the host; the recovery waits for it instead of working against it.
    assert _durable.try_lock(os.path.join(running.state_dir, "lock")) is None
    done = subprocess.run(
        [sys.executable, os.path.join(running.state_dir, "engine.py"), "recover", running.state_dir],
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    (result,) = json.loads(done.stdout)
    assert result["outcome"] == "undone"
    assert running.stands()[1:] == ("healthy", "one", "one")


def test_a_killed_worker_is_undone_at_once(running, in_compose_up):
    os.kill(engines_of(in_compose_up)[-1], signal.SIGKILL)
    ended = engine_program.follow(running.state_dir, running.name, in_compose_up.id, 0, 60)
    assert (ended["result"]["outcome"], ended["result"]["stands"]) == ("undone", "previous")
    assert "was interrupted at the step 'up'" in ended["result"]["error"]["message"]
    assert running.stands()[1:] == ("healthy", "one", "one")
    assert running.recover() == []


# Submitted and followed ------------------------------------------------------------------------------------------


def test_a_submitted_change_goes_on_by_itself_and_is_followed(host):
    identity = engine_program.submit(host.state_dir, host.name, host.plan())
    first = engine_program.follow(host.state_dir, host.name, identity, 0, 0)
    assert not first["finished"]
    last = engine_program.follow(host.state_dir, host.name, identity, first["offset"], 30)
    assert last["finished"]
    assert last["result"]["outcome"] == "committed"
    texts = [event["text"] for event in first["events"] + last["events"]]
    assert texts[0] == "handed over"
    assert any(text.startswith("waits for ") for text in texts)
    again = engine_program.follow(host.state_dir, host.name, identity, last["offset"], 0)
    assert (again["events"], again["result"]) == ([], last["result"])
    # Submitting it again (a controller that lost the answer) does not start it again.
    assert engine_program.submit(host.state_dir, host.name, host.plan(), identity) == identity
    assert len(list(_journal.folders(host.state_dir))) == 1


def test_a_change_whose_submission_was_cut_off_is_started_when_it_is_submitted_again(host):
    folder = host.submitted(host.plan())  # written, and then the connection was lost
    assert engine_program.submit(host.state_dir, host.name, host.plan(), folder.id) == folder.id
    ended = engine_program.follow(host.state_dir, host.name, folder.id, 0, 30)
    assert ended["result"]["outcome"] == "committed"


def test_two_changes_of_one_host_never_interleave(host):
    names = [host.name, f"{host.name}b"]
    ids = [engine_program.submit(host.state_dir, name, host.plan(name=name)) for name in names]
    ended = [
        engine_program.follow(host.state_dir, name, identity, 0, 60)
        for name, identity in zip(names, ids, strict=True)
    ]
    assert [item["result"]["outcome"] for item in ended] == ["committed", "committed"]
    assert any(f"waits for {names[0]} to end" in event["text"] for event in ended[1]["events"])
    journals = [
        Folder(host.state_dir, name, identity).journal() for name, identity in zip(names, ids, strict=True)
    ]
    assert journals[0][-1]["t"] <= journals[1][0]["t"]


def test_of_two_changes_of_one_service_the_later_one_stands(host):
    ids = [
        engine_program.submit(host.state_dir, host.name, host.plan(config=text)) for text in ("one", "two")
    ]
    ended = [engine_program.follow(host.state_dir, host.name, identity, 0, 60)["result"] for identity in ids]
    assert [item["outcome"] for item in ended] == ["committed", "committed"]
    assert host.stands()[1:] == ("healthy", "two", "two")


def test_a_change_waits_for_another_one_for_longer_than_it_takes_itself(host):
    with transaction.host_lock(host.state_dir, "another", 1, print):
        identity = engine_program.submit(host.state_dir, host.name, host.plan(deadline=5))
        time.sleep(6)  # longer than its own deadline
    result = engine_program.follow(host.state_dir, host.name, identity, 0, 60)["result"]
    assert result["outcome"] == "committed"


def test_a_change_gives_up_when_the_host_stays_busy(host, monkeypatch):
    monkeypatch.setattr(transaction, "_CHANGE_PATIENCE", 1.0)
    with transaction.host_lock(host.state_dir, "another", 1, print):
        result = host.deploy(host.plan())
    assert "another still holds this host after 1 s" in failed(result, "failed", "submitted")["message"]


def test_only_the_last_ended_transactions_are_kept(running):
    for text in ("two", "three", "four"):
        result = running.deploy(running.plan(config=text))
        assert result["outcome"] == "committed", result
    assert len(list(_journal.folders(running.state_dir))) == 2


def test_what_is_proven_is_not_undone_when_it_cannot_be_written_down(running, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(transaction.Transaction, "_release_images", no_space)
        with pytest.raises(OSError, match="No space"):
            running.deploy(running.plan(config="two"))
    stands = running.stands()
    assert stands[1:] == ("healthy", "two", "two")
    (result,) = running.recover()
    assert result["outcome"] == "committed"
    assert running.stands() == stands


def no_space(*_arguments):
    raise OSError(28, "No space left on device")


# Off -------------------------------------------------------------------------------------------------------------


def test_off_is_not_gone(running):
    volume = f"{running.name}_data"
    transaction.remove(
        running.state_dir, running.name, running.name, str(running.root / "stacks" / running.name)
    )
    assert running.containers() == []
    assert running.state() is None
    assert not (running.root / "stacks" / running.name).exists()
    assert docker("volume", "ls", "-q", "--filter", f"name={volume}") == volume
    transaction.remove(
        running.state_dir, running.name, running.name, str(running.root / "stacks" / running.name)
    )


def test_off_works_where_compose_gives_up(running, monkeypatch):
    """Compose 2.26 does where somebody removed a container that another one depends on."""
    call = Docker.call

    def gives_up(self, *arguments, **options):
        if "down" in arguments:
            return Answer(1, "", "could not find svc: not found")
        return call(self, *arguments, **options)

    monkeypatch.setattr(Docker, "call", gives_up)
    folder = running.root / "stacks" / running.name
    transaction.remove(running.state_dir, running.name, running.name, str(folder))
    assert running.containers() == []
    assert f"{running.name}_default" not in docker("network", "ls", "--format", "{{.Name}}").split()
    assert docker("volume", "ls", "-q", "--filter", f"name={running.name}_data")


def test_the_program_on_the_host_speaks_for_itself(running):
    engine = engine_program.install(running.state_dir)
    shown = subprocess.run(
        [sys.executable, engine, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "recover" in shown
    status = subprocess.run(
        [sys.executable, engine, "status", running.state_dir], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(status)["committed"][running.name]["project"] == running.name
    before = os.stat(engine).st_ino
    assert os.stat(engine_program.install(running.state_dir)).st_ino == before
