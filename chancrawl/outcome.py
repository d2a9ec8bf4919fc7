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

from chancrawl.text import noted

TOLERABLE = 0.1
"""The share of a crawl's threads or accounts that may fail. The next run requests them again."""

# What was not done, by the stat that counts it: in every crawl, and in one that ended by itself.
ALWAYS = {
    "store/rejected": "rows could not be stored; `scrapy quarantine` shows them",
    "store/not_written": "rows were not written; the next run tries again",
    "spool/rows": "rows are waiting in CSV_FOLDER/spool for the database",
    "sinks/failed": "sinks failed, so that stored rows are missing there; see the log",
    "spider_exceptions/count": "answers met an error of chancrawl itself; see the log",
}
AT_THE_END = {
    "chan/indexes_unread": "lists of threads could not be read",
    "x/queries_failed": "searches were not read to the end",
    "x/places_failed": "lists of trends could not be read",
}


def incomplete(stats: Mapping[str, Any], finished: bool) -> list[str]:
    """The reasons why a crawl has not done its work, as texts; empty if it has. `finished`: it ended by itself."""

    def number(name: str) -> int:
        return int(stats.get(name) or 0)

    def share(failed: str, all_: str) -> bool:
        return number(failed) > TOLERABLE * number(all_)

    notes = ALWAYS | AT_THE_END if finished else ALWAYS
    reasons = [noted(number(stat), note) for stat, note in notes.items() if number(stat)]
    if not finished:
        return reasons
    if share("chan/threads_failed", "chan/threads_asked"):
        reasons.append(f"{number('chan/threads_failed'):,} of {number('chan/threads_asked'):,} threads failed")
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
