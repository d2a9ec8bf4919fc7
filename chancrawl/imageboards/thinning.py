"""Thins old rows of board_polls. A year has millions of rows, and coverage needs only one row in ten minutes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from chancrawl.imageboards.coverage import THIN_AFTER, thinned
from chancrawl.items import Poll
from chancrawl.storage.base import Store, marks, moment, parts

REACH = timedelta(days=30)
"""How far back old rows are read. Rows that are older were thinned by an earlier call."""

OLD = """
SELECT polled_at, newest_no, threads, looks, longest_gap FROM board_polls
WHERE board = ? AND polled_at >= ? AND polled_at < ? ORDER BY polled_at
"""
CHANGE = "UPDATE board_polls SET looks = ?, longest_gap = ? WHERE board = ? AND polled_at = ?"
REMOVE = "DELETE FROM board_polls WHERE board = ? AND polled_at IN ({})"


def thin(store: Store, board: str, now: datetime | None = None) -> int:
    """Thin the old rows of a board. Returns the number of removed rows. Blocks."""
    until = (now or datetime.now(UTC)) - THIN_AFTER
    rows = store.rows(OLD, board, until - REACH, until)
    polls = [Poll(board, at, *rest) for polled_at, *rest in rows if (at := moment(polled_at))]
    keys = dict(zip((poll.polled_at for poll in polls), (row[0] for row in rows), strict=True))
    changed, gone = thinned(polls)
    if gone:
        store.write(_statements(board, changed, gone, keys))
    return len(gone)


def _statements(
    board: str, changed: list[Poll], gone: list[Poll], keys: dict[datetime, Any]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for poll in changed:
        yield CHANGE, (poll.looks, poll.longest_gap, board, keys[poll.polled_at])
    for some in parts(keys[poll.polled_at] for poll in gone):
        yield REMOVE.format(marks(some)), (board, *some)
