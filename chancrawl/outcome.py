"""Decides whether a crawl has done its work. Sans I/O.

The parsers, readers and stores of this project follow four rules:

- Nothing counts as finished, gone or complete unless an answer shows it. After an answer that is unreadable, empty or
  an error, the data is still to be read: it is tried again a limited number of times, and a failure is logged
  (x/reader.py, imageboards/one_pass.py, imageboards/monitor.py).
- A refusal can have any status, content type, body or redirection (http.py, x/access.py).
- State is never ahead of the data, for whatever reason a row was not stored (storage/held_back.py).
- A run that could not do its work has another finish reason and exit code than one that could (this module).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOLERABLE = 0.1
"""The share of a crawl's threads or accounts that may fail. The next run requests them again."""


def incomplete(stats: Mapping[str, Any], finished: bool) -> list[str]:
    """The reasons why a crawl has not done its work, as texts; empty if it has. `finished`: it ended by itself."""

    def number(name: str) -> int:
        return int(stats.get(name) or 0)

    def share(failed: str, all_: str) -> bool:
        return number(failed) > TOLERABLE * number(all_)

    reasons = []
    if number("store/rejected"):
        reasons.append(f"{number('store/rejected'):,} rows could not be stored; `scrapy quarantine` shows them")
    if number("store/not_written"):
        reasons.append(f"{number('store/not_written'):,} rows were not written; the next run fetches them again")
    if number("spool/rows"):
        reasons.append(f"{number('spool/rows'):,} rows wait in CSV_FOLDER/spool for the database")
    if number("sinks/failed"):
        reasons.append(f"{number('sinks/failed'):,} sinks failed, and lack rows that are stored; see the log")
    if number("spider_exceptions/count"):
        reasons.append(f"{number('spider_exceptions/count'):,} answers met an error of chancrawl itself; see the log")
    if not finished:
        return reasons
    if number("chan/indexes_unread"):
        reasons.append(f"{number('chan/indexes_unread'):,} lists of threads could not be read")
    if share("chan/threads_failed", "chan/threads_asked"):
        reasons.append(f"{number('chan/threads_failed'):,} of {number('chan/threads_asked'):,} threads failed")
    if number("x/queries_failed"):
        reasons.append(f"{number('x/queries_failed'):,} searches were not read to their end")
    if number("x/places_failed"):
        reasons.append(f"{number('x/places_failed'):,} lists of trends could not be read")
    if share("x/walks_failed", "x/timelines"):
        reasons.append(
            f"{number('x/walks_failed'):,} of {number('x/timelines'):,} timelines were not read to their end"
        )
    if share("x/timelines_empty", "x/timelines"):
        reasons.append(
            f"{number('x/timelines_empty'):,} of {number('x/timelines'):,} timelines were empty, although their "
            "accounts have posts"
        )
    if share("x/handles_failed", "x/handles_asked"):
        reasons.append(f"{number('x/handles_failed'):,} of {number('x/handles_asked'):,} names could not be looked up")
    return reasons
