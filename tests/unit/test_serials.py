"""Numbers that grow when their file does: never twice for different files, never backwards."""

from __future__ import annotations

import hashlib
from datetime import datetime

import pytest
from ansible_collections.hearth.llm.plugins.module_utils.serials import MARK, following, of_state, settle

NOON = datetime(2026, 11, 21, 12, 0, 0)
ZONE = f"@ SOA a b ( {MARK} 1 )\n".encode()


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_the_first_number_is_the_date_and_the_part_of_the_day():
    content, number = settle(ZONE, None, None, 0, NOON)
    assert number == 2026112150
    assert content == b"@ SOA a b ( 2026112150 1 )\n"


def test_a_file_that_stays_keeps_its_number_whatever_the_day():
    first, number = settle(ZONE, None, None, 0, NOON)
    later = datetime(2027, 1, 1)
    assert settle(ZONE, sha(first), number, 0, later) == (first, number)


@pytest.mark.parametrize("now", [NOON, datetime(2020, 1, 1), datetime(2027, 1, 1)])
def test_a_file_that_changes_gets_a_higher_one_even_when_the_clock_goes_back(now):
    first, number = settle(ZONE, None, None, 0, NOON)
    assert settle(ZONE + b"new A 10.0.0.1\n", sha(first), number, 0, now)[1] > number


def test_going_back_to_what_was_goes_on_with_the_number():
    first, one = settle(ZONE, None, None, 0, NOON)
    second, two = settle(ZONE + b"new A 10.0.0.1\n", sha(first), one, 0, NOON)
    third, three = settle(ZONE, sha(second), two, 0, NOON)
    assert one < two < three
    assert third.replace(str(three).encode(), str(one).encode()) == first


def test_what_was_edited_by_hand_gets_a_higher_one():
    first, number = settle(ZONE, None, None, 0, NOON)
    assert settle(ZONE, sha(first + b"; mine\n"), number, 0, NOON)[1] == number + 1


@pytest.mark.parametrize(
    ("before", "floor"), [(None, 2025101311), (None, 2026112150), (2026112150, 2999010100)]
)
def test_it_is_above_the_serial_of_a_zone_that_is_taken_over(before, floor):
    assert following(before or 0, floor, NOON) > floor
    unchanged = ZONE.replace(MARK.encode(), str(before).encode())
    assert settle(ZONE, sha(unchanged), before, floor, NOON)[1] > floor


def test_more_changes_than_the_day_has_parts_go_on():
    assert following(2026112199, 0, datetime(2026, 11, 21, 23, 59)) == 2026112200


def test_a_stack_from_before_there_were_numbers_has_none():
    assert of_state({"format": 1}) == of_state(None) == of_state({"serials": None}) == {}
    assert of_state({"serials": {"config/a": 5}}) == {"config/a": 5}
