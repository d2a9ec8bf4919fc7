"""Fills the columns that follow from `raw`."""

from __future__ import annotations

from typing import Self

from scrapy.crawler import Crawler

from chancrawl import fourchan
from chancrawl.items import Item, Post
from chancrawl.payload import dumps
from chancrawl.quarantine import Quarantine


class NormalizePipeline:
    """Makes text, quotes, links, md5 and the rest out of a post's `raw`; an odd post goes to the quarantine too."""

    def __init__(self, quarantine: Quarantine) -> None:
        self.quarantine = quarantine

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Quarantine.of(crawler))

    def process_item(self, item: Item) -> Item:
        if isinstance(item, Post):
            problems = fourchan.describe(item)
            if problems:
                path = fourchan.thread_path(item.board, item.thread_no)
                self.quarantine.set_aside(path, dumps(item.raw).encode(), "; ".join(problems))
        return item
