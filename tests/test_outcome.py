"""Whether a crawl has done its work."""

from __future__ import annotations

from typing import Any

import pytest

from chancrawl.outcome import incomplete


@pytest.mark.parametrize(
    "stats, finished, words",
    [
        ({}, True, []),
        ({"chan/threads_failed": 10, "chan/threads_asked": 100}, True, []),
        ({"chan/threads_failed": 11, "chan/threads_asked": 100}, True, ["11 of 100 threads failed"]),
        ({"chan/threads_failed": 11, "chan/threads_asked": 100}, False, []),
        ({"chan/indexes_unread": 1}, True, ["1 list of threads could not be read"]),
        ({"store/rejected": 1200}, True, ["1,200 rows could not be stored; `scrapy quarantine` shows them"]),
        ({"store/rejected": 1}, False, ["1 row could not be stored; `scrapy quarantine` shows them"]),
        ({"store/not_written": 2}, False, ["2 rows were not written; the next run tries again"]),
        ({"spool/rows": 3}, True, ["3 rows are waiting in CSV_FOLDER/spool for the database"]),
        ({"x/queries_failed": 1}, True, ["1 search was not read to the end"]),
        ({"x/places_failed": 1}, True, ["1 list of trends could not be read"]),
        ({"x/walks_failed": 1, "x/timelines": 9}, True, ["1 of 9 timelines were not read to their end"]),
        ({"x/walks_failed": 1, "x/timelines": 10}, True, []),
        ({"x/handles_failed": 2, "x/handles_asked": 3}, True, ["2 of 3 names could not be looked up"]),
        ({"spider_exceptions/count": 1}, False, ["1 answer met an error of chancrawl itself; see the log"]),
    ],
)
def test_reasons(stats: dict[str, Any], finished: bool, words: list[str]) -> None:
    assert incomplete(stats, finished) == words
