"""What crawls with the same credentials share, in either store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scrapy.crawler import Crawler

from chancrawl.storage.session import Session
from chancrawl.x.rate_limits import EVERYWHERE, Limit, Pool, ServerClock
from chancrawl.x.shared_limits import Reads, SharedLimits
from tests.x.stubs import credential, open_session, stub_crawler

DAY = date(2026, 11, 21)


def pool_of() -> Pool:
    return Pool([credential(0), credential(1)], ServerClock(time.time(), time.monotonic()))


@asynccontextmanager
async def shared_limits(crawler: Crawler, is_bounded: bool = True) -> AsyncIterator[SharedLimits]:
    """What a crawl shares; closed afterwards as at the end of a crawl."""
    async with open_session(crawler) as session:
        shared = SharedLimits(session, pool_of())
        await shared.open(is_bounded)
        session.before_closing.append(shared.close)
        yield shared


def next_crawl(store_settings: dict[str, Any], tmp_path: Path) -> Crawler:
    return stub_crawler(tmp_path, **store_settings)


def test_the_next_crawl_knows_windows_and_refusals(
    crawler: Crawler, store_settings: dict[str, Any], tmp_path: Path
) -> None:
    reset = float(int(time.time()) + 600)

    async def first() -> None:
        async with shared_limits(crawler) as shared:
            shared.pool.succeeded(shared.pool.sent("user:0", "timeline", 0.0), Limit(10, 4, reset))
            await shared.learned("user:0", "timeline", Limit(10, 4, reset))
            await shared.retired("user:1", EVERYWHERE, "revoked")
            shared.pool.standing("user:1", EVERYWHERE).retired = "revoked"

    async def second() -> None:
        async with shared_limits(next_crawl(store_settings, tmp_path)) as shared:
            standing = shared.pool.standing("user:0", "timeline")
            assert (standing.limit, standing.remaining, standing.reset) == (10, 4, reset)
            assert shared.pool.usable("timeline") == [credential(0)]

    asyncio.run(first())
    asyncio.run(second())


@pytest.mark.parametrize(
    "why,days,is_usable", [("revoked", 29, False), ("revoked", 31, True), ("not entitled", 2, True)]
)
def test_a_refusal_is_forgiven_after_its_time(
    crawler: Crawler, store_settings: dict[str, Any], tmp_path: Path, why: str, days: int, is_usable: bool
) -> None:
    async def first() -> None:
        async with shared_limits(crawler) as shared:
            await shared.retired("user:0", EVERYWHERE, why)
            since = datetime.now(UTC) - timedelta(days=days)
            session = Session.of(crawler)
            sql = "UPDATE credential_limits SET retired_at = ? WHERE retired IS NOT NULL RETURNING 1"
            await session.call(session.store.rows, sql, since)

    async def second() -> None:
        async with shared_limits(next_crawl(store_settings, tmp_path)) as shared:
            assert (credential(0) in shared.pool.usable("timeline")) == is_usable

    asyncio.run(first())
    asyncio.run(second())


def test_a_refusal_that_is_noted_again_keeps_its_time(crawler: Crawler) -> None:
    async def run() -> None:
        async with shared_limits(crawler) as shared:
            session = Session.of(crawler)
            times = []
            for _ in range(2):
                await shared.retired("user:0", "timeline", "not entitled")
                times.append(await session.call(session.store.rows, "SELECT retired_at FROM credential_limits"))
            assert times[0] == times[1]

    asyncio.run(run())


def test_a_budget_is_that_of_the_day_and_of_all_crawls(
    crawler: Crawler, store_settings: dict[str, Any], tmp_path: Path
) -> None:
    async def first() -> None:
        async with shared_limits(crawler) as shared:
            assert await shared.spend(DAY, Reads(posts=100, dollars=0.5), 0.6)
            assert not await shared.spend(DAY, Reads(posts=100, dollars=0.5), 0.6)
            assert await shared.spend(DAY, Reads(posts=-60, dollars=-0.3), float("inf"))
            assert await shared.spent(DAY) == pytest.approx(0.2)

    async def second() -> None:
        async with shared_limits(next_crawl(store_settings, tmp_path)) as shared:
            assert await shared.spent(DAY) == pytest.approx(0.2)
            assert not await shared.spend(DAY, Reads(posts=100, dollars=0.5), 0.6)
            assert await shared.spend(DAY + timedelta(days=1), Reads(posts=100, dollars=0.5), 0.6)

    asyncio.run(first())
    asyncio.run(second())


def test_a_budget_can_be_used_up_to_the_last_cent(crawler: Crawler) -> None:
    async def run() -> None:
        async with shared_limits(crawler) as shared:
            for dollars in (0.06, 1.43, -1.43, 0.34, 1.1, -1.1, 0.55, 0.55):  # in floats, these sums are above 1.5
                assert await shared.spend(DAY, Reads(posts=1, dollars=dollars), 1.5)
            assert not await shared.spend(DAY, Reads(posts=1, dollars=0.005), 1.5)

    asyncio.run(run())


def test_without_a_budget_nothing_is_created_before_there_are_rows(tmp_path: Path) -> None:
    async def run() -> None:
        folder = tmp_path / "data"
        async with shared_limits(stub_crawler(folder), is_bounded=False) as shared:
            assert await shared.spend(DAY, Reads(posts=1, dollars=0.005), float("inf"))
            assert await shared.spent(DAY) == pytest.approx(0.005)
        assert not (folder / "chancrawl.sqlite").exists()

    asyncio.run(run())


def test_crawls_into_one_database_take_each_call_from_one_window(database: Any, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": database.url}
    now = time.time()
    reset = float(int(now) + 600)

    async def run() -> None:
        first, second = (shared_limits(stub_crawler(tmp_path / name, **settings)) for name in "ab")
        async with first as one, second as other:
            assert await one.take("user:0", "timeline", now)  # nothing is known of the window yet
            await one.learned("user:0", "timeline", Limit(3, 2, reset))
            taken = [await shared.take("user:0", "timeline", now) for shared in (one, other, one, other)]
            assert taken == [True, True, False, False]
            standing = other.pool.standing("user:0", "timeline")
            assert (standing.limit, standing.remaining, standing.reset) == (3, 0, reset)  # what there is to wait for
            assert await other.take("user:0", "users", now)  # another endpoint, another window
            assert await other.take("user:0", "timeline", reset + 1)  # and a new one

    asyncio.run(run())


def test_a_credential_that_another_crawl_has_given_up_is_taken_no_more(database: Any, tmp_path: Path) -> None:
    async def run() -> None:
        first, second = (shared_limits(stub_crawler(tmp_path / name, DATABASE_URL=database.url)) for name in "ab")
        async with first as one, second as other:
            await one.retired("user:0", EVERYWHERE, "revoked")
            assert not await other.take("user:0", "timeline", time.time())
            assert other.pool.usable("timeline") == [credential(1)]

    asyncio.run(run())
