"""A crawl without a network: Scrapy's own crawler, engine and stats in the event loop of a test."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

from scrapy import Spider, signals
from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import Crawler
from scrapy.settings import Settings

P = ParamSpec("P")

SPEED = 50
"""Pauses of asyncio are so many times shorter in these tests. The clocks of `time` run as ever."""

NOTHING: dict[str, Any] = {
    "ADDONS": {},
    "EXTENSIONS": {},
    "ITEM_PIPELINES": {},
    "DOWNLOADER_MIDDLEWARES": {},
    "DOWNLOADER_MIDDLEWARES_BASE": {},
    "SPIDER_MIDDLEWARES_BASE": {},
    "EXTENSIONS_BASE": {},
    "DOWNLOAD_HANDLERS": {"http": None, "https": None},
    "TWISTED_REACTOR_ENABLED": False,
}
"""No component but those that a test makes, and no way out to a network."""


class QuickLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock runs at SPEED."""

    def __init__(self) -> None:
        super().__init__()
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select
        selector.select = lambda timeout=None: select(timeout and timeout / SPEED)

    def time(self) -> float:
        return super().time() * SPEED


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that is a coroutine."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=QuickLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


class Chan(Spider):
    """A spider of boards that asks for nothing."""

    name = "chan"
    source = "https://a.4cdn.org"
    follow = False

    async def start(self) -> AsyncIterator[Any]:
        return
        yield


def settings_of(folder: Path, database_url: str | None = None, **more: Any) -> Settings:
    """The project's settings, for a store in a folder of the test, or for its database."""
    settings = Settings()
    settings.setmodule("chancrawl.settings", priority="project")
    values = NOTHING | {"CSV_FOLDER": str(folder), "DATABASE_URL": database_url, "LOG_LEVEL": "INFO"} | more
    for name, value in values.items():
        settings.set(name, value, priority="cmdline")
    return settings


@asynccontextmanager
async def crawl(
    folder: Path, database_url: str | None = None, spider: type[Spider] = Chan, **more: Any
) -> AsyncIterator[Crawler]:
    """A crawl that is open and asks for nothing; afterwards it is closed, if nobody else has closed it.

    `closed` in its stats is the reason with which it was closed.
    """
    crawler = Crawler(spider, settings_of(folder, database_url, **more))
    crawler._apply_settings()
    crawler.spider = spider.from_crawler(crawler)
    crawler.engine = ExecutionEngine(crawler, lambda _: None)
    crawler.crawling = crawler.engine.running = True

    def closed(reason: str) -> None:
        crawler.stats.set_value("closed", reason)

    crawler.signals.connect(closed, signals.spider_closed)
    await crawler.engine.open_spider_async(close_if_idle=False)
    try:
        yield crawler
    finally:
        if "closed" not in crawler.stats.get_stats():
            await crawler.engine.close_spider_async(reason="finished")
        await crawler.signals.send_catch_log_async(signals.engine_stopped)


def stop(crawler: Crawler) -> None:
    """What Ctrl-C does first."""
    crawler.crawling = False
