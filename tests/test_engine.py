"""The state of Scrapy's engine, and ends that are said once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from chancrawl.engine import PerCrawl, end, let_close, sleep, stays, stopping, wait_for
from chancrawl.errors import UserError
from tests.support.engines import Chan, crawl, in_loop, stop


class One(PerCrawl):
    pass


class Other(One):
    pass


class Following(Chan):
    follow = True


@in_loop
async def test_each_crawl_has_one_component_of_a_class(tmp_path: Path) -> None:
    async with crawl(tmp_path) as first, crawl(tmp_path) as second:
        assert One.of(first) is One.of(first) is One.from_crawler(first)
        assert One.of(first) is not One.of(second)
        assert type(One.of(first)) is One and type(Other.of(first)) is Other
        assert One.of(first).crawler is first


@in_loop
async def test_a_crawl_is_stopping_after_a_signal_and_while_it_closes(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        assert not stopping(crawler)
        stop(crawler)
        assert stopping(crawler)
    async with crawl(tmp_path) as crawler:
        await crawler.engine.close_spider_async(reason="finished")
        assert stopping(crawler)


@in_loop
async def test_only_a_crawl_that_follows_stays(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        assert not stays(crawler)
    async with crawl(tmp_path, spider=Following) as crawler:
        assert stays(crawler)


@in_loop
async def test_an_end_is_said_once_and_closes_the_crawl_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with crawl(tmp_path) as crawler:
        end(crawler, UserError("The budget is spent.", "budget_spent"))
        end(crawler, UserError("Something else.", "other"))
        await asyncio.sleep(0.5)
        assert crawler.stats.get_value("failure") == "The budget is spent."
        assert crawler.stats.get_value("closed") == "budget_spent"
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["The budget is spent."]


@in_loop
async def test_a_crawl_that_is_stopping_is_not_ended_for_another_reason(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        stop(crawler)
        end(crawler, UserError("Too late."))
        assert "failure" not in crawler.stats.get_stats()


@in_loop
async def test_a_wait_ends_with_the_event_the_time_or_the_crawl(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        event = asyncio.Event()
        assert not await wait_for(crawler, event, 0.02)
        asyncio.get_running_loop().call_later(0.5, event.set)
        began = time.monotonic()
        assert await wait_for(crawler, event, 10)
        event.clear()
        asyncio.get_running_loop().call_later(0.5, stop, crawler)
        assert not await wait_for(crawler, event, 10)
        await sleep(crawler, 10)
        assert time.monotonic() - began < 5


@in_loop
async def test_a_crawl_that_has_nothing_left_can_close(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        let_close(crawler)  # it does not close yet
        slot = crawler.engine.scraper.slot
        assert slot is not None and slot.closing is None and not stopping(crawler)
