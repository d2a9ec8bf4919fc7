"""Rows of board_polls, which record when a board was watched. Sans I/O."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from chancrawl.items import Poll

EVERY = timedelta(seconds=10)
"""The least time between two rows of a board."""


class PollRows:
    """Combines the observations of a board's index files into rows."""

    def __init__(self, board: str) -> None:
        self.board = board
        self._observed_at: datetime | None = None
        self._row = self._begin(datetime.fromtimestamp(0, UTC))

    def _begin(self, at: datetime) -> Poll:
        return Poll(self.board, at, newest_no=None, threads=0, looks=0, longest_gap=None)

    def observed(self, at: datetime, newest_no: int | None, threads: int) -> list[Poll]:
        """Count an observation of an index file at the server's time `at`. Returns a row if one is due."""
        before, row = self._observed_at, self._row
        self._observed_at = at
        row.looks += 1
        if before is not None:
            row.longest_gap = max(row.longest_gap or 0.0, (at - before).total_seconds())
            if abs(at - row.polled_at) < EVERY:
                return []
        self._row = self._begin(at)
        return [replace(row, polled_at=at, newest_no=newest_no, threads=threads)]
