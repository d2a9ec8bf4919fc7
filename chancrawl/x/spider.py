"""What the spiders of X have in common: opening the credentials, reading feeds, and what must not be mixed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from math import inf
from typing import Any, ClassVar

import scrapy
from scrapy import Request

from chancrawl.arguments import moment
from chancrawl.configuration import configured, settings_of, tweet_ini
from chancrawl.engine import sleep, stopping
from chancrawl.errors import UserError
from chancrawl.storage.session import Session
from chancrawl.x.access import Access
from chancrawl.x.api import FIRST_START, source_of
from chancrawl.x.ledger import XLedger
from chancrawl.x.reader import Reader
from chancrawl.x.source import X

logger = logging.getLogger(__name__)


THREADS = settings_of(tweet_ini()).get("X_THREADS")


class XSpider(scrapy.Spider):
    """Base of the spiders that read the X API. A spider gives `round`, which reads everything once."""

    # X says in its answers how many calls are left: no delay is needed, and several requests go at a time.
    custom_settings: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]  # Scrapy takes None too
        "DOWNLOAD_DELAY": configured("DOWNLOAD_DELAY", 0),
        "CONCURRENT_REQUESTS": configured("CONCURRENT_REQUESTS", THREADS or 16),
        "CONCURRENT_REQUESTS_PER_DOMAIN": configured("CONCURRENT_REQUESTS", THREADS or 16),
    }

    arguments: dict[str, str]
    follow: timedelta | None = None

    @property
    def source(self) -> str:
        """The address of the API, for the `runs` table."""
        return source_of(self.crawler)

    async def start(self) -> AsyncIterator[Any]:
        self.session = Session.of(self.crawler)
        self.ledger = XLedger.of(self.crawler)
        self.access = Access.of(self.crawler)
        self.reader = Reader(self.crawler)
        self.stats = self.crawler.stats
        if THREADS:
            logger.info(
                "tweet.ini: Threads=%s is taken for CONCURRENT_REQUESTS, requests under way at a time.", THREADS
            )
        try:
            self.check()
            await self.session.refuse_mixed_sources(self.source, X.spiders)
            await self.access.open()
            if self.access.budget.limit == inf:
                besides = ", and what comes along with them besides" if self.access.budget.with_includes else ""
                logger.info("X_DAILY_BUDGET is not set: %s%s.", await self.estimate(), besides)
            while True:
                async for request_or_item in self.round():
                    yield request_or_item
                if self.follow is None or stopping(self.crawler):
                    break
                await sleep(self.crawler, self.follow.total_seconds())
            await self.finish()
        except UserError as error:
            raise error.tell(self.crawler) from None

    async def estimate(self) -> str:
        """What a round can cost, in words."""
        raise NotImplementedError

    def check(self) -> None:
        """UserError for what can be seen to be wrong before the first request."""

    def round(self) -> AsyncIterator[Request]:
        raise NotImplementedError

    async def finish(self) -> None:
        """What is left to do when everything has been read."""


def first_time(name: str, since: str) -> datetime | None:
    """The value of `since=`; X accepts no start before 6 November 2010, so that is the earliest."""
    value = moment(name, since)
    if value is not None and value < FIRST_START:
        logger.info("since=%s: X accepts no start before %s; that is used.", since, f"{FIRST_START:%Y-%m-%d}")
        return FIRST_START
    return value
