"""Old rows of board_polls thinned in either store."""

from __future__ import annotations

from datetime import timedelta

from chancrawl.imageboards.coverage import THIN_AFTER
from chancrawl.imageboards.thinning import REACH, thin
from chancrawl.items import Poll
from chancrawl.storage.base import Store, moment
from tests.support.items import START

NOW = START + THIN_AFTER + timedelta(hours=1)
ROWS = "SELECT polled_at, looks, longest_gap FROM board_polls WHERE board = ? ORDER BY polled_at"


def poll(seconds: float, board: str = "po", gap: float = 10.0) -> Poll:
    return Poll(board, START + timedelta(seconds=seconds), int(seconds) + 1, 5, 2, gap)


def test_of_old_rows_few_stay_and_no_look_is_lost(either: Store) -> None:
    either.take_in([poll(10 * number) for number in range(300)] + [poll(0, "g"), poll(5, "g")])
    assert thin(either, "po", NOW) > 250
    rows = either.rows(ROWS, "po")
    assert len(rows) < 20 and sum(looks for _, looks, _ in rows) == 600
    assert moment(rows[0][0]) == START and moment(rows[-1][0]) == START + timedelta(seconds=2990)
    assert len(either.rows(ROWS, "g")) == 2
    assert thin(either, "po", NOW) == 0


def test_both_ends_of_a_pause_stay(either: Store) -> None:
    either.take_in([poll(0), poll(10), poll(20), poll(4000, gap=3980.0), poll(4010), poll(4020)])
    thin(either, "po", NOW + timedelta(hours=1))
    seconds = [((moment(at) or NOW) - START).total_seconds() for at, *_ in either.rows(ROWS, "po")]
    assert 20 in seconds and 4000 in seconds and 10 not in seconds


def test_rows_of_the_last_week_stay_and_so_do_those_that_were_thinned_long_ago(either: Store) -> None:
    either.take_in([poll(10 * number) for number in range(100)])
    assert thin(either, "po", START + THIN_AFTER) == 0
    assert thin(either, "po", NOW + REACH + timedelta(days=1)) == 0
    assert len(either.rows(ROWS, "po")) == 100
