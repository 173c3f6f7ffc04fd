"""Somebody writes all the time while both hosts save. In what is restored, every row's file and vectors are there."""

from __future__ import annotations

import threading
from types import TracebackType

import pytest

from .people import People

pytestmark = pytest.mark.lab


def words(number: int) -> str:
    return f"Document number {number} tells of {number * 7919} herons."


class Writer(threading.Thread):
    """Uploads a document after the other, and deletes the oldest of those that are there."""

    def __init__(self, people: People, kept: int = 4) -> None:
        super().__init__()
        self.people = people
        self.me = people.signs_in()
        self.kept = kept
        self.written: dict[str, str] = {}
        self.failed: list[str] = []
        self._more = threading.Event()
        self._end = threading.Event()

    def __enter__(self) -> Writer:
        self.start()
        assert self._more.wait(300), self.failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self.join()

    def run(self) -> None:
        there: list[str] = []
        number = 0
        while not self._end.is_set():
            number += 1
            try:
                one = self.people.uploads(self.me, f"doc-{number}.txt", words(number))
                self.written[one] = words(number)
                there.append(one)
                if len(there) > self.kept:
                    self.people.good("chat", f"/api/v1/files/{there.pop(0)}", None, "DELETE", **self.me)
                    self._more.set()
            except (AssertionError, OSError) as problem:
                self.failed.append(str(problem))


def test_every_reference_resolves_in_what_was_saved_while_somebody_wrote(people: People) -> None:
    with Writer(people) as writer:
        run = people.play("backup").succeeded()
    assert not writer.failed, "a request waits for the moment, and is answered"
    assert "openwebui, qdrant on gpu-1: copied as of one moment; nobody wrote to them for" in run.output
    newest = [
        max(row["time"] for row in people.snapshots(host) if row["service"] == service)
        for host, service in (("edge", "openwebui"), ("gpu-1", "qdrant"))
    ]
    assert newest[0] == newest[1]
    assert 0 < people.status("edge")["services"]["openwebui"]["run"]["held_seconds"] < 60

    both = "openwebui,qdrant"
    people.play("restore", "-e", f"service={both}", "-e", f"confirm={both}").succeeded()

    me = people.signs_in()
    found = people.good("chat", "/api/v1/files/?content=false", **me)["items"]
    mine = {row["id"]: row for row in found if row["id"] in writer.written}
    read = {one for one, row in mine.items() if "collection_name" in row["meta"]}
    assert len(mine) < len(writer.written), "it is of the midst of the writing"
    for one in mine:
        status, text = people.ask("chat", f"/api/v1/files/{one}/content", **me)
        assert (status, text) == (200, writer.written[one].encode())
    # The moment may find a document that is being read: it says so of itself, and refers to no vectors.
    assert len(read) >= writer.kept - 1
    unread = [mine[one]["data"]["status"] for one in mine.keys() - read]
    assert unread in ([], ["pending"], ["processing"])
    for one in read:
        assert people.finds(me, [one], "How many herons?") == writer.written[one]
