"""Items gathered into batches, written off the reactor's thread: what the two stores have in common."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Self

from scrapy.crawler import Crawler

from chancrawl.errors import UserError, store_failed
from chancrawl.items import (
    Account,
    Board,
    Deletion,
    Feed,
    Handle,
    Item,
    Poll,
    Post,
    Thread,
    Trend,
    Tweet,
    Validator,
)
from chancrawl.ledger import Ledger
from chancrawl.stores import first_line

logger = logging.getLogger(__name__)


class BatchingPipeline:
    """Base of the store pipelines. A store gives `write`, which commits a whole batch or nothing of it.

    A batch is written when it has BATCH_SIZE items, when its oldest item has waited BATCH_SECONDS, and at the end of
    the crawl. Batches are written one at a time and in order; while one is being written the next fills, and when that
    is full the crawl waits.
    """

    def __init__(self, crawler: Crawler, ledger: Ledger) -> None:
        self.crawler = crawler
        self.ledger = ledger
        self.stats = crawler.stats
        self.batch_size = crawler.settings.getint("BATCH_SIZE")
        self.batch_seconds = crawler.settings.getfloat("BATCH_SECONDS")
        self.batch: list[Item] = []
        self.failure: UserError | None = None
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._flushes: set[asyncio.Task[None]] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler, Ledger.of(crawler))

    # --- what a store gives

    def write(self, batch: Sequence[Item]) -> None:
        """Commit a batch, or raise and leave the store as it was. Runs in the store's thread."""
        raise NotImplementedError

    # --- what Scrapy calls

    async def open_spider(self) -> None:
        try:
            await self.ledger.open()
        except UserError as error:
            raise error.tell(self.crawler) from None

    async def process_item(self, item: Item) -> Item:
        self.batch.append(item)
        self.stats.inc_value("item_scraped_count")
        if len(self.batch) >= self.batch_size:
            await self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.batch_seconds, self._flush_by_age)
        return item

    async def close_spider(self) -> None:
        if self._flushes:
            await asyncio.gather(*self._flushes)
        await self.flush()

    # --- batches

    def _flush_by_age(self) -> None:
        task = asyncio.ensure_future(self.flush())
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)

    async def flush(self) -> None:
        """Write what has gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        async with self._writing:
            batch, self.batch = self.batch, []
            if batch and self.failure is None:
                await self._commit(batch)
            elif batch:
                self.stats.inc_value("store/not_written", len(batch))

    async def _commit(self, batch: list[Item]) -> None:
        try:
            await self.ledger.call(self._prepare_and_write, batch)
        except Exception as error:
            # State must never be ahead of the data: after one lost batch nothing more is written.
            self.stats.inc_value("store/not_written", len(batch))
            self.failure = self.explain(error).tell(self.crawler)
            if self.crawler.crawling:
                self._closing = asyncio.ensure_future(
                    self.crawler.engine.close_spider_async(reason=self.failure.reason)
                )
            return
        self.ledger.committed(batch)
        self.stats.inc_value("store/batches")
        self.stats.inc_value("store/rows", len(batch))

    def _prepare_and_write(self, batch: Sequence[Item]) -> None:
        self.ledger.prepare()
        self.write(batch)

    def explain(self, error: Exception) -> UserError:
        """An error of `write` in words."""
        if isinstance(error, UserError):
            return error
        why = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        return store_failed(self.ledger.store.place, why)


ORDER: tuple[type[Item], ...] = (
    *(Board, Post, Deletion, Thread, Validator, Poll),
    *(Tweet, Trend, Account, Handle, Feed),
)


def by_kind(batch: Sequence[Item]) -> dict[type[Item], list[Any]]:
    """The items of a batch by their class: data first, then the state that speaks of it."""
    kinds: dict[type[Item], list[Any]] = {kind: [] for kind in ORDER}
    for item in batch:
        kinds[type(item)].append(item)
    return {kind: items for kind, items in kinds.items() if items}


def upsert(table: str, columns: Sequence[str], key: Sequence[str], values: str, unless: str = "") -> str:
    """An INSERT that replaces the row with the same key; PostgreSQL and SQLite share its syntax.

    `values` is the VALUES part; `unless` a condition on the row under which it is replaced.
    """
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values} "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {updates} {unless}"
    )


# A page's state can come behind that of the next page: the store takes the later one.
UNLESS_LATER = "WHERE feeds.pages <= excluded.pages"


def latest(items: Sequence[Any], *key: str) -> list[Any]:
    """The last item for each key: one statement cannot replace a row twice."""
    return list({tuple(getattr(item, name) for name in key): item for item in items}.values())
