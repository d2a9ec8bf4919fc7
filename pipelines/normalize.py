"""Fills the columns of an item that its source computes from `raw`."""

from __future__ import annotations

from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from chancrawl.sources import Sources
from chancrawl.storage.quarantine import Quarantine


class NormalizePipeline:
    """Calls `Source.describe`. If it fails, the item is set aside and the state of its thread or feed is held back."""

    def __init__(self, sources: Sources, quarantine: Quarantine) -> None:
        self.sources = sources
        self.quarantine = quarantine

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Sources.of(crawler), Quarantine.of(crawler))

    def process_item(self, item: Any) -> Any:
        try:
            self.sources.of_item(item).describe(item)
        except Exception as error:  # an unforeseen error must affect only this item
            self.sources.reject(item)
            self.quarantine.keep_row(item, f"{type(error).__name__}: {error}")
            raise DropItem("it cannot be described") from None
        return item
