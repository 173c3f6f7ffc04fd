# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nvidia-smi printed on real machines is read, and its failures are told apart with a remedy each."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import nvidia_smi
from ansible_collections.hearth.llm.plugins.module_utils.nvidia_smi import Said, Trouble, ask

RECORDED = json.loads((Path(__file__).parent / "recorded" / "nvidia-smi.json").read_text())
MIB = 2**20
COMMANDS = {
    nvidia_smi.QUERY_CARDS: "cards",
    nvidia_smi.QUERY_APPS: "apps",
    nvidia_smi.QUERY_HEAD: "head",
    nvidia_smi.LIST: "list",
}


def said(machine, what="cards"):
    return Said(RECORDED[machine][what]["code"], RECORDED[machine][what]["text"])


def asked(machine):
    return ask("/usr/bin/nvidia-smi", lambda command: said(machine, COMMANDS[tuple(command[1:])]))


def answer(text, code=0):
    return ask("/usr/bin/nvidia-smi", lambda _command: Said(code, text))


def test_a_card_of_a_desktop():
    (card,), trouble = asked("rtx 2080 super")
    assert trouble is None
    assert (card.index, card.name, card.driver) == (0, "NVIDIA GeForce RTX 2080 SUPER", "595.71.05")
    assert (card.total, card.reserved, card.used, card.free) == (8192 * MIB, 408 * MIB, 214 * MIB, 7571 * MIB)
    assert (card.usable, card.compute_capability, card.mig) == (7784 * MIB, "7.5", None)


def test_a_divided_card_has_its_parts():
    (card,), _trouble = asked("h200 divided")
    assert card.mig is True
    (part,) = card.instances
    assert (part.profile, part.uuid) == ("3g.71gb", "MIG-f165f0ad-bde2-5b72-acdf-73bbf48eeb2c")


@pytest.mark.parametrize(("machine", "version"), [("l40s", "13.2"), ("h200 divided", "13.3")])
def test_the_cuda_version_is_read_before_and_after_its_new_name(machine, version):
    assert nvidia_smi.cuda(said(machine, "head")) == version


def test_programs_on_a_card_are_listed():
    found = [(app.pid, app.name, app.memory) for app in nvidia_smi.apps(said("rtx 2080 super", "apps"))]
    assert found == [(5268, "ffmpeg", 370 * MIB), (5267, "ffmpeg", 230 * MIB)]


def test_a_program_with_commas_in_its_name_and_unknown_memory():
    (app,) = nvidia_smi.apps(Said(0, "GPU-1, 77, /opt/a, b --x, [N/A]\n"))
    assert (app.card, app.pid, app.name, app.memory) == ("GPU-1", 77, "/opt/a, b --x", None)


def test_two_unlike_cards_in_their_order():
    rows = (
        "0, GPU-aaaa, NVIDIA GeForce RTX 5060 Ti, 580.95.05, 00000000:01:00.0, 16311, 350, 2, 15960, 12.0, [N/A]\n"
        "1, GPU-bbbb, NVIDIA GeForce RTX 3060, 580.95.05, 00000000:04:00.0, 12288, 300, 2, 11986, 8.6, [N/A]\n"
    )
    cards, trouble = answer(rows)
    assert [(card.uuid, card.usable // MIB) for card in cards] == [("GPU-aaaa", 15961), ("GPU-bbbb", 11988)]
    assert trouble is None


def test_no_nvidia_smi_is_an_answer():
    assert ask(None) == ([], None)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (18, RECORDED["mismatch"]["cards"]["text"], "mismatch"),
        (255, RECORDED["lost"]["cards"]["text"], "lost"),
        (6, "No devices were found\n", "none"),
        (
            9,
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
            "NVIDIA driver is installed and running.\n",
            "not_loaded",
        ),
        (255, "Failed to initialize NVML: Unknown Error\n", "nvml"),
        (4, "Failed to initialize NVML: Insufficient Permissions\n", "forbidden"),
        (12, "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.\n", "libraries"),
        (2, 'Field "compute_cap" is not a valid field to query.\n', "old"),
        (3, "something that nobody has seen yet\n", "failed"),
    ],
)
def test_each_failure_is_told_apart(code, text, kind):
    cards, trouble = answer(text, code)
    assert cards == []
    assert trouble.kind == kind
    assert trouble.said in text
    assert trouble.said
    assert trouble.remedy


