"""Drops what the store already holds."""

from __future__ import annotations

from typing import Self

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from chancrawl.items import ORDER, Item, Post, Thread, Tweet
from chancrawl.storage.session import Ledger

NAMES = {kind: kind.__name__.lower() for kind in ORDER}


class DedupePipeline:
    """Passes on new and changed items only: a changed post goes on as a revision, an unchanged one stops here."""

    def __init__(self, ledger: Ledger, crawler: Crawler) -> None:
        self.ledger = ledger
        self.stats = crawler.stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Ledger.of(crawler), crawler)

    def process_item(self, item: Item) -> Item:
        kind = NAMES[type(item)]
        if self.ledger.held_back.waits(item):
            self.stats.inc_value("store/held_back")
            raise DropItem("a row that it speaks of is not stored")
        if not self.ledger.accept(item):
            self.stats.inc_value(f"items/{kind}/unchanged")
            raise DropItem("unchanged")
        if isinstance(item, Post) and item.revision > 1:
            kind = "revision"
        elif isinstance(item, Thread) and item.first_seen_at != item.last_seen_at:
            kind = "thread/changed"  # not a new one
        elif isinstance(item, Tweet) and item.is_seen_again:
            kind = "tweet/changed"
        self.stats.inc_value(f"items/{kind}")
        return item
