"""Not asking while nothing can be kept."""

from __future__ import annotations

import asyncio
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest

from chancrawl.engine import stopping
from chancrawl.storage.session import Session


class PauseMiddleware:
    """Holds requests back while the store is full."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.session = Session.of(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        while self.session.is_full:
            if stopping(self.crawler):
                raise IgnoreRequest("the crawl is stopping")
            await asyncio.sleep(0.2)
