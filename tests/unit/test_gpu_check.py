# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every link from the card to the loaded model is checked for itself, and a broken one is named with its remedy."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import gpu_facts, look, nvidia_smi
from ansible_collections.hearth.llm.plugins.module_utils._docker import Answer
from ansible_collections.hearth.llm.plugins.module_utils.cards import handed_over
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


STOPPED = {"container": False, "seen": None}


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
        ({"needs": "cuda>=13.1", **STOPPED}, "driver 550 or newer, CUDA 13.1 or newer"),
        (
            {"needs": "cuda>=13.1 brand=unknown,driver>=535,driver<536 driver>=590", **STOPPED},
            "driver 550 or newer, CUDA 13.1 or newer",
        ),
    ],
)
def test_a_driver_that_is_too_old_for_the_image(changed, expected):
    check = wrong(**changed)["driver"]
    assert (check["verdict"], check["expected"]) == ("wrong", expected)
    assert "cuda-keyring" in check["remedy"]


@pytest.mark.parametrize(
    "needs",
    [
        "cuda>=12.8",
        "cuda>=13.1 brand=unknown,driver>=535,driver<536 brand=tesla,driver>=580,driver<581",
        "cuda>=13.1 brand=geforce",
    ],
)
def test_one_alternative_of_what_an_image_needs_is_enough(needs):
    assert verdicts(needs=needs, **STOPPED)["driver"] == "ok"


def test_an_image_that_the_toolkit_let_start_is_no_fault_of_the_drivers():
    assert wrong(needs="cuda>=13.1 driver>=590") == {}


def test_a_damaged_inforom_is_a_risk():
    warning = "WARNING: infoROM is corrupted at gpu 0000:01:00.0\n"
    cards, trouble = nvidia_smi.ask("/usr/bin/nvidia-smi", lambda _command: Said(14, CSV + warning))
    found = wrong(cards=cards, trouble=trouble, seen=Said(14, LISTED.text + warning))
    assert {name: check["verdict"] for name, check in found.items()} == {"driver": "risk"}
    assert found["driver"]["found"] == warning.strip()


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
    for check in ("toolkit", "engine"):
        assert found[check]["remedy"].startswith("host_manage_gpu: true, then playbooks/deploy-stacks.yml")


def test_a_runtime_without_the_hook_is_no_way_as_it_is_none_for_a_deploy():
    assert list(wrong(hook=None)) == ["engine"]
    assert not handed_over({"engine": {"version": GOOD.engine}, "gpus": {"hook": None, "cdi": None}})


SPECIFICATION = "hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.{}\n"


def test_cdi_is_a_way_for_an_engine_that_reads_it():
    without = {"hook": None, "runtimes": ["runc"], "cdi": SPECIFICATION.format("580.95.05")}
    assert wrong(**without, engine="29.2.0") == {}
    assert list(wrong(**without, engine="29.1.0")) == ["engine"]


def test_a_cdi_specification_from_before_a_driver_update():
    old = {"cdi": SPECIFICATION.format("570.124.06"), "cdi_path": "/var/run/cdi/nvidia.yaml"}
    assert wrong(**old, engine="29.1.0") == {}, "this engine does not read it"
    found = wrong(**old, engine="29.2.0")
    assert (
        found["engine"]["found"] == "a CDI specification for driver 570.124.06, and the driver is 580.95.05"
    )
    assert found["engine"]["remedy"] == "nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"


def test_a_container_that_lost_its_cards_after_daemon_reload():
    found = wrong(seen=LOST, cgroup_driver="systemd")
    assert found["container"]["found"] == "Failed to initialize NVML: Unknown Error"
    assert found["reload"]["verdict"] == "wrong"
    assert found["reload"]["found"] == "the container has lost its cards, which the host still has"
    assert found["reload"]["remedy"].startswith("docker restart ollama; to keep them: host_daemon_options:")


def test_a_damaged_inforom_hides_no_lost_cards():
    damaged = nvidia_smi.trouble(Said(14, "WARNING: infoROM is corrupted at gpu 0000:01:00.0\n"))
    assert wrong(seen=LOST, trouble=damaged, cgroup_driver="systemd")["reload"]["verdict"] == "wrong"


# As systemd has them of a container whose devices the hook added behind it, and of one whose devices runc was told of
# (NVIDIA/nvidia-container-toolkit#1744, shortened).
BEHIND = (
    "[Scope]\nDeviceAllow=\nDeviceAllow=char-136 rwm\nDeviceAllow=/dev/char/1:3 rwm\nDeviceAllow=char-* m\n"
)
KNOWN = (
    BEHIND
    + "DeviceAllow=/dev/char/509:1 rwm\nDeviceAllow=/dev/char/195:255 rwm\nDeviceAllow=/dev/char/195:0 rwm\n"
)


