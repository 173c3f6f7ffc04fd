"""Killed at any moment: completed or undone without hand work, by the engine itself, the next run or the next boot."""

from __future__ import annotations

import pytest

from .conftest import STATE, finished, kill_group, seeded

pytestmark = pytest.mark.lab

STEPS = ("staged", "checked", "pulled", "kept", "placed", "up", "healthy", "committed")
VICTIMS = ("worker", "engine", "all")
MOMENTS = 20


@pytest.fixture(scope="module")
def words(platform):
    """Names for versions, and the last good one; each test leaves its own behind as the next one's previous."""
    platform.words(word="zero").succeeded()
    return {"last": "zero", "count": 0}


def killed(platform, words, moment, victim):
    """One change, killed; what stands afterwards is whole, answers, and heals. Returns where it was killed."""
    words["count"] += 1
    previous, bad, good = words["last"], f"bad{words['count']}", f"good{words['count']}"
    with platform.killer(moment, victim) as done:
        run = platform.words(word=bad)
    platform.quiet()
    if victim == "worker" and done["left"]:  # at the very beginning there is no second process yet
        assert not platform.unfinished(), "what the worker left half done was not brought to an end"
        platform.answers()
        assert platform.version() in (previous, bad)
        assert (platform.version() == bad) == (run.code == 0), run.output
    elif words["count"] % 2:
        # As the boot does; on a host that is not booted the next run does the same.
        platform.host(f"python3 {STATE}/engine.py recover {STATE}")
        assert not platform.unfinished()
        platform.answers()
        assert platform.version() in (previous, bad)
    platform.heals(good)
    words["last"] = good
    return done


@pytest.mark.parametrize(
    ("step", "phase", "victim"),
    [
        (step, phase, ("worker", "all")[(number + (phase == "done")) % 2])
        for number, step in enumerate(STEPS)
        for phase in ("begin", "done")
    ],
)
def test_killed_at_a_step_of_the_journal(platform, words, step, phase, victim):
    print(step, phase, victim, killed(platform, words, f"{step}:{phase}", victim))


def test_killed_at_twenty_moments_spread_over_a_change(platform, words):
    chance = seeded(5)
    platform.words(word="measured").succeeded()
    words["last"] = "measured"
    seconds = duration(platform)
    for number in range(MOMENTS):
        moment = seconds * (number + chance.random()) / MOMENTS
        victim = chance.choice(VICTIMS)
        done = killed(platform, words, f"{moment:.3f}", victim)
        print(f"{moment:.3f} s of {seconds:.1f}, {victim}: {done}")


def duration(platform) -> float:
    """Seconds that the last change of `words` took on the host."""
    program = (
        "import glob, json; f = max(glob.glob('%s/transactions/words/*/journal.jsonl'));"
        "t = [json.loads(line)['t'] for line in open(f)]; print(t[-1] - t[0])"
    )
    return float(platform.host(f'python3 -c "{program % STATE}"'))


@pytest.mark.parametrize("step", ["checked", "up", "healthy"])
def test_sigkill_of_ansible_leaves_the_change_to_the_host(zero, step):
    process = zero.start("--tags", "words", *zero.chosen(word="alone"))
    zero.wait_for_step(step)
    kill_group(process)
    zero.quiet()
    assert zero.version() == "alone"
    zero.answers()
    zero.heals("good")


def test_two_operators_at_once(zero):
    """Two changes of one service: each is whole, the later one stands, and the second says for what it waits."""
    runs = [zero.start("--tags", "words", *zero.chosen(word=word)) for word in ("left", "right")]
    ended = [finished(process) for process in runs]
    assert [run.code for run in ended] == [0, 0], "\n".join(run.output for run in ended)
    assert zero.version() in ("left", "right")
    assert any("waits for words to end" in run.output for run in ended), "\n".join(
        run.output for run in ended
    )
    zero.answers()
    zero.heals("good")


def test_of_two_operators_the_one_with_the_bad_change_loses(zero):
    bad = zero.start("--tags", "words", *zero.chosen(word="bad", sign="false"))
    zero.wait_for_step("up")
    good = zero.words(word="good").succeeded()
    assert finished(bad).code != 0
    assert "waits for words to end" in good.output
    assert zero.version() == "good"
    zero.heals("good")
