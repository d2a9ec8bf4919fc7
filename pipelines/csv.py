"""Writes a folder of CSV files: chan/BOARD/posts-YYYY-MM-DD.csv, …, twitter/HANDLE.csv, twitter/trends.csv.

storage/csv/rows.py has the form of the rows, storage/csv/files.py the commit of files together with their ledger.
"""

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
from chancrawl.storage.csv.files import DiskFull, is_full
from chancrawl.storage.csv.rows import Line, Prepared
from chancrawl.storage.quarantine import Quarantine
from chancrawl.storage.session import Session
from chancrawl.storage.sqlite.store import CsvStore
from pipelines.batching import BatchingPipeline

logger = logging.getLogger(__name__)


class CsvPipeline(BatchingPipeline):
    """Writes the store of a crawl without DATABASE_URL."""

    def __init__(self, crawler: Crawler, session: Session) -> None:
        super().__init__(crawler, session)
        assert isinstance(session.store, CsvStore)
        self.csv_store = session.store
        self.folder = self.csv_store.folder
        self.quarantine = Quarantine.of(crawler)
        self.patience = inf if stays(crawler) else crawler.settings.getfloat("DISK_PATIENCE")

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if crawler.settings.get("DATABASE_URL"):
            raise NotConfigured
        return super().from_crawler(crawler)

    def prepare(self, batch: Sequence[Any]) -> Prepared:
        return self.csv_store.prepared(batch)

    async def store(self, batch: Sequence[Any], prepared: Prepared) -> None:
        for item, reason in prepared.rejected:
            is_kept = await asyncio.to_thread(self.quarantine.has_row, item)
            self.session.held_back.missed(item, is_kept)
            self.quarantine.keep_row(item, reason)
        lines = [line for line in prepared.lines if not self.session.held_back.waits(line.item)]
        began = time.monotonic()
        while True:
            try:
                await self.session.call(self._write, lines)
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
        self.session.held_back.arrived([line.item for line in lines])
        await self.stored(batch, [item for item, _ in prepared.rejected])

    def _write(self, lines: Sequence[Line]) -> None:
        """Write all lines or none. DiskFull if there is no space for them. Blocks."""
        try:
            self.session.prepare()
            self.csv_store.append(lines)
        except (OSError, sqlite3.Error) as error:
            if is_full(error, self.folder):
                raise DiskFull(getattr(error, "strerror", None) or str(error)) from None
            raise