def test_a_container_that_will_lose_its_cards_is_a_risk():
    check = wrong(cgroup_driver="systemd", rules=BEHIND)["reload"]
    assert check["verdict"] == "risk"
    assert "native.cgroupdriver=cgroupfs" in check["remedy"]


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"rules": KNOWN}, "ok"),
        ({"rules": None, "no_cgroups": True}, "ok"),
        ({"rules": None}, "unknown"),
        ({"rules": None, "container": False, "seen": None}, "unknown"),
    ],
)
def test_a_container_that_keeps_its_cards_is_no_risk(changed, verdict):
    assert verdicts(cgroup_driver="systemd", **changed)["reload"] == verdict


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


OTHER, PART = "GPU-bbbb-2", "MIG-cccc-3"
TWO = CSV + CSV.replace("0, GPU-aaaa-1", f"1, {OTHER}").replace("01:00.0", "04:00.0")
ELSEWHERE = App(OTHER, 4242, "vllm", 8 * 2**30)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "ok"),
        ({"seen": Said(0, LISTED.text + f"GPU 1: NVIDIA GeForce RTX 5060 Ti (UUID: {OTHER})\n")}, "wrong"),
        ({"seen": LOST, "devices": [UUID]}, "ok"),
        ({"seen": LOST, "devices": ["nvidia.com/gpu=0"]}, "ok"),
        ({"seen": LOST, "devices": ["1"]}, "wrong"),
        ({"seen": LOST}, "wrong"),
    ],
)
def test_another_service_on_its_own_card_is_in_nobodys_way(changed, verdict):
    found = verdicts(cards=nvidia_smi.cards(Said(0, TWO)), apps=[*GOOD.apps, ELSEWHERE], **changed)
    assert found["memory"] == verdict


@pytest.mark.parametrize(
    ("app", "verdict"), [(PART, "wrong"), ("MIG-dddd-4", "ok"), (UUID, "unknown"), (OTHER, "ok")]
)
def test_who_computes_on_another_part_of_a_divided_card_is_in_nobodys_way(app, verdict):
    cards = nvidia_smi.cards(Said(0, CSV.replace("[N/A]", "Enabled")))
    seen = Said(0, LISTED.text + f"  MIG 3g.71gb     Device  0: (UUID: {PART})\n")
    assert verdicts(cards=cards, seen=seen, apps=[App(app, 4242, "x", None)])["memory"] == verdict


def test_a_divided_card_counts_by_its_parts():
    cards = nvidia_smi.cards(Said(0, CSV.replace("[N/A]", "Enabled")))
    check = wrong(cards=cards)["container"]
    assert check["found"] == "the card is divided, and none of its parts is in the container"
    assert check["remedy"].startswith("ollama_gpus: the UUIDs of parts")
    part = Said(0, LISTED.text + f"  MIG 3g.71gb     Device  0: (UUID: {PART})\n")
    assert wrong(cards=cards, seen=part) == {}


def test_remedies_name_the_container_that_was_checked():
    for loaded in (None, [{**WHOLE, "size_vram": 0}]):
        found = {item["name"]: item for item in checks(replace(GOOD, loaded=loaded), "ollama-2", "550")}
        assert "docker logs ollama-2" in found["model"]["remedy"]


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


def test_the_devices_that_systemd_lets_a_container_have_are_read(monkeypatch, tmp_path):
    folder = tmp_path / "docker-4f1c.scope.d"
    folder.mkdir()
    (folder / "50-DeviceAllow.conf").write_text(KNOWN)
    monkeypatch.setattr(gpu_facts, "_RULES", str(tmp_path / "docker-{}.scope.d" / "50-DeviceAllow.conf"))
    monkeypatch.setattr(nvidia_smi, "find", lambda: None)
    request = {"Driver": "nvidia", "DeviceIDs": [UUID], "Capabilities": [["gpu"]]}
    facts = gpu_facts.gather("ollama", None, 1, Engine(Id="4f1c", HostConfig={"DeviceRequests": [request]}))
    assert (facts.rules, facts.devices) == (KNOWN, [UUID])
    assert gpu_facts.gather("ollama", None, 1, Engine(Id="9a9a")).rules is None


class Engine:
    """Docker on a host without cards, as its command answered on Engine 20.10 (no CDI, no nvidia)."""

    def __init__(self, **inspected):
        self.inspected = inspected

    def call(self, *arguments, **_options):
        if arguments[0] == "info":
            info = {
                "engine": "20.10.24+dfsg1",
                "runtimes": {"runc": {"path": "runc"}},
                "cgroup_driver": "cgroupfs",
            }
            return Answer(0, json.dumps(info), "")
        if arguments[0] == "container":
            found = {
                "State": {"Running": True},
                "HostConfig": {},
                "Config": {"Env": None},
                "NetworkSettings": {},
            }
            return Answer(0, json.dumps([{**found, **self.inspected}]), "")
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
