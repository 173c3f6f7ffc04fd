# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cards that services ask for and models that must fit them: found to be wrong before anything is touched."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import cards, catalogue, nvidia_smi
from ansible_collections.hearth.llm.plugins.module_utils.inventory import Host
from ansible_collections.hearth.llm.plugins.module_utils.models import parse_models
from ansible_collections.hearth.llm.plugins.module_utils.service_file import SpecError, read

MIB, GIB = 2**20, 2**30
ONE, TWO, PART = "GPU-aaaa-1", "GPU-bbbb-2", "MIG-cccc-3"
CSV = (
    f"0, {ONE}, NVIDIA GeForce RTX 5060 Ti, 580.95.05, 00000000:01:00.0, 16311, 350, 2, 15960, 12.0, [N/A]\n"
    f"1, {TWO}, NVIDIA GeForce RTX 3060, 580.95.05, 00000000:04:00.0, 12288, 300, 2, 11986, 8.6, [N/A]\n"
)
OPTIONS = {
    "brain_cards": {"type": "raw"},
    "brain_cache": {"type": "str", "choices": ["f16", "q8_0", "q4_0"]},
    "brain_models": {"type": "list", "elements": "raw"},
}


def spec(name):
    return read(
        name,
        f"own.{name}",
        {
            "title": name,
            "tier": "compute",
            "variables": {
                f"{name}_version": "1",
                f"{name}_cards": [],
                f"{name}_context": 8192,
                f"{name}_cache": "f16",
                f"{name}_models": [],
            },
            "images": {name: {"name": f"docker.io/own/{name}", "version": f"{name}_version"}},
            "api": {"port": 11434 if name == "brain" else 11435},
            "serves": {"api": "openai", "path": "/v1", "models": f"{name}_models"},
            "cards": {"chosen": f"{name}_cards", "context": f"{name}_context", "cache_type": f"{name}_cache"},
        },
        {key.replace("brain", name): option for key, option in OPTIONS.items()},
    )


SPECS = {name: spec(name) for name in ("brain", "eyes")}


def resolve(**hosts):
    """The platform of hosts that each run both services, with these variables."""
    found = [
        Host(
            name,
            ("compute",),
            {"stacks": ["brain", "eyes"], "address": f"10.0.0.{index}", **variables},
            tuple(variables),
        )
        for index, (name, variables) in enumerate(hosts.items(), 1)
    ]
    return catalogue.resolve(SPECS, found)


def problems(**hosts):
    return [(item.host, item.variable, item.value, item.expected) for item in resolve(**hosts).problems]


def look(text=CSV, code=0, nvidia="/usr/bin/nvidia-smi", hung=False):
    """`gpus` of a look at a host where nvidia-smi says this."""
    found, trouble = nvidia_smi.ask(nvidia, lambda _command: nvidia_smi.Said(code, text, hung))
    return {
        "nvidia_smi": nvidia,
        "cards": [card.as_dict() for card in found],
        "trouble": trouble.as_dict() if trouble else None,
    }


def looked(gpus, brain, eyes=()):
    services = resolve(gpu={"brain_cards": brain, "eyes_cards": list(eyes)}).fleet["services"]
    return cards.problems("gpu", services, gpus)


def test_services_without_cards_ask_nothing_of_the_host():
    assert problems(gpu={}) == []
    assert looked(look(nvidia=None), []) == []


@pytest.mark.parametrize("written", ["all", ["all"], ONE, [ONE, TWO], 0, [0, 1], ["0"]])
def test_cards_are_chosen_by_all_by_uuid_or_by_index(written):
    assert problems(gpu={"brain_cards": written}) == []
    assert looked(look(), written) == []


@pytest.mark.parametrize("written", ["every", ["GPU"], [ONE, "all"], [{"uuid": ONE}]])
def test_what_is_no_card_is_refused_in_the_inventory(written):
    (problem,) = problems(gpu={"brain_cards": written})
    assert "is no card: all, or a list of UUIDs" in problem[3]


