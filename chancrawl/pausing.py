"""The middleware that sends no requests while nothing can be stored."""

from __future__ import annotations

from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler

from chancrawl.engine import pause
from chancrawl.storage.session import Session


class PauseMiddleware:
    """Delays requests while the store is full."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.session = Session.of(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        while self.session.is_full:
            await pause(self.crawler, 0.2)
