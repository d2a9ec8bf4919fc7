"""Writes to the embedded database CSV_FOLDER/chancrawl.sqlite."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from math import inf, isinf
from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from chancrawl.engine import stays
from chancrawl.errors import store_failed
from chancrawl.storage.batch_writer import Prepared
from chancrawl.storage.disk import DiskFull, is_full
from chancrawl.storage.quarantine import Quarantine
from chancrawl.storage.session import Session
from chancrawl.storage.sqlite.store import SqliteStore
from pipelines.batching import BatchingPipeline

logger = logging.getLogger(__name__)


class SqlitePipeline(BatchingPipeline):
    """Writes each batch in one transaction: posts, deletions and state together.

    While the disk is full, the crawl waits: without `follow` for DISK_PATIENCE seconds at most.
    """

    def __init__(self, crawler: Crawler, session: Session) -> None:
        super().__init__(crawler, session)
        assert isinstance(session.store, SqliteStore)
        self.database = session.store
        self.quarantine = Quarantine.of(crawler)
        self.writer = self.database.writer(session.held_back, self.quarantine.has_row, session.forgotten)
        self.patience = inf if stays(crawler) else crawler.settings.getfloat("DISK_PATIENCE")

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if crawler.settings.get("DATABASE_URL"):
            raise NotConfigured
        return super().from_crawler(crawler)

    def prepare(self, batch: Sequence[Any]) -> Prepared | None:
        return self.writer.prepare_if_possible(batch)

    async def store(self, batch: Sequence[Any], prepared: Prepared | None) -> None:
        began = time.monotonic()
        while True:
            try:
                rejected = await self.session.call(self._write, batch, prepared)
            except DiskFull as error:
                if not self.crawler.crawling or time.monotonic() > began + self.patience:
                    raise store_failed(self.session.store.place, str(error)) from None
                if not self.session.is_full:
                    self.session.is_full = True
                    patience = "" if isinf(self.patience) else f" within {self.patience:g} s (DISK_PATIENCE)"
                    logger.error(
                        "The crawl pauses: %s takes no more (%s). It goes on if there is space%s; Ctrl-C ends it.",
                        self.session.store.place, error, patience,
                    )  # fmt: skip
                await asyncio.sleep(0.5)
            else:
                break
        if self.session.is_full:
            logger.info("There is space again; the crawl goes on.")
            self.session.is_full = False
        await self.stored(batch, rejected)

    def _write(self, batch: Sequence[Any], prepared: Prepared | None) -> list[Any]:
        """Write a batch. DiskFull if there is no space for it. Blocks."""
        try:
            self.session.prepare()
            with self.one_reason():
                rejected = self.writer.write(
                    self.database.connection, batch, self.quarantine.keep_row, prepared=prepared
                )
            self.database.check_log()
        except (OSError, sqlite3.Error) as error:
            if is_full(error, self.database.folder):
                raise DiskFull(getattr(error, "strerror", None) or str(error)) from None
            raise
        return rejected
