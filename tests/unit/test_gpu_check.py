# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every link from the card to the loaded model is checked for itself, and a broken one is named with its remedy."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import gpu_facts, look, nvidia_smi
from ansible_collections.hearth.llm.plugins.module_utils._docker import Answer
from ansible_collections.hearth.llm.plugins.module_utils.gpu_check import Facts, checks, on_card
from ansible_collections.hearth.llm.plugins.module_utils.nvidia_smi import App, Said

UUID = "GPU-aaaa-1"
CSV = (
    f"0, {UUID}, NVIDIA GeForce RTX 5060 Ti, 580.95.05, 00000000:01:00.0, 16311, 350, 2, 15960, 12.0, [N/A]\n"
)
LISTED = Said(0, f"GPU 0: NVIDIA GeForce RTX 5060 Ti (UUID: {UUID})\n")
LOST = Said(255, "Failed to initialize NVML: Unknown Error\n")
WHOLE = {"name": "qwen2.5-coder:14b", "size": 100, "size_vram": 100}
GOOD = Facts(
    cards=nvidia_smi.cards(Said(0, CSV)),
    nvidia_smi="/usr/bin/nvidia-smi",
    cuda="13.0",
    driver_module="580.95.05",
    toolkit="NVIDIA Container Toolkit CLI version 1.17.8",
    hook="/usr/bin/nvidia-container-runtime-hook",
    engine="29.1.0",
    runtimes=["io.containerd.runc.v2", "nvidia", "runc"],
    cgroup_driver="cgroupfs",
    container=True,
    asked=True,
    seen=LISTED,
    pids=[812],
    apps=[App(UUID, 812, "/bin/ollama", 9 * 2**30)],
    loaded=[WHOLE],
)


def verdicts(**changed):
    return {item["name"]: item["verdict"] for item in checks(replace(GOOD, **changed), "ollama", "550")}


def wrong(**changed):
    """The checks that are not ok."""
    found = checks(replace(GOOD, **changed), "ollama", "550")
    return {item["name"]: item for item in found if item["verdict"] != "ok"}


def in_trouble(text, code):
    cards, trouble = nvidia_smi.ask("/usr/bin/nvidia-smi", lambda _command: Said(code, text))
    return {"cards": cards, "trouble": trouble, "seen": LOST, "loaded": [{**WHOLE, "size_vram": 0}]}


def test_where_a_model_runs_is_asked_of_an_ollama_only():
    names = [check["name"] for check in checks(replace(GOOD, is_ollama=False, loaded=None), "vllm", "550")]
    assert names == ["driver", "versions", "toolkit", "engine", "container", "reload", "memory"]


def test_where_everything_is_right_every_check_says_so():
    assert wrong() == {}
    assert list(verdicts()) == [
        *("driver", "versions", "toolkit", "engine", "container", "reload", "model", "memory"),
    ]


def test_every_fault_has_what_was_found_and_expected_and_a_remedy():
    broken = Facts(asked=True, container=True, loaded=[], apps=[App(UUID, 1, "x", None)])
    for item in checks(broken, "ollama", "550"):
        assert item["found"]
        assert item["expected"]
        assert item["verdict"] in ("ok", "unknown") or item["remedy"]


def test_no_driver():
    found = wrong(cards=[], nvidia_smi=None, driver_module=None)
    assert found["driver"]["found"] == "no nvidia-smi"
    assert found["versions"]["verdict"] == "wrong"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"cards": nvidia_smi.cards(Said(0, CSV.replace("580.95.05", "535.54.03")))}, "driver 550 or newer"),
        ({"needs": "cuda>=13.1 brand=unknown,driver>=535"}, "driver 550 or newer, CUDA 13.1 or newer"),
    ],
)
def test_a_driver_that_is_too_old_for_the_image(changed, expected):
    found = wrong(**changed)
    assert list(found) == ["driver"]
    assert (found["driver"]["verdict"], found["driver"]["expected"]) == ("wrong", expected)


def test_an_image_that_the_driver_can_run():
    assert wrong(needs="cuda>=12.8 brand=tesla,driver>=470") == {}


def test_module_and_libraries_of_different_versions():
    text = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.105\n"
    found = wrong(**in_trouble(text, 18))
    assert "mismatch" in found["versions"]["found"]
    assert found["versions"]["remedy"].startswith("reboot; or")


def test_a_hung_driver_is_one_fault_of_the_driver():
    cards, trouble = nvidia_smi.ask("/usr/bin/nvidia-smi", lambda _command: Said(None, "", hung=True))
    found = wrong(cards=cards, trouble=trouble)
    assert "does not come back" in found["driver"]["found"]


def test_no_toolkit_and_no_way_to_the_card():
    found = wrong(toolkit=None, hook=None, runtimes=["runc"])
    assert [found["toolkit"]["verdict"], found["engine"]["verdict"]] == ["wrong", "wrong"]
    assert (
        found["engine"]["remedy"] == "nvidia-ctk runtime configure --runtime=docker; systemctl restart docker"
    )


SPECIFICATION = "hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.{}\n"


def test_cdi_is_a_way_for_an_engine_that_reads_it():
    without = {"hook": None, "runtimes": ["runc"], "cdi": SPECIFICATION.format("580.95.05")}
    assert wrong(**without, engine="29.2.0") == {}
    assert list(wrong(**without, engine="29.1.0")) == ["engine"]


def test_a_cdi_specification_from_before_a_driver_update():
    found = wrong(cdi=SPECIFICATION.format("570.124.06"))
    assert (
        found["engine"]["found"] == "a CDI specification for driver 570.124.06, and the driver is 580.95.05"
    )
    assert found["engine"]["remedy"].startswith("nvidia-ctk cdi generate")


