"""Imageboards as a source: see `sources.Source`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from scrapy.crawler import Crawler

from chancrawl.frames import BoardProgress, Rate, duration
from chancrawl.imageboards.client import source_of
from chancrawl.imageboards.fourchan import FOURCHAN
from chancrawl.imageboards.kinds import KINDS
from chancrawl.imageboards.ledger import BoardLedger
from chancrawl.imageboards.site import Site
from chancrawl.items import Post
from chancrawl.payload import dumps
from chancrawl.storage.quarantine import Quarantine
from chancrawl.text import counted


class Imageboards:
    """The source for imageboards; 4chan is the only one so far."""

    site: ClassVar[Site] = FOURCHAN

    name = "imageboards"
    spiders = ("chan",)
    kinds = KINDS
    attention: ClassVar[Mapping[str, str]] = {
        "chan/indexes_failed": "indexes could not be fetched or read",
        "chan/unwatched": "pauses of more than ten minutes in following a board; see scrapy coverage",
        "chan/indexes_not_believed": "indexes ignored as implausible, with far fewer threads than before",
        "chan/threads_failed": "threads could not be fetched; the next run tries again",
        "chan/threads_vanished": "threads were gone before a first reading",
    }

    def __init__(self, crawler: Crawler) -> None:
        self.ledger = BoardLedger.of(crawler)
        self.accept, self.committed, self.reject = self.ledger.accept, self.ledger.committed, self.ledger.reject
        self.quarantine = Quarantine.of(crawler)
        self.url = source_of(crawler, self.site)
        self.stats = crawler.stats
        self.rate = Rate()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def describe(self, item: Any) -> None:
        """Fill the columns of a post from its `raw`. A post with unreadable keys also goes to the quarantine."""
        if isinstance(item, Post) and (problems := self.site.describe(item)):
            path = self.site.thread_path(item.board, item.thread_no)
            self.quarantine.set_aside(self.url + path, dumps(item.raw).encode(), "; ".join(problems))

    def counts(self, spider: str) -> Mapping[str, str]:
        return {
            "chan/boards": "board",
            "items/thread": "thread",
            "items/post": "post",
            "items/revision": "revision",
            "items/deletion": "deletion",
        }

    def cost(self) -> str:
        return ""

    def boards(self) -> Iterable[BoardProgress]:
        return self.ledger.progress()

    def numbers(self) -> Sequence[str]:
        boards = list(self.boards())
        if boards:
            lags = sorted(board.lag for board in boards)
            backlog = sum(board.backlog for board in boards)
            middle, most = duration(lags[len(lags) // 2]), duration(lags[-1])
            followed = f"{counted(len(boards), 'board')} followed"
            return [f"{followed}, {middle} behind in the middle and {most} at most; {backlog:,} threads to read"]
        due, asked = (self.stats.get_value(f"chan/threads_{name}", 0) for name in ("due", "asked"))
        if not due:
            return []
        rate = self.rate.at(time.monotonic(), asked)
        left = f", about {duration(60 * (due - asked) / rate)} left of this board" if rate and asked < due else ""
        return [f"{asked:,} of {due:,} threads asked for{left}"]