def test_a_card_listed_twice_is_refused():
    assert problems(gpu={"brain_cards": [ONE, ONE]}) == [("gpu", "brain_cards[1]", ONE, "is listed twice")]


@pytest.mark.parametrize(
    ("brain", "eyes"), [([ONE], [TWO, ONE]), ("all", [TWO]), ([TWO], "all"), ("all", "all")]
)
def test_two_services_that_claim_one_card_are_refused_in_the_inventory(brain, eyes):
    (problem,) = problems(gpu={"brain_cards": brain, "eyes_cards": eyes})
    assert problem[0] == "gpu"
    assert "is also brain's (brain_cards)" in problem[3]


def test_the_same_card_name_on_two_hosts_is_two_cards():
    assert problems(gpu={"brain_cards": [0]}, other={"eyes_cards": [0]}) == []


def test_one_card_under_two_names_is_found_by_the_look():
    assert problems(gpu={"brain_cards": [ONE], "eyes_cards": [0]}) == []
    (problem,) = looked(look(), [ONE], [0])
    assert (problem.variable, problem.value) == ("eyes_cards", "0")
    assert "is also brain's (brain_cards)" in problem.expected


def test_a_card_that_is_not_there_is_named_beside_those_that_are():
    (problem,) = looked(look(), ["GPU-dddd-4"])
    assert (problem.host, problem.variable, problem.value) == ("gpu", "brain_cards", "GPU-dddd-4")
    assert problem.expected == (
        f"is no card of this host, which has 0: {ONE} (NVIDIA GeForce RTX 5060 Ti); 1: {TWO} (NVIDIA GeForce RTX 3060)"
    )


def test_a_host_without_a_driver_is_told_how_to_get_one_or_do_without():
    (problem,) = looked(look(nvidia=None), "all")
    assert "there is no nvidia-smi" in problem.expected
    assert problem.remedy.endswith("or brain_cards: []")
    assert "cuda-keyring" in problem.remedy, "Debian 12's own driver is older than what gpu_check wants"


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        (look("Failed to initialize NVML: Driver/library version mismatch\n", 18), "different versions"),
        (look("No devices were found\n", 6), "finds no card"),
        (look(hung=True, text=""), "does not come back"),
    ],
)
def test_a_driver_in_trouble_is_reported_with_its_remedy(gpus, said):
    (problem,) = looked(gpus, [ONE])
    assert said in problem.expected
    assert problem.remedy


def test_a_lost_card_is_nobodys_concern_who_does_not_ask_for_it():
    gpus = look(
        "Unable to determine the device handle for GPU1: 0000:04:00.0: Unknown Error\n"
        + CSV.split("\n", maxsplit=1)[0]
    )
    assert looked(gpus, [ONE]) == []
    assert len(looked(gpus, "all")) == 1
    assert len(looked(gpus, [ONE, TWO])) == 1


@pytest.mark.parametrize("written", [[TWO], [1], "all"])
def test_a_lost_card_that_is_asked_for_is_reported_with_what_is_meant(written):
    gpus = look(CSV.replace(", 12288, 300, 2, 11986,", ", [GPU is lost], [GPU is lost], 2, [GPU is lost],"))
    (problem,) = looked(gpus, written)
    assert problem.expected.startswith("a card does not answer any more")
    assert "00000000:04:00.0" in problem.expected
    assert "dmesg | grep -i xid" in problem.remedy
    assert looked(gpus, [ONE]) == []


def test_a_damaged_inforom_is_in_nobodys_way():
    gpus = look("WARNING: infoROM is corrupted at gpu 0000:01:00.0\n" + CSV, code=14)
    assert looked(gpus, "all") == looked(gpus, [ONE]) == []
    (problem,) = looked(gpus, ["GPU-dddd-4"])
    assert problem.expected.startswith("is no card of this host")


