"""Fills the columns that follow from what was sent; how, the item's source knows."""

from __future__ import annotations

from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from chancrawl.sources import Sources
from chancrawl.storage.quarantine import Quarantine


class NormalizePipeline:
    """An item that cannot be described is set aside and not stored, and what is known of its thread or feed waits."""

    def __init__(self, sources: Sources, quarantine: Quarantine) -> None:
        self.sources = sources
        self.quarantine = quarantine

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Sources.of(crawler), Quarantine.of(crawler))

    def process_item(self, item: Any) -> Any:
        try:
            self.sources.of_item(item).describe(item)
        except Exception as error:  # whatever nobody has thought of must cost this item alone
            self.sources.reject(item)
            self.quarantine.keep_row(item, f"{type(error).__name__}: {error}")
            raise DropItem("it cannot be described") from None
        return item
