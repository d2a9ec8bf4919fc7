"""Batches: their size, age and order, a store that fails, and sinks."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from chancrawl.errors import StoreAway, UserError
from chancrawl.items import Trend
from chancrawl.storage.base import BaseSink
from chancrawl.storage.csv.sink import CsvSink
from chancrawl.storage.kinds import components
from chancrawl.storage.session import Session
from pipelines.batching import BatchingPipeline
from pipelines.postgres import PostgresPipeline
from pipelines.sqlite import SqlitePipeline
from tests.support.databases import Database
from tests.support.engines import crawl, in_loop, settings_of
from tests.support.items import START, post, thread


def trend(number: int) -> Trend:
    return Trend(number, START, 1, "#a", None)


class Recording(BatchingPipeline):
    """A pipeline that notes what it is given, slowly, and fails at the batches with some numbers."""

    def __init__(self, crawler: Crawler, session: Session) -> None:
        super().__init__(crawler, session)
        self.written: list[list[int]] = []
        self.fails_at: set[int] = set()
        self.error: Exception = sqlite3.OperationalError("disk I/O error\nhint")

    def prepare(self, batch: Sequence[Any]) -> int:
        return len(batch)

    async def store(self, batch: Sequence[Any], prepared: Any) -> None:
        assert prepared == len(batch)
        await asyncio.sleep(1 if len(self.written) % 2 else 3)
        numbers = [item.woeid for item in batch]
        if self.fails_at.intersection(numbers):
            raise self.error
        self.written.append(numbers)
        await self.stored(batch)


@asynccontextmanager
async def pipeline_of(folder: Path, **settings: Any) -> AsyncIterator[Recording]:
    async with crawl(folder, **settings) as crawler:
        pipeline = Recording.from_crawler(crawler)
        await pipeline.open_spider()
        yield pipeline


@in_loop
async def test_batches_have_their_size_and_stay_in_order(tmp_path: Path) -> None:
    async with pipeline_of(tmp_path, BATCH_SIZE=3, BATCH_SECONDS=1000) as pipeline:
        for number in range(10):
            assert await pipeline.process_item(trend(number)) == trend(number)
        await pipeline.close_spider()
        assert pipeline.written == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
        stats = pipeline.stats
        assert (stats.get_value("store/batches"), stats.get_value("store/rows")) == (4, 10)
        assert stats.get_value("item_scraped_count") == 10


@in_loop
async def test_a_batch_that_is_old_enough_is_written_whatever_its_size(tmp_path: Path) -> None:
    async with pipeline_of(tmp_path, BATCH_SIZE=100, BATCH_SECONDS=5) as pipeline:
        await pipeline.process_item(trend(1))
        await asyncio.sleep(3)
        await pipeline.process_item(trend(2))
        assert pipeline.written == []
        await asyncio.sleep(12)
        for _ in range(100):  # the loop's time runs fast, and threads take time of their own
            if not pipeline.written:
                await asyncio.to_thread(time.sleep, 0.05)
        assert pipeline.written == [[1, 2]], "the age of the oldest item counts"
        await pipeline.close_spider()
        assert pipeline.written == [[1, 2]]


@in_loop
async def test_a_crawl_waits_for_a_slow_store(tmp_path: Path) -> None:
    async with pipeline_of(tmp_path, BATCH_SIZE=1) as pipeline:
        for number in range(6):
            await pipeline.process_item(trend(number))
            assert number - len(pipeline.written) <= 2, "at most two batches are under way"
        await pipeline.close_spider()
        assert pipeline.written == [[number] for number in range(6)]


@in_loop
async def test_after_one_lost_batch_nothing_more_is_written(tmp_path: Path) -> None:
    async with pipeline_of(tmp_path, BATCH_SIZE=2) as pipeline:
        pipeline.fails_at = {3}
        for number in range(8):
            await pipeline.process_item(trend(number))
        await pipeline.close_spider()
        assert pipeline.written == [[0, 1]]
        stats = pipeline.stats
        assert stats.get_value("store/not_written") == 6
        assert f"the database {tmp_path}/chancrawl.sqlite cannot be used (disk I/O error)" in stats.get_value("failure")
        await asyncio.sleep(1)
        assert stats.get_value("closed") == "store_failed"


@pytest.mark.parametrize("error, words", [
    (UserError("Mend it."), "Mend it."),
    (OSError(28, "No space left on device", "/x/ledger"), "/x/ledger cannot be used (No space left on device)"),
    (RuntimeError(), "cannot be used (RuntimeError)"),
])  # fmt: skip
@in_loop
async def test_an_error_of_the_store_is_one_sentence(tmp_path: Path, error: Exception, words: str) -> None:
    async with pipeline_of(tmp_path) as pipeline:
        assert words in str(pipeline.explain(error))


@in_loop
async def test_an_empty_crawl_writes_no_batch(tmp_path: Path) -> None:
    async with pipeline_of(tmp_path) as pipeline:
        await pipeline.close_spider()
        assert pipeline.written == [] and "store/batches" not in pipeline.stats.get_stats()


# --- sinks


class Lines(BaseSink):
    """A sink that notes what it is given."""

    given: list[Any]

    def __init__(self) -> None:
        self.given = []
        self.is_closed = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls()

    def write(self, items: Sequence[Any]) -> None:
        self.given += items

    def close(self) -> None:
        self.is_closed = True


HERE = "tests.pipelines.test_batching.Lines"


@in_loop
async def test_a_sink_is_given_what_is_stored_and_nothing_else(tmp_path: Path) -> None:
    async with crawl(tmp_path, ROW_SINKS={HERE: 1}, CSV="0") as crawler:
        pipeline = SqlitePipeline.from_crawler(crawler)
        await pipeline.open_spider()
        for item in (bad := trend(2**70), post(6, "a"), thread(1)):
            await pipeline.process_item(item)
        await pipeline.close_spider()
        (sink,) = pipeline.sinks
        assert isinstance(sink, Lines)
        assert sink.given == [post(6, "a"), thread(1)] and bad not in sink.given and sink.is_closed
        assert crawler.stats.get_value("store/rows") == 2 and crawler.stats.get_value("store/rejected") == 1


@in_loop
async def test_a_batch_that_fails_reaches_no_sink(tmp_path: Path) -> None:
    async with pipeline_of(tmp_path, ROW_SINKS={HERE: 1}, BATCH_SIZE=1, CSV="0") as pipeline:
        pipeline.fails_at = {2}
        for number in (1, 2, 3):
            await pipeline.process_item(trend(number))
        await pipeline.close_spider()
        (sink,) = pipeline.sinks
        assert isinstance(sink, Lines) and sink.given == [trend(1)]


def test_sinks_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    sinks = {"collections.Counter": 2, "collections.OrderedDict": 1, "collections.deque": None}
    assert components(settings_of(tmp_path, ROW_SINKS=sinks), "ROW_SINKS") == [OrderedDict, Counter, CsvSink]


# --- which store


@in_loop
async def test_only_the_pipeline_of_the_store_in_use_is_made(tmp_path: Path) -> None:
    async with crawl(tmp_path) as crawler:
        with pytest.raises(NotConfigured):
            PostgresPipeline.from_crawler(crawler)
    async with crawl(tmp_path, "postgresql://nobody@127.0.0.1:1/none") as crawler:
        with pytest.raises(NotConfigured):
            SqlitePipeline.from_crawler(crawler)


@in_loop
async def test_state_that_waits_for_a_rejected_row_is_rejected_too(tmp_path: Path) -> None:
    """The row is rejected by the store itself, after normalize has passed it on."""
    async with crawl(tmp_path) as crawler:
        pipeline = SqlitePipeline.from_crawler(crawler)
        await pipeline.open_spider()
        bad = post(6, "a")
        bad.last_seen_at = None  # it belongs to no file
        batch = (bad, post(7, "b"), thread(2))
        for item in batch:
            await pipeline.process_item(item)
        await pipeline.close_spider()
        assert pipeline.divided(batch, [bad]) == ([batch[1]], [batch[2]])  # stored, and waiting
        rows = await pipeline.session.call(pipeline.session.store.rows, "SELECT no FROM posts")
        assert rows == [(7,)]
        assert await pipeline.session.call(pipeline.session.store.rows, "SELECT no FROM threads") == []
        assert crawler.stats.get_value("store/held_back") == 1


@in_loop
async def test_a_sign_of_life_that_fails_hides_no_stored_batch(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a spool is written, the store goes out of reach at a sign of life: what was stored is noted as stored."""
    async with crawl(tmp_path, database.url) as crawler:
        session = Session.of(crawler)
        await session.open()
        pipeline = PostgresPipeline.from_crawler(crawler)
        await pipeline.open_spider()
        await session.attempt(session.prepare)
        assert pipeline.database.database_id is not None
        for number in range(3):
            pipeline.spool.append([trend(number)], pipeline.database.database_id, "here")
        beats = 0

        async def beat() -> None:
            nonlocal beats
            beats += 1
            if beats == 3:
                raise StoreAway

        monkeypatch.setattr(session, "beat_if_due", beat)
        with pytest.raises(StoreAway):
            await pipeline.drain()
        stored = [number for (number,) in database.rows("SELECT woeid FROM trends ORDER BY 1")]
        assert crawler.stats.get_value("store/rows") == len(stored) == 2 and pipeline.spool.rows == 1
        await pipeline.drain()
