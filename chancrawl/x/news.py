"""Waiting for an answer of X: it may free a call, or money."""

from __future__ import annotations

import asyncio

from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest

from chancrawl.engine import stopping, wait_for


class News:
    """Wakes everybody who waits for an answer of X."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._next = asyncio.Event()

    def tell(self) -> None:
        """Wake all who wait now. Each event is set once, so that nobody who wakes late misses it."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Until there is an answer, at most so long. IgnoreRequest when the crawl is stopping."""
        if not await wait_for(self.crawler, self._next, seconds) and stopping(self.crawler):
            raise IgnoreRequest("the crawl is stopping")
