"""Writes to the database of DATABASE_URL, and to a spool on disk while it is out of reach.

*Flow:* `process_item` (batching.py) fills a batch → `prepare` converts it to COPY's text, in a thread → `store`:

- the database is in reach → `_write`, in the store's thread → `BatchWriter.write`, one transaction → `stored` informs
  the sources and the sinks
- it is out of reach → `_spool` → `Spool.append`; `Session._return` connects again and calls `drain` → `_apply` for each
  waiting batch, in order → `stored` → `Session.came_back`
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from chancrawl.errors import StoreAway, UserError
from chancrawl.storage.batch_writer import Prepared
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.spool import Spool, SpoolFull, apply_oldest, spools
from chancrawl.storage.postgres.upsert import BatchWriter
from chancrawl.storage.quarantine import Quarantine
from chancrawl.storage.session import Session
from pipelines.batching import BatchingPipeline

logger = logging.getLogger(__name__)


class PostgresPipeline(BatchingPipeline):
    """Writes each batch in one transaction: posts, deletions and state together.

    While the database is out of reach, batches are appended to the spool, and the crawl continues. When it is back,
    they are written in order before any other batch. When the spool is full, the crawl waits.
    """

    def __init__(self, crawler: Crawler, session: Session) -> None:
        super().__init__(crawler, session)
        assert isinstance(session.store, PostgresStore)
        self.database = session.store
        self.quarantine = Quarantine.of(crawler)
        self.folder = Path(crawler.settings["CSV_FOLDER"]) / "spool"
        self.limit = int(crawler.settings.getfloat("SPOOL_MB") * 1_000_000)
        self.spool = Spool.new(self.folder, session.kinds, self.limit)
        self.earlier: list[Spool] = []  # spools of crawls that ended before they could write them
        self.writer = BatchWriter(session.kinds, session.held_back, self.quarantine.has_row, session.forgotten)
        self._drained = 0  # rows written from spools during this outage
        self._appending = asyncio.Lock()
        session.on_return = self.drain

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not crawler.settings.get("DATABASE_URL"):
            raise NotConfigured
        return super().from_crawler(crawler)

    async def open_spider(self) -> None:
        await super().open_spider()
        try:
            for spool in spools(self.folder, self.session.kinds):
                if await asyncio.to_thread(spool.adopt, self.database.database_id):
                    self.earlier.append(spool)
            if self.earlier:
                await self.drain()
                logger.info("The spooled rows are written: %s.", f"{self.stats.get_value('spool/earlier_rows', 0):,}")
        except StoreAway:
            await self.session.wait_for_store()
        except (OSError, UserError) as error:
            raise self.explain(error).tell(self.crawler) from None

    async def close_spider(self) -> None:
        await super().close_spider()
        if self.spool.rows and not self._is_given_up():
            logger.info("Everything is fetched; %s still wait for the database.", self.spool)
        await self.session.is_back(self._is_given_up)
        await self.session.stop_returning()
        if self.spool.rows:
            UserError(
                f"{self.spool} wait in {self.spool.folder} for {self.database.place}; the next crawl into it with this "
                "CSV_FOLDER, or `scrapy spool drain`, writes them.",
                reason="store_unavailable",
            ).tell(self.crawler)
        for spool in (*self.earlier, self.spool):
            await asyncio.to_thread(spool.close)

    def _is_given_up(self) -> bool:
        return "failure" in self.stats.get_stats() or not self.crawler.crawling or self.session.is_patience_over

    # --- batches

    def prepare(self, batch: Sequence[Any]) -> Prepared | None:
        return self.writer.prepare_if_possible(batch)

    async def store(self, batch: Sequence[Any], prepared: Prepared | None) -> None:
        while True:
            if not self.session.is_away:
                try:
                    rejected = await self.session.attempt(self._write, batch, prepared)
                except StoreAway:
                    pass  # it may have been committed; then writing it again changes nothing
                else:
                    await self.stored(batch, rejected)
                    return
            if self.database.database_id is None:  # it went out of reach before it had tables
                await self.session.wait_for_store()
            elif await self._spool(batch):
                return

    def _write(self, batch: Sequence[Any], prepared: Prepared | None) -> list[Any]:
        self.session.prepare()
        with self.one_reason():
            return self.writer.write(self.database.connection, batch, self.quarantine.keep_row, prepared=prepared)

    async def _spool(self, batch: Sequence[Any]) -> bool:
        """Append a batch to the spool, as soon as there is room. Returns False if the database is back before."""
        logged = ""
        while True:
            async with self._appending:
                if not self.session.is_away:
                    self.session.is_full = False
                    return False
                try:
                    assert self.database.database_id is not None
                    self.spool.limit = self.limit - sum(spool.bytes for spool in self.earlier)
                    await asyncio.to_thread(self.spool.append, batch, self.database.database_id, self.database.place)
                except SpoolFull:
                    waiting = self.limit - self.spool.limit + self.spool.bytes
                    problem = f"{waiting / 1e6:,.3g} MB wait there, and SPOOL_MB allows {self.limit / 1e6:,.3g}"
                except OSError as error:
                    problem = f"{error.strerror}"
                else:
                    self.stats.inc_value("spool/batches")
                    self._note_spool()
                    if logged:
                        logger.info("There is room in the spool again; the crawl goes on.")
                    self.session.is_full = False
                    return True
            if problem != logged:
                logged = problem
                self.session.is_full = True
                logger.error(
                    "The crawl pauses: %s is out of reach, and the spool %s takes no more (%s). It goes on when the "
                    "database is back, or there is room.",
                    self.database.place, self.spool.folder, problem,
                )  # fmt: skip
            if self._is_given_up():
                raise UserError(
                    f"The crawl ended while {self.database.place} was out of reach and the spool "
                    f"{self.spool.folder} took no more ({problem}); the next run fetches what was not written.",
                    reason="store_unavailable",
                )
            await asyncio.sleep(0.2)

    # --- when the database is back

    async def drain(self) -> None:
        """Write the batches that wait, in order. StoreAway if the database goes out of reach again."""
        while True:
            for spool in (*self.earlier, self.spool):
                while spool.numbers:
                    if self.session.is_ending:
                        raise StoreAway("the crawl ends")
                    await self.session.beat_if_due()
                    items, rejected = await self.session.attempt(self._apply, spool)
                    self._drained += len(items) - len(rejected)
                    if spool is self.spool and items:
                        await self.stored(items, rejected)
                        self._note_spool()
                    elif items:
                        self.stats.inc_value("spool/earlier_rows", len(items))
                        await self.to_sinks(self.divided(items, rejected)[0])
            async with self._appending:
                if not self.spool.numbers:
                    self._all_written()
                    return

    def _note_spool(self) -> None:
        self.stats.set_value("spool/rows", self.spool.rows)
        waiting = self.spool.bytes + sum(spool.bytes for spool in self.earlier)
        self.stats.set_value("spool/mb", round(waiting / 1e6, 3))

    def _all_written(self) -> None:
        if damaged := sum(spool.damaged for spool in (*self.earlier, self.spool)):
            self.stats.set_value("spool/damaged", damaged)
        for spool in (*self.earlier, self.spool):
            spool.close()
        self.earlier.clear()
        if self.session.is_away:
            self.session.came_back(f"; {self._drained:,} rows that waited are written" if self._drained else "")
        self._drained = 0

    def _apply(self, spool: Spool) -> tuple[list[Any], list[Any]]:
        self.session.prepare()
        with self.one_reason():
            return apply_oldest(spool, self.database.connection, self.writer, self.quarantine.keep_row)
