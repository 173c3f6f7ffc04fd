# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The look at a host, on recorded answers of the kernel and of Docker."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _durable, _sockets, look
from ansible_collections.hearth.llm.plugins.module_utils._docker import Answer, Docker, describe

RECORDED = Path(__file__).parent / "recorded" / "containers-engine-20.10.json"
HEADING = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = HEADING + (
    "   0: 0100007F:36B0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 108744 1 0\n"
    "   1: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1060 1 0\n"
    "   2: 0100007F:36B0 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 77 1 0 100 0 0 10 0\n"
)
TCP6 = HEADING + (
    "   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000"
    " 00:00000000 00000000   101        0 555 1 0 100 0 0 10 0\n"
)
UDP = HEADING + (
    "  10: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 556 2 0 0\n"
    "  11: 0A00020F:D431 08080808:0035 07 00000000:00000000 00:00000000 00000000   101        0 557 2 0 0\n"
)


def test_listening_sockets_are_read_from_the_kernels_tables():
    found = [(item.address, item.port, item.inode) for item in _sockets.parse("tcp", TCP)]
    assert found == [("127.0.0.1", 14000, 108744), ("0.0.0.0", 443, 1060)]
    assert [(item.address, item.port) for item in _sockets.parse("tcp6", TCP6)] == [("::1", 53)]
    assert [(item.address, item.port) for item in _sockets.parse("udp", UDP)] == [("127.0.0.53", 53)]


@pytest.fixture
def proc(tmp_path):
    """A /proc with one table and one process that holds port 443."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(TCP)
    (tmp_path / "812/fd").mkdir(parents=True)
    os.symlink("socket:[1060]", tmp_path / "812/fd/7")
    (tmp_path / "812/comm").write_text("caddy\n")
    (tmp_path / "812/cgroup").write_text("0::/user.slice\n")
    return tmp_path


def published(port, **more):
    item = {"id": "f" * 64, "name": "web-1", "project": "web", "state": "running", "ports": []}
    return {**item, "ports": [{"port": port, "address": "0.0.0.0", "protocol": "tcp"}], **more}


def by_port(found):
    return {item["port"]: item for item in found}


def test_a_port_is_listed_with_its_holder_where_that_may_be_seen(proc):
    found = by_port(_sockets.listening([], str(proc)))
    assert (found[443]["holder"], found[443]["pid"], found[443]["container"]) == ("caddy", 812, None)
    assert (found[14000]["holder"], found[14000]["pid"]) == (None, None)


def test_a_published_port_names_its_container_with_and_without_a_proxy_process(proc):
    found = by_port(_sockets.listening([published(443), published(8443)], str(proc)))
    assert (found[443]["container"], found[443]["project"]) == ("web-1", "web")
    assert (found[8443]["container"], found[8443]["holder"]) == ("web-1", None)


def test_a_stopped_container_holds_no_port(proc):
    found = by_port(_sockets.listening([published(443, state="exited")], str(proc)))
    assert found[443]["container"] is None


def test_a_process_on_the_hosts_network_is_traced_to_its_container(proc):
    (proc / "812/cgroup").write_text(f"0::/system.slice/docker-{'f' * 64}.scope\n")
    found = by_port(_sockets.listening([published(1, state="exited")], str(proc)))
    assert found[443]["container"] == "web-1"


class Recorded(Docker):
    """A docker command that answers from a table; what is not in it fails."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def call(self, *arguments, timeout=60.0):
        for start, answer in self.answers.items():
            if " ".join(arguments).startswith(start):
                return answer
        return Answer(127, "", "docker: No such file or directory")


COMPOSE = {"Name": "compose", "Version": "v2.26.1-4"}
INFO = {
    "ServerVersion": "20.10.24+dfsg1",
    "DockerRootDir": "/var/lib/docker",
    "ClientInfo": {"Plugins": [{"Name": "buildx", "Version": "v0.13"}, COMPOSE]},
}
# An engine that is down leaves everything empty.
DOWN = {**INFO, "ServerVersion": "", "DockerRootDir": ""}


