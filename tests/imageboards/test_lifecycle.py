"""What becomes of threads, and which lists of threads can be whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chancrawl.imageboards.diff import Observation
from chancrawl.imageboards.lifecycle import Plausibility, fate, left_archive
from chancrawl.items import Board, Thread

START = datetime(2026, 11, 21, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    "has_archive, position, bumped, unseen_for, became",
    [
        (False, 10, 0, DAY, "deleted"),
        (False, 10, 100, DAY, "deleted"),
        (False, 140, 9, DAY, "deleted"),
        (False, 140, 10, DAY, "pruned"),
        (False, 149, 1, DAY, "pruned"),
        (False, None, 0, DAY, "pruned"),
        (True, 149, 1, HOUR, "deleted"),  # had it fallen off, its page would be in the archive
        (True, 149, 1, 2 * DAY, "pruned"),  # it may have left the archive too
        (True, 10, 100, 2 * DAY, "deleted"),
    ],
)
def test_fates_of_threads_that_are_gone(
    has_archive: bool, position: int | None, bumped: int, unseen_for: timedelta, became: str
) -> None:
    board = Board("po", has_archive=has_archive, pages=10, per_page=15)
    assert fate(board, position, bumped, 150, unseen_for) == became


def test_on_a_board_that_is_not_full_the_last_thread_can_have_fallen_off() -> None:
    board = Board("po", pages=10, per_page=15)
    assert fate(board, 29, 1, 30, DAY) == "pruned" and fate(board, 29, 1, 100, DAY) == "deleted"


def seen(minute: int, body: str) -> Observation:
    return Observation(START + timedelta(minutes=minute), None, body)


def test_a_short_list_is_ignored_until_it_stays_short() -> None:
    lists = Plausibility()
    assert lists.accepts("index", 75, 150, seen(0, "a"))
    assert not lists.accepts("index", 3, 150, seen(1, "b"))
    assert not lists.accepts("index", 3, 150, seen(6, "c"))
    assert not lists.accepts("index", 3, 150, seen(12, "c"))  # the same version a second time proves nothing
    assert not lists.accepts("archive", 3, 150, seen(12, "d"))  # of another file
    assert lists.accepts("index", 3, 150, seen(12, "d"))
    assert lists.accepts("index", 150, 150, seen(13, "e"))
    assert not lists.accepts("index", 3, 150, seen(40, "f"))  # it begins anew


@pytest.mark.parametrize(
    "archived_at, listed, fate_",
    [
        ({5: 1, 6: 2, 7: 3}, [6, 7], "pruned"),  # the first one expires first
        ({5: 2, 6: 1, 7: 3}, [6, 7], "deleted"),
        ({5: 2, 6: 1, 7: 3}, [5, 6, 7], "archived"),
        ({5: 2, 6: 1, 7: 3}, [7], "pruned"),
        ({5: 1, 4: 9}, [4], "pruned"),  # opened earlier, archived later
        ({5: 1, 3: None}, [3], "deleted"),
        ({5: 1}, [3, 9], "deleted"),
        ({5: 1}, [9], "pruned"),
        ({5: 1, 6: 1}, [6], "pruned"),
    ],
)
def test_fates_of_threads_that_left_the_archive(
    archived_at: dict[int, int | None], listed: list[int], fate_: str
) -> None:
    stored = {
        no: Thread("po", no, archived_at=None if minute is None else START + timedelta(minutes=minute))
        for no, minute in archived_at.items()
    }
    assert left_archive(stored[5], listed, stored) == fate_