def test_cards_that_the_engine_cannot_hand_over_are_reported_where_the_toolkit_is_the_operators():
    services = resolve(gpu={"brain_cards": [ONE]}).fleet["services"]
    whole = {"engine": {"version": "26.1.5"}, "gpus": {**look(), "hook": None, "cdi": None}}
    (problem,) = cards.unreachable("gpu", services, whole)
    assert (problem.variable, problem.value) == ("brain_cards", f'["{ONE}"]')
    assert problem.remedy.startswith(
        "host_manage_gpu: true, then playbooks/deploy-stacks.yml, which adds NVIDIA's"
    )
    assert "apt install" not in problem.remedy, "no archive of a distribution's has it"
    whole["gpus"]["hook"] = "/usr/bin/nvidia-container-runtime-hook"
    assert cards.unreachable("gpu", services, whole) == []


def service(chosen, models=()):
    platform = resolve(gpu={"brain_cards": chosen, "brain_models": list(models)})
    return platform.fleet["services"][0]


@pytest.mark.parametrize(
    ("chosen", "mib"), [("all", [15961, 11988]), ([1], [11988]), ([TWO, ONE], [11988, 15961])]
)
def test_the_room_is_that_of_the_chosen_cards(chosen, mib):
    assert [size // MIB for size in cards.room(service(chosen), look(), 64 * GIB)] == mib


def test_a_card_that_shares_the_machines_memory_has_the_machines_room():
    row = f"0, {ONE}, NVIDIA GB10, 580.95.05, 0000000F:01:00.0, [N/A], [N/A], [N/A], [N/A], 12.1, [N/A]\n"
    assert looked(look(row), "all") == []
    assert cards.room(service("all"), look(row), 119 * GIB) == [119 * GIB]


def divided(*profiles, total=143771, reserved=623):
    """A look at a card with these parts; H200's sizes."""
    row = (
        f"0, {ONE}, NVIDIA H200, 610.43.02, 00000000:83:00.0, {total}, {reserved}, 44, 143105, 9.0, Enabled\n"
    )
    listed = f"GPU 0: NVIDIA H200 (UUID: {ONE})\n" + "".join(
        f"  MIG {profile}     Device  {place}: (UUID: {PART}{place})\n"
        for place, profile in enumerate(profiles)
    )
    found, _trouble = nvidia_smi.ask(
        "/usr/bin/nvidia-smi", lambda command: nvidia_smi.Said(0, listed if command[1] == "-L" else row)
    )
    return {**look(), "cards": [card.as_dict() for card in found]}


def test_the_room_of_a_part_is_its_share_and_no_more_than_its_profiles_name():
    gpus = divided("1g.18gb", "2g.35gb", "3g.71gb")
    parts = [f"{PART}{place}" for place in range(3)]
    for chosen in ("all", parts):
        assert [size // MIB for size in cards.room(service(chosen), gpus, GIB)] == [17348, 35319, 71262]
        assert looked(gpus, chosen) == []
    (whole,) = cards.room(service("all"), divided("7g.141gb"), GIB)
    assert whole == (143771 - 623) * MIB, "more than the whole card has nobody"
    (part,) = cards.room(service("all"), divided("1g.10gb+me", total=81920, reserved=0), GIB)
    assert part == 10 * GIB


@pytest.mark.parametrize("written", [ONE, 0])
def test_a_divided_card_is_chosen_by_its_parts(written):
    (problem,) = looked(divided("3g.71gb", "3g.71gb"), [written], [f"{PART}1"])
    assert (problem.variable, problem.value) == ("brain_cards", str(written))
    assert problem.expected == f"is divided: name one of its parts, {PART}0 (3g.71gb), {PART}1 (3g.71gb)"
    (problem,) = looked(divided("3g.71gb", "3g.71gb"), [f"{PART}1"], [written])
    assert problem.variable == "eyes_cards"


@pytest.mark.parametrize("written", [[ONE], [0], "all"])
def test_a_divided_card_without_parts_can_be_had_by_nobody(written):
    (problem,) = looked(divided(), written)
    assert problem.expected.startswith("is divided and has no parts")
    assert "nvidia-smi mig -i 0 -cgi PROFILE -C" in problem.remedy
    assert "nvidia-smi -i 0 -mig 0" in problem.remedy


def test_two_parts_of_a_card_are_two_services():
    assert looked(divided("3g.71gb", "3g.71gb"), [f"{PART}0"], [f"{PART}1"]) == []


def test_a_card_that_one_service_names_twice_is_reported_and_counts_once():
    (problem,) = looked(look(), [0, 1, ONE])
    assert (problem.variable, problem.value) == ("brain_cards", ONE)
    assert problem.expected == "is the same card as 0"
    assert [size // MIB for size in cards.room(service([0, 1, ONE]), look(), GIB)] == [15961, 11988]


ROW = {"fits": False, "source": "registry", "message": "needs 21.4 GiB", "remedy": "a smaller one"}


def models(*items):
    found, wrong = parse_models(list(items))
    assert not wrong
    return found


def test_a_model_that_does_not_fit_is_a_problem_unless_it_was_accepted():
    wanted = models("big", {"name": "huge", "spill": True})
    (problem,) = cards.misfits("gpu", "brain_models", wanted, [ROW, ROW])
    assert (problem.variable, problem.value, problem.expected) == ("brain_models", "big", "needs 21.4 GiB")


def test_what_nobody_can_know_is_no_problem_but_a_file_of_ones_own_must_be_readable():
    unknown = {**ROW, "fits": None, "source": "", "message": "nothing is known of its size: cut off"}
    wanted = models("big", {"name": "mine", "source": "gguf", "path": "mine.gguf"})
    (problem,) = cards.misfits("gpu", "brain_models", wanted, [unknown, unknown])
    assert (problem.variable, problem.value) == ("brain_models: mine", "mine.gguf")


def test_spill_is_true_or_false():
    _found, (wrong,) = parse_models([{"name": "big", "spill": "yes please"}])
    assert (wrong["where"], wrong["expected"]) == ("[0].spill", "true or false")


def test_an_unknown_cache_type_is_refused_in_the_inventory():
    (problem,) = resolve(gpu={"brain_cache": "q5_1"}).problems
    assert problem.variable == "brain_cache"
    assert "f16, q8_0, q4_0" in problem.expected + problem.remedy


SHA, OTHER = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("here", "there", "key"),
    [
        ({"name": "m", "digest": SHA}, {"name": "m:latest", "digest": OTHER}, "digest"),
        ({"name": "m", "from": "qwen2.5:7b"}, {"name": "m", "from": "qwen2.5:14b"}, "from"),
        ({"name": "m", "from": "m2"}, {"name": "m", "source": "gguf", "path": "m.gguf"}, "source"),
        (
            {"name": "m", "source": "gguf", "path": "a.gguf"},
            {"name": "M", "source": "gguf", "path": "b.gguf"},
            "path",
        ),
    ],
)
def test_one_name_for_two_models_on_two_hosts_is_refused(here, there, key):
    (problem,) = problems(gpu={"brain_models": [here]}, other={"brain_models": [there]})
    assert problem[:2] == ("other", f"brain: {there['name']}.{key}")
    assert "gpu has" in problem[3]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("m", "m:latest"),
        ({"name": "m", "digest": SHA}, {"name": "m", "digest": SHA[:12]}),
        ({"name": "m", "digest": SHA}, "m"),
        ({"name": "m", "parameters": {"num_ctx": 4096}}, {"name": "m", "parameters": {"num_ctx": 8192}}),
        (
            {"name": "m", "source": "gguf", "path": "a.gguf", "digest": SHA},
            {"name": "m", "source": "gguf", "path": "b.gguf", "digest": SHA},
        ),
    ],
)
def test_the_same_model_may_be_written_in_different_words(here, there):
    assert problems(gpu={"brain_models": [here]}, other={"brain_models": [there]}) == []


def test_a_service_yml_may_only_name_variables_that_it_has():
    with pytest.raises(SpecError, match="cards.chosen names x_gpus, not in variables"):
        read("x", "own.x", {"title": "x", "tier": "compute", "cards": {"chosen": "x_gpus"}}, {})