@pytest.fixture
def docker():
    ids = "\n".join(item["Id"] for item in json.loads(RECORDED.read_text()))
    return Recorded(
        {
            "info": Answer(0, json.dumps(INFO), ""),
            "ps": Answer(0, ids, ""),
            "container inspect": Answer(0, RECORDED.read_text(), ""),
            "network inspect frontend": Answer(0, f"{'ab' * 32} \n", ""),
            "network ls": Answer(0, "bridge\nfrontend\n", ""),
            "image inspect": Answer(1, "sha256:aa\n", "Error: No such image: b:1\n"),
        }
    )


def look_here(tmp_path, docker, stacks=()):
    folders = [str(tmp_path / name) for name in ("stacks", "data", "state")]
    return look.look(*folders, stacks, ["a:1", "b:1"], [str(tmp_path), "/nowhere"], docker=docker)


def test_the_engine_its_images_and_networks_are_told(tmp_path, docker):
    found = look_here(tmp_path, docker)
    assert found["engine"] == {
        "present": True,
        "running": True,
        "version": "20.10.24+dfsg1",
        "compose": "2.26.1-4",
        "root": "/var/lib/docker",
        "runtimes": [],
        "error": None,
    }
    assert found["images"] == {"a:1": "sha256:aa", "b:1": None}
    assert found["networks"] == ["bridge", "frontend"]
    assert found["frontend_bridge"] == "br-abababababab"
    assert found["paths"]["/nowhere"] == {
        "exists": False,
        "kind": None,
        "mode": None,
        "owner": None,
        "empty": True,
    }
    assert found["paths"][str(tmp_path)]["kind"] == "directory"
    root = os.stat("/").st_dev
    assert found["disks"]["/nowhere"]["device"] == f"{os.major(root)}:{os.minor(root)}"
    assert found["disks"]["/nowhere"]["total"] > 0


def test_a_host_without_docker_is_an_answer(tmp_path):
    found = look_here(tmp_path, Recorded({}), ["svc"])
    assert found["engine"]["running"] is False
    assert found["engine"]["error"] == "docker: No such file or directory"
    assert found["images"] == {"a:1": None, "b:1": None}
    assert found["stacks"]["svc"] == {"files": {}, "containers": {}, "state": None, "transaction": None}
    json.dumps(found)


@pytest.mark.parametrize(
    "told",
    [
        Answer(1, json.dumps(DOWN), "Cannot connect to the Docker daemon\n"),
        Answer(0, json.dumps({**DOWN, "ServerErrors": ["Cannot connect to the Docker daemon"]}), ""),
    ],
)
def test_an_engine_that_is_down_is_told_from_none(tmp_path, told):
    found = look_here(tmp_path, Recorded({"info": told}))
    assert found["engine"]["running"] is False
    assert found["engine"]["error"] == "Cannot connect to the Docker daemon"
    assert found["engine"]["compose"] == "2.26.1-4"


def test_a_broken_compose_plugin_is_none(tmp_path):
    plugins = {"ClientInfo": {"Plugins": [{**COMPOSE, "Err": "exec format error"}]}}
    found = look_here(tmp_path, Recorded({"info": Answer(0, json.dumps({**INFO, **plugins}), "")}))
    assert found["engine"]["compose"] is None


def test_a_stack_is_shown_with_files_containers_and_state(tmp_path, docker):
    stack = tmp_path / "stacks/hearthrec"
    (stack / "config").mkdir(parents=True)
    (stack / "config/a.conf").write_text("x")
    (stack / ".env.web").write_text("A=1\n")
    os.chmod(stack / ".env.web", stat.S_IRUSR | stat.S_IWUSR)
    found = look_here(tmp_path, docker, ["hearthrec"])["stacks"]["hearthrec"]
    assert found["files"][".env.web"]["mode"] == "0600"
    assert found["files"]["config/a.conf"]["sha256"].startswith("2d711642b726b044")
    assert sorted(found["containers"]) == [
        f"hearthrec-{name}-1" for name in ("crash", "migrate", "sick", "web")
    ]
    assert found["containers"]["hearthrec-web-1"]["config"] == "1f2e3d4c"
    assert found["containers"]["hearthrec-crash-1"]["restarts"] == 6


