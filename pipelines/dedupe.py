"""Drops items that are already stored."""

from __future__ import annotations

from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from chancrawl.sources import Sources


class DedupePipeline:
    """Passes on only new and changed items. A changed post is passed on as a revision, an unchanged one is dropped."""

    def __init__(self, sources: Sources, crawler: Crawler) -> None:
        self.sources = sources
        self.held_back = sources.session.held_back
        self.stats = crawler.stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Sources.of(crawler), crawler)

    def process_item(self, item: Any) -> Any:
        if self.held_back.waits(item):
            self.stats.inc_value("store/held_back")
            raise DropItem("a row that it describes is not stored")
        name = self.sources.of_item(item).accept(item)
        if name is None:
            self.stats.inc_value(f"items/{type(item).__name__.lower()}/unchanged")
            raise DropItem("unchanged")
        self.stats.inc_value(f"items/{name}")
        return item