def test_a_card_that_is_lost_beside_one_that_works():
    text = (
        "Unable to determine the device handle for GPU1: 0000:34:00.0: Unknown Error\n"
        "0, GPU-aaaa, NVIDIA L40S, 610.57.04, 00000000:01:00.0, 46068, 609, 0, 45460, 8.9, [N/A]\n"
    )
    cards, trouble = answer(text)
    assert [card.uuid for card in cards] == ["GPU-aaaa"]
    assert trouble.kind == "lost"


def test_a_card_whose_values_are_errors_is_named():
    row = "0, GPU-aaaa, NVIDIA H100, 580.1, 00000000:65:00.0, 81559, 500, [GPU is lost], [GPU is lost], 9.0, [N/A]\n"
    (card,), trouble = answer(row)
    assert (card.error, card.used) == ("GPU is lost", None)
    assert trouble.kind == "lost"
    assert "00000000:65:00.0" in trouble.said


def test_every_card_whose_values_are_errors_is_named():
    row = "{}, GPU-{}, NVIDIA H100, 580.1, 00000000:{}:00.0, 81559, 500, [GPU is lost], 3, 9.0, [N/A]\n"
    _cards, trouble = answer(row.format(0, "aaaa", 65) + row.format(1, "bbbb", 66), code=15)
    assert trouble.kind == "lost"
    assert ("00000000:65:00.0" in trouble.said, "00000000:66:00.0" in trouble.said) == (True, True)


def test_a_damaged_inforom_is_a_warning_beside_cards_that_work():
    row = "0, GPU-aaaa, Tesla P100-PCIE-16GB, 550.1, 00000000:0B:00.0, 16280, 0, 0, 16280, 6.0, [N/A]\n"
    warning = "WARNING: infoROM is corrupted at gpu 0000:0B:00.0\n"
    (card,), trouble = answer(row + warning, code=14)
    assert (card.error, card.usable) == (None, 16280 * MIB)
    assert (trouble.kind, trouble.said) == (nvidia_smi.WARNING, warning.strip())


def test_what_stands_in_a_cards_row_is_no_trouble_of_the_drivers_and_not_quoted_as_such():
    row = "0, GPU-aaaa, NVIDIA L40S, 595.8, 00000000:01:00.0, 46068, [Insufficient Permissions], 0, 45460, 8.9, [N/A]\n"
    (card,), trouble = answer(row)
    assert (card.error, card.usable, trouble) == (None, 46068 * MIB, None)
    _cards, trouble = answer(row + "something new\n", code=3)
    assert (trouble.kind, trouble.said) == ("failed", "something new")


def test_a_card_that_tells_no_size_has_an_unknown_one():
    row = "0, GPU-aaaa, NVIDIA GB10, 580.95.05, 0000000F:01:00.0, [N/A], [N/A], [N/A], [N/A], 12.1, [N/A]\n"
    (card,), trouble = answer(row)
    assert (card.usable, card.as_dict()["usable"], trouble) == (None, None, None)


def test_values_that_a_card_does_not_have_are_no_trouble():
    row = "0, GPU-aaaa, NVIDIA T400, 550.1, 00000000:01:00.0, 1872, [N/A], 2, 1870, [Not Supported], [N/A]\n"
    (card,), trouble = answer(row)
    assert (card.reserved, card.compute_capability, card.usable) == (None, None, 1872 * MIB)
    assert trouble is None


def test_a_call_that_never_ends_is_given_up():
    begun = time.monotonic()
    given_up = nvidia_smi.call([sys.executable, "-c", "import time; time.sleep(60)"], patience=0.3)
    assert given_up.hung
    assert time.monotonic() - begun < 10
    assert nvidia_smi.trouble(given_up).kind == "hung"


def test_a_call_that_cannot_be_killed_is_left_behind(monkeypatch):
    """A process that waits in the kernel does not die of SIGKILL."""
    monkeypatch.setattr(subprocess.Popen, "kill", lambda _self: None)
    begun = time.monotonic()
    assert nvidia_smi.call(["sleep", "5"], patience=0.2).hung
    assert time.monotonic() - begun < 4


def test_a_program_that_is_no_program_is_a_failure():
    failed = nvidia_smi.call(["/nonexistent/nvidia-smi"])
    assert failed.code == 127
    assert isinstance(nvidia_smi.trouble(failed), Trouble)
