# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs that outlive whoever started them."""

from __future__ import annotations

import os
import signal
import time

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import jobs


def finish(directory, job, offset=0):
    """Every event and the result of a job, read as a controller does."""
    events = []
    while True:
        answer = jobs.read(directory, job, offset, 2)
        events += answer["events"]
        offset = answer["offset"]
        if answer["finished"]:
            return events, answer["result"]


def test_a_job_tells_what_it_does_and_what_came_of_it(tmp_path):
    def work(journal):
        journal.say("half way", "step")
        return {"sum": 5}

    events, result = finish(tmp_path, jobs.start(tmp_path, work))
    assert [(event["text"], event["step"]) for event in events] == [("half way", "step")]
    assert result == {"sum": 5}
    assert jobs.running(tmp_path) is None


def test_a_job_is_no_child_of_its_starter_and_has_a_session_of_its_own(tmp_path):
    def work(journal):
        return {"parent": os.getppid(), "session": os.getsid(0)}

    _events, result = finish(tmp_path, jobs.start(tmp_path, work))
    assert result["parent"] != os.getpid()
    assert result["session"] != os.getsid(0)


def test_a_second_job_does_not_start_beside_the_first(tmp_path):
    go = tmp_path / "go"

    def work(journal):
        while not go.exists():
            time.sleep(0.02)

    first = jobs.start(tmp_path, work)
    assert jobs.running(tmp_path) == first
    with pytest.raises(jobs.JobRunning) as caught:
        jobs.start(tmp_path, work)
    assert caught.value.id == first
    go.touch()
    finish(tmp_path, first)
    assert jobs.start(tmp_path, work) != first


def test_a_killed_job_is_finished_and_says_so(tmp_path):
    def work(journal):
        journal.say(str(os.getpid()))
        time.sleep(60)

    job = jobs.start(tmp_path, work)
    answer = jobs.read(tmp_path, job, 0, 5)
    os.kill(int(answer["events"][0]["text"]), signal.SIGKILL)
    _events, result = finish(tmp_path, job, answer["offset"])
    assert "killed" in result["error"]


def test_an_unexpected_error_becomes_the_result(tmp_path):
    def work(journal):
        raise RuntimeError("no such luck")

    _events, result = finish(tmp_path, jobs.start(tmp_path, work))
    assert result == {"error": "RuntimeError: no such luck"}
    assert "no such luck" in (tmp_path / "runner.log").read_text()


def test_a_job_that_was_replaced_is_over(tmp_path):
    first = jobs.start(tmp_path, lambda journal: 1)
    finish(tmp_path, first)
    second = jobs.start(tmp_path, lambda journal: 2)
    finish(tmp_path, second)
    assert "another job" in jobs.read(tmp_path, first, 0, 0)["result"]["error"]


def test_of_a_growing_amount_only_the_newest_is_told(tmp_path):
    job = jobs.Job(str(tmp_path))
    journal = jobs.Journal(job)
    journal.amount("tiny", 1, 10)
    journal.amount("tiny", 2, 10)  # too soon after the first
    journal._amounts.clear()
    journal.amount("tiny", 3, 10)
    journal.say("done")
    assert len((tmp_path / "progress.jsonl").read_text().splitlines()) == 3
    events, _offset = job.events(0)
    assert [event.get("bytes") for event in events] == [3, None]