def test_a_stack_that_nobody_asked_for_shows_as_an_orphan(tmp_path, docker):
    (tmp_path / "state/stacks").mkdir(parents=True)
    state = {"format": 1, "project": "hearthrec", "stack_dir": str(tmp_path / "elsewhere")}
    _durable.write_json(str(tmp_path / "state/stacks/old.json"), state)
    found = look_here(tmp_path, docker, ["svc"])["stacks"]
    assert sorted(found) == ["old", "svc"]
    assert found["old"]["state"] == {**state, "format": 2, "fallback": None}
    assert "hearthrec-web-1" in found["old"]["containers"]


def test_recorded_containers_publish_only_while_they_run():
    recorded = [describe(item) for item in json.loads(RECORDED.read_text())]
    assert [item["name"] for item in recorded if item["ports"]] == ["hearthrec-web-1"]


@pytest.mark.parametrize(("asked", "calls"), [(True, 1), (False, 0)])
def test_the_driver_is_asked_only_where_a_service_computes_on_cards(monkeypatch, tmp_path, asked, calls):
    row = "0, GPU-aaaa-1, NVIDIA L40S, 595.80, 00000000:01:00.0, 46068, 609, 0, 45460, 8.9, [N/A]\n"
    told = []
    monkeypatch.setattr(look.nvidia_smi, "find", lambda: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(
        look.nvidia_smi, "call", lambda command: told.append(command) or look.nvidia_smi.Said(0, row)
    )
    (tmp_path / "nvidia.yaml").write_text("cdiVersion: 0.5.0\n")
    monkeypatch.setattr(look, "_CDI", (str(tmp_path),))
    found = look._gpus(asked)
    assert len(told) == calls
    assert [card["uuid"] for card in found["cards"]] == ["GPU-aaaa-1"] * calls
    assert (found["nvidia_smi"], found["trouble"]) == ("/usr/bin/nvidia-smi", None)
    assert found["cdi"] == str(tmp_path / "nvidia.yaml")


def test_the_cdi_specification_that_an_engine_would_take_is_found_first(monkeypatch, tmp_path):
    assert look._CDI == ("/var/run/cdi", "/etc/cdi")
    for folder in ("run", "etc"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "nvidia.yaml").write_text("cdiVersion: 0.5.0\n")
    monkeypatch.setattr(look, "_CDI", (str(tmp_path / "run"), str(tmp_path / "etc")))
    assert look.cdi_specification() == str(tmp_path / "run" / "nvidia.yaml")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[nvidia-container-cli]\nno-cgroups = true\n", True),
        ("[nvidia-container-cli]\n#no-cgroups = true\n", False),
        ("[nvidia-container-cli]\nno-cgroups = false\n", False),
        (None, False),
    ],
)
def test_whether_the_toolkit_leaves_control_groups_alone(monkeypatch, tmp_path, text, found):
    config = tmp_path / "config.toml"
    if text is not None:
        config.write_text(text)
    monkeypatch.setattr(look, "_TOOLKIT_CONFIG", str(config))
    assert look.no_cgroups() is found


def test_whether_the_engine_has_taken_the_toolkit_up(monkeypatch, tmp_path):
    hook, mark = tmp_path / "hook", tmp_path / "docker.pid"
    monkeypatch.setattr(look, "ENGINE_PID", str(mark))
    hook.write_text("")
    assert look.taken_up(str(hook))  # an engine that leaves no mark
    mark.write_text("")
    assert look.taken_up(str(hook))
    os.utime(mark, (1, 1))
    assert not look.taken_up(str(hook))
    assert not look.taken_up(None)


def test_the_engines_runtimes_are_told():
    info = Answer(0, json.dumps({"ServerVersion": "26.1.5", "Runtimes": {"runc": {}, "nvidia": {}}}), "")
    assert look.describe_engine(info)["runtimes"] == ["nvidia", "runc"]
    assert look.describe_engine(Answer(1, "", "no"))["runtimes"] == []
