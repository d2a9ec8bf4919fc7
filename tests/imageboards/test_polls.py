"""Rows of board_polls from readings of index files."""

from __future__ import annotations

from datetime import timedelta

from chancrawl.imageboards.polls import EVERY, PollRows
from chancrawl.items import Poll
from tests.support.items import START


def test_the_first_look_is_a_row_without_a_gap() -> None:
    assert PollRows("po").observed(START, 7, 3) == [Poll("po", START, 7, 3, 1, None)]


def test_looks_of_ten_seconds_make_one_row_with_their_longest_gap() -> None:
    rows = PollRows("po")
    rows.observed(START, 7, 3)
    found = [rows.observed(START + timedelta(seconds=second), second, 3) for second in (2, 3, 9, 10)]
    assert found[:3] == [[], [], []]
    assert found[3] == [Poll("po", START + EVERY, 10, 3, 4, 6.0)]
    assert rows.observed(START + timedelta(seconds=11), 11, 3) == []


def test_a_pause_is_the_gap_of_the_row_that_ends_it() -> None:
    rows = PollRows("po")
    rows.observed(START, 7, 3)
    (row,) = rows.observed(START + timedelta(hours=1), None, 0)
    assert (row.longest_gap, row.looks, row.newest_no) == (3600.0, 1, None)


def test_a_clock_that_is_set_back_stops_no_row() -> None:
    rows = PollRows("po")
    rows.observed(START, 7, 3)
    (row,) = rows.observed(START - timedelta(hours=1), 8, 3)
    assert row.polled_at == START - timedelta(hours=1)
