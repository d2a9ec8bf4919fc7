"""Waiting, stopping and ending a crawl, by the state of Scrapy's engine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Self

from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest

from chancrawl.errors import UserError


class PerCrawl:
    """Base of components of which each crawl has one instance. `of` creates it at the first call."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def of(cls, crawler: Crawler) -> Self:
        """The instance of a crawl."""
        made: dict[type[PerCrawl], PerCrawl] = vars(crawler).setdefault("_chancrawl", {})
        if cls not in made:
            made[cls] = cls(crawler)
        found = made[cls]
        assert isinstance(found, cls)
        return found

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Used by Scrapy if the component is an extension."""
        return cls.of(crawler)


_closing: set[asyncio.Task[None]] = set()


def stopping(crawler: Crawler) -> bool:
    """Whether the crawl is ending, by a signal or by itself. Scrapy has no public way to ask for it."""
    slot = crawler.engine._slot
    return not crawler.crawling or slot is None or slot.closing is not None


def stays(crawler: Crawler) -> bool:
    """Whether the crawl runs until somebody stops it (`follow`). Such a crawl waits for a source without a limit."""
    return bool(getattr(crawler.spider, "follow", None))


async def sleep(crawler: Crawler, seconds: float) -> None:
    """Sleep for `seconds`, or until the crawl is stopping."""
    end = time.monotonic() + seconds
    # In short steps, to react to Ctrl-C: Scrapy has no event for it.
    while (left := end - time.monotonic()) > 0 and not stopping(crawler):  # noqa: ASYNC110
        await asyncio.sleep(min(left, 0.5))


async def ended(task: asyncio.Future[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])


async def wait_for(crawler: Crawler, event: asyncio.Event, seconds: float) -> bool:
    """Wait until an event is set, `seconds` are over, or the crawl is stopping. Returns whether the event is set."""
    end = time.monotonic() + seconds
    while not event.is_set() and (left := end - time.monotonic()) > 0 and not stopping(crawler):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), min(left, 0.5))
    return event.is_set()


class Broadcast:
    """Wakes all who wait for something that happens again and again."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Wake all who wait now. Each event is set once, so that nobody who wakes late misses it."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Until the next time, at most so many seconds. IgnoreRequest when the crawl is stopping."""
        if not await wait_for(self.crawler, self._next, seconds) and stopping(self.crawler):
            raise IgnoreRequest("the crawl is stopping")


def let_close(crawler: Crawler) -> None:
    """Let a stopping crawl close. Scrapy 2.19 checks this only after a response, and not after an item of `start`."""
    slot = crawler.engine.scraper.slot
    if slot is not None and slot.closing is not None and not slot.closing.called and slot.is_idle():
        assert crawler.spider is not None
        slot.closing.callback(crawler.spider)


async def pause(crawler: Crawler, seconds: float) -> None:
    """Delay a request by `seconds`. IgnoreRequest if the crawl is stopping."""
    await sleep(crawler, seconds)
    if stopping(crawler):
        raise IgnoreRequest("the crawl is stopping")


def end(crawler: Crawler, error: UserError, unless_stopping: bool = True) -> None:
    """Log the sentence of `error`, unless another one was logged, and close the crawl.

    `unless_stopping`: do nothing if the crawl is stopping already.
    """
    if "failure" in crawler.stats.get_stats() or (unless_stopping and stopping(crawler)):
        return
    error.tell(crawler)
    if stopping(crawler):
        return
    task = asyncio.ensure_future(crawler.engine.close_spider_async(reason=error.reason))
    _closing.add(task)
    task.add_done_callback(_closing.discard)
