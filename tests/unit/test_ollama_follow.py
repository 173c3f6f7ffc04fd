# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operator sees of a job that runs on a host."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.plugin_utils.follow import (
    Lines,
    amount,
    duration,
    follow,
    progress,
)


class Screen:
    def __init__(self):
        self.lines = []

    def display(self, msg):
        self.lines.append(msg)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def answers(*batches):
    """A poll that hands out one batch of events a call and checks that the offset comes back."""
    state = {"offset": 0}

    def poll(offset):
        assert offset == state["offset"]
        state["offset"] += 1
        last = state["offset"] == len(batches)
        return {
            "finished": last,
            "events": batches[offset],
            "offset": state["offset"],
            "result": {"changed": True} if last else None,
        }

    return poll


def test_messages_are_printed_and_the_result_returned():
    screen = Screen()
    result = follow(
        screen, answers([{"t": 1, "text": "pulling"}], [], [{"t": 2, "text": "done"}]), "gpu-2", "ollama"
    )
    assert result == {"changed": True}
    assert screen.lines == [" gpu-2   ollama     pulling", " gpu-2   ollama     done"]


@pytest.mark.parametrize(("terminal", "expected"), [(True, 30), (False, 6)])
def test_progress_comes_every_two_seconds_on_a_terminal_and_every_ten_elsewhere(terminal, expected):
    screen, clock = Screen(), Clock()
    events = [{"t": second / 2, "text": "tiny", "bytes": second, "total": 200} for second in range(120)]

    def poll(offset):
        clock.now += 0.5
        return {"finished": offset == 119, "events": [events[offset]], "offset": offset + 1, "result": None}

    follow(screen, poll, "gpu", "ollama", terminal=terminal, clock=clock)
    assert abs(len(screen.lines) - expected) <= 1


def test_a_line_tells_amount_rate_and_time_left():
    clock = Clock()
    lines = Lines("gpu-2", "ollama", 2, clock)
    lines.line({"t": 0, "text": "qwen2.5-coder:14b", "bytes": 3_480_000_000, "total": 9_000_000_000})
    clock.now += 10
    line = lines.line({"t": 10, "text": "qwen2.5-coder:14b", "bytes": 4_100_000_000, "total": 9_000_000_000})
    assert line == " gpu-2   ollama     qwen2.5-coder:14b   █████░░░░░░░  4.1 of 9.0 GB   62 MB/s  79 s left"


def test_without_a_rate_nothing_is_invented():
    assert progress("a", 5, 10, None) == "a   ██████░░░░░░  5 of 10 B"


def test_a_full_bar_is_left_to_the_job_to_announce():
    assert Lines("gpu", "ollama", 0, Clock()).line({"t": 0, "text": "a", "bytes": 9, "total": 9}) is None


def test_a_download_that_starts_over_has_no_negative_rate():
    clock = Clock()
    lines = Lines("gpu", "ollama", 1.0, clock)
    lines.line({"t": 0, "text": "a", "bytes": 900, "total": 1000})
    clock.now += 2
    assert "/s" not in lines.line({"t": 5, "text": "a", "bytes": 100, "total": 1000})


def test_a_broken_connection_is_tried_again_and_the_job_followed_from_where_it_was():
    screen, clock = Screen(), Clock()
    good = answers([{"t": 1, "text": "one"}], [{"t": 2, "text": "two"}])
    calls = []

    def poll(offset):
        calls.append(offset)
        if len(calls) == 2:
            raise ConnectionError("gone")
        return good(offset)

    follow(screen, poll, "gpu", "ollama", retry_on=(ConnectionError,), clock=clock, sleep=clock.sleep)
    assert calls == [0, 1, 1]
    assert [line.split("ollama")[1].strip()[:4] for line in screen.lines] == ["one", "lost", "two"]


def test_a_connection_that_stays_broken_ends_the_wait():
    clock = Clock()

    def poll(offset):
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        follow(Screen(), poll, "gpu", "ollama", retry_on=(ConnectionError,), clock=clock, sleep=clock.sleep)
    assert 60 <= clock.now - 1000 <= 70


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.4, "0 s"), (78, "78 s"), (130, "2 min 10 s"), (3900, "1 h 5 min")]
)
def test_durations_read_as_people_say_them(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (62_000_000, "62 MB"), (9.04e9, "9.0 GB")],
)
def test_sizes_read_as_people_say_them(size, expected):
    assert amount(size) == expected
