"""A crawl without an engine and without a network, for the parts of X that need one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from scrapy.crawler import Crawler
from scrapy.http import JsonRequest, TextResponse
from scrapy.settings import Settings
from scrapy.signalmanager import SignalManager
from scrapy.statscollectors import MemoryStatsCollector

from chancrawl.storage.session import Session
from chancrawl.x.credentials import Credential, Secret
from chancrawl.x.rate_limits import Limit, Pool
from chancrawl.x.shared_limits import Reads


class StubEngine:
    """An engine that only notes why it is to close."""

    def __init__(self) -> None:
        self._slot = SimpleNamespace(closing=None)
        self.reasons: list[str] = []

    async def close_spider_async(self, reason: str) -> None:
        self.reasons.append(reason)


def stub_crawler(folder: Path, **settings: Any) -> Crawler:
    """A crawl under way. `crawler.crawling = False` stops it."""
    values = Settings()
    values.setmodule("chancrawl.settings")
    values.update({"CSV_FOLDER": str(folder), "DATABASE_URL": "", "X_API_URL": "http://x.example"} | settings)
    values.update({"X_BILL_INCLUDES": settings.get("X_BILL_INCLUDES", False), "ADDONS": {}})
    crawler = cast(Any, SimpleNamespace(settings=values, signals=SignalManager(), engine=StubEngine(), crawling=True))
    crawler.spider = SimpleNamespace(name="timeline", follow=None)
    crawler.stats = MemoryStatsCollector(crawler)
    crawler.get_downloader_middleware = lambda cls: None
    return cast(Crawler, crawler)


def closed_with(crawler: Crawler) -> list[str]:
    """The reasons for which a stub crawl was to be closed."""
    engine: Any = crawler.engine
    reasons: list[str] = engine.reasons
    return reasons


@asynccontextmanager
async def open_session(crawler: Crawler) -> AsyncIterator[Session]:
    """A session with the store of a crawl; closed afterwards, with all that is still to be written."""
    session = Session.of(crawler)
    await session.open()
    try:
        yield session
    finally:
        await session.spider_closed("finished")


class Ledger:
    """A day's bill in memory; `entries` are the dollars of each entry."""

    def __init__(self) -> None:
        self.entries: list[float] = []

    async def spend(self, day: date, reads: Reads, budget: float) -> bool:
        if reads.dollars > 0 and sum(self.entries) + reads.dollars > budget + 1e-9:
            return False
        self.entries.append(reads.dollars)
        return True

    async def spent(self, day: date) -> float:
        return sum(self.entries)


class NothingShared:
    """What is shared with other crawls, where there are none; or one that has used up a window."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.noted: list[tuple[str, str, str]] = []
        self.is_used_up = False

    async def take(self, key: str, endpoint: str, server_now: float) -> bool:
        if self.is_used_up:
            standing = self.pool.standing(key, endpoint)
            standing.limit, standing.remaining, standing.reset = 1, 0, server_now + 900
        return not self.is_used_up

    async def learned(self, key: str, endpoint: str, window: Limit) -> None:
        pass

    async def retired(self, key: str, endpoint: str, why: str) -> None:
        self.noted.append((key, endpoint, why))


def credential(number: int, app: str = "ck") -> Credential:
    return Credential(
        f"line {number}", f"user:{number}", False, Secret(app), Secret("cs"), Secret(f"{number}-t"), Secret("ts")
    )


def answer(request: Any, status: int, payload: Any, **headers: str) -> TextResponse:
    """An answer of the API in JSON."""
    values = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = JsonRequest("http://x.example", data=payload).body
    return TextResponse(request.url, status=status, headers=values, body=body, request=request)
