"""The coverage of boards as a table: a row an hour."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chancrawl.exports.columns import Column, Type
from chancrawl.exports.tables import Filters
from chancrawl.imageboards.coverage import Hour, between
from chancrawl.imageboards.stored_coverage import boards_of, coverage_of
from chancrawl.storage.base import Store

ABOUT = "an hour of a board: how many posts were made, are stored, were deleted, are missing"
TAKES = {"board", "since", "until"}

COLUMNS = [
    Column("board", Type.TEXT),
    Column("hour", Type.TIME),
    Column("issued", Type.INTEGER, about="How many post numbers the board gave."),
    Column("held", Type.INTEGER, about="How many of these posts are stored."),
    Column("deleted", Type.INTEGER, about="How many of the stored posts were deleted later."),
    Column("missing", Type.INTEGER, about="How many are not stored."),
    Column("removed", Type.INTEGER, about="How many were stored and removed since, by law or by age."),
    Column("intervals", Type.JSON, about="The missing numbers: [[first, last], …]; none if posts were removed."),
    Column("median_seconds", Type.NUMBER, about="Median of the delay from a post's time until it was seen."),
    Column("p95_seconds", Type.NUMBER, about="Its 95th percentile."),
    Column("unwatched_seconds", Type.NUMBER, about="How long no crawl watched the board."),
]


def hours_of(store: Store, filters: Filters) -> Iterator[tuple[str, Hour]]:
    """The hours of the chosen boards, each with its board."""
    for board in filters.boards or boards_of(store):
        coverage = between(coverage_of(store, board, filters.since, filters.until), filters.since, filters.until)
        for hour in coverage.hours:
            yield board, hour


def rows(store: Store, filters: Filters) -> Iterator[tuple[Any, ...]]:
    for board, hour in hours_of(store, filters):
        yield (
            board, f"{hour.start:%Y-%m-%dT%H:%M:%S}.000000Z", hour.issued, hour.held, hour.deleted, hour.missing_count,
            hour.removed, json.dumps(hour.missing), hour.delay(0.5), hour.delay(0.95), hour.unwatched.total_seconds(),
        )  # fmt: skip