def test_a_container_that_lost_its_cards_after_daemon_reload():
    found = wrong(seen=LOST, cgroup_driver="systemd")
    assert found["container"]["found"] == "Failed to initialize NVML: Unknown Error"
    assert found["reload"]["verdict"] == "wrong"
    assert found["reload"]["found"] == "the container has lost its cards, which the host still has"


def test_a_host_where_that_will_happen_is_a_risk():
    assert wrong(cgroup_driver="systemd")["reload"]["verdict"] == "risk"
    assert wrong(cgroup_driver="systemd", links=True) == {}


@pytest.mark.parametrize(
    ("changed", "verdict", "found"),
    [
        ({"container": False, "seen": None}, "unknown", "ollama does not run"),
        ({"asked": False, "seen": None}, "wrong", "ollama was started without cards"),
        (
            {"seen": Said(127, "exec: nvidia-smi: executable file not found in $PATH")},
            "wrong",
            "there is no nvidia-smi in it",
        ),
        ({"seen": Said(None, "", hung=True)}, "wrong", "nvidia-smi does not come back"),
    ],
)
def test_a_container_that_sees_no_card(changed, verdict, found):
    check = wrong(**changed)["container"]
    assert check["verdict"] == verdict
    assert check["found"].startswith(found)


@pytest.mark.parametrize(
    ("loaded", "verdict", "found"),
    [
        (None, "unknown", "Ollama does not answer"),
        ([], "unknown", "no model is loaded"),
        ([{**WHOLE, "size_vram": 0}], "wrong", "qwen2.5-coder:14b 0% on cards"),
        (
            [{**WHOLE, "size_vram": 64}, WHOLE],
            "wrong",
            "qwen2.5-coder:14b 64%, qwen2.5-coder:14b 100% on cards",
        ),
    ],
)
def test_a_model_that_silently_runs_on_the_processor(loaded, verdict, found):
    check = wrong(loaded=loaded)["model"]
    assert check["verdict"] == verdict
    assert check["found"].startswith(found)


@pytest.mark.parametrize(("share", "verdict"), [(64, "ok"), (0, "wrong"), (100, "ok")])
def test_a_model_that_may_spill_may_not_leave_the_card_wholly(share, verdict):
    facts = replace(GOOD, loaded=[{"name": "huge:latest", "size": 100, "size_vram": share}])
    found = {item["name"]: item["verdict"] for item in checks(facts, "ollama", "550", ["huge"])}
    assert found["model"] == verdict


def test_who_else_holds_the_cards_memory():
    apps = [*GOOD.apps, App(UUID, 4242, "/usr/bin/python3", 3 * 2**30), App(UUID, 7, "x", None)]
    check = wrong(apps=apps)["memory"]
    assert check["found"] == "/usr/bin/python3 (process 4242, 3.0 GiB), x (process 7)"
    assert check["remedy"].endswith("ps -fp 4242,7")


def test_a_share_of_nothing_is_nothing():
    assert on_card({"size": 0, "size_vram": 0}) == 0
    assert on_card({"size": 100, "size_vram": 25}) == 0.25


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n"
            "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
            "550.54.14",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.158.01  Release Build  (dvs-builder)\n",
            "570.158.01",
        ),
        ("", None),
    ],
)
def test_the_kernel_modules_version(text, version):
    assert gpu_facts.module_version(text) == version


@pytest.mark.parametrize(
    ("host", "env", "wants"),
    [
        ({"DeviceRequests": [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]}, [], True),
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]}, [], True),
        ({"DeviceRequests": [{"Driver": "", "Capabilities": [["gpu"]]}]}, [], True),
        ({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=all"], True),
        ({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=void"], False),
        ({"Runtime": "runc", "DeviceRequests": None}, ["NVIDIA_VISIBLE_DEVICES=all"], False),
        ({}, [], False),
    ],
)
def test_whether_a_container_was_started_with_cards(host, env, wants):
    assert gpu_facts.wants_cards({"HostConfig": host, "Config": {"Env": env}}) is wants


class Engine:
    """Docker on a host without cards, as its command answered on Engine 20.10 (no CDI, no nvidia)."""

    def call(self, *arguments, **_options):
        if arguments[0] == "info":
            info = {
                "engine": "20.10.24+dfsg1",
                "runtimes": {"runc": {"path": "runc"}},
                "cgroup_driver": "cgroupfs",
            }
            return Answer(0, json.dumps(info), "")
        if arguments[0] == "container":
            found = [
                {"State": {"Running": True}, "HostConfig": {}, "Config": {"Env": None}, "NetworkSettings": {}}
            ]
            return Answer(0, json.dumps(found), "")
        return Answer(0, "PID\n  812\n", "") if arguments[0] == "top" else Answer(1, "", "no")


def test_a_host_without_anything_is_gathered_and_judged(monkeypatch):
    monkeypatch.setattr(nvidia_smi, "find", lambda: None)
    monkeypatch.setattr(look, "cdi_specification", lambda: None)
    facts = gpu_facts.gather("ollama", 11434, 1, Engine())
    assert (facts.engine, facts.runtimes, facts.pids, facts.loaded) == (
        "20.10.24+dfsg1",
        ["runc"],
        [812],
        None,
    )
    found = {item["name"]: item["verdict"] for item in checks(facts, "ollama", "550")}
    assert found["driver"] == found["container"] == "wrong"
    assert found["memory"] == "ok"
