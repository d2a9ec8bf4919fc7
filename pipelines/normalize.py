"""Fills the columns that follow from `raw`, and the sentiment of English posts where it is asked for."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Self

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from chancrawl.errors import UserError
from chancrawl.imageboards import fourchan
from chancrawl.items import Item, Post, Tweet
from chancrawl.payload import dumps
from chancrawl.storage.quarantine import Quarantine
from chancrawl.storage.session import Ledger
from chancrawl.x import tweet_columns
from chancrawl.x.client import source_of


class NormalizePipeline:
    """Makes text, quotes, links, hashtags and the rest out of `raw`; an odd post goes to the quarantine too.

    A post that cannot be described is not stored: it is set aside, and what is known of its thread or feed waits.
    """

    def __init__(
        self,
        ledger: Ledger,
        quarantine: Quarantine,
        x_source: str,
        polarity: Callable[[str], float] | None = None,
    ) -> None:
        self.ledger = ledger
        self.quarantine = quarantine
        self.x_source = x_source
        self.polarity = polarity

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        polarity = _polarity() if crawler.settings.getbool("SENTIMENT") else None
        return cls(Ledger.of(crawler), Quarantine.of(crawler), source_of(crawler), polarity)

    def process_item(self, item: Item) -> Item:
        try:
            return self._described(item)
        except Exception as error:  # whatever nobody has thought of must cost this post alone
            self.ledger.reject(item)
            self.quarantine.keep_row(item, f"{type(error).__name__}: {error}")
            raise DropItem("it cannot be described") from None

    def _described(self, item: Item) -> Item:
        if isinstance(item, Post):
            problems = fourchan.describe(item)
            if problems:
                path = fourchan.thread_path(item.board, item.thread_no)
                self.quarantine.set_aside(path, dumps(item.raw).encode(), "; ".join(problems))
        elif isinstance(item, Tweet):
            odd = tweet_columns.describe(item)
            if odd:
                self.quarantine.set_aside(
                    f"{self.x_source}/2/tweets/{item.id}", dumps(item.raw).encode(), "; ".join(odd)
                )
            if self.polarity is not None and item.lang == "en" and item.text:
                item.sentiment = round(self.polarity(html.unescape(item.text)), 4)
        return item


def _polarity() -> Callable[[str], float]:
    """From -1 (bad) to 1 (good), for English text."""
    try:
        from textblob.en.sentiments import PatternAnalyzer  # takes a while to load, and only SENTIMENT=1 wants it
    except ImportError:
        raise UserError("SENTIMENT=1 needs the package textblob: pip install -r requirements.txt.") from None
    analyzer = PatternAnalyzer()
    return lambda text: float(analyzer.analyze(text).polarity)
