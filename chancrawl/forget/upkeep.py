"""What a crawl does about removals: it completes interrupted ones at its start, and removes old posts once a day."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scrapy.crawler import Crawler

from chancrawl.engine import ended, sleep, stopping
from chancrawl.errors import StoreAway, UserError
from chancrawl.forget import removal
from chancrawl.forget.files import Cleaning, csv_files_of
from chancrawl.forget.retention import Retention
from chancrawl.storage.csv.files import ask_for_rebuild
from chancrawl.storage.kinds import Subject
from chancrawl.storage.session import Session

logger = logging.getLogger(__name__)

DAY = 86400.0


class Upkeep:
    """The removals of a crawl."""

    def __init__(self, crawler: Crawler, session: Session) -> None:
        self.crawler = crawler
        self.session = session
        self.settings = crawler.settings
        self.folder = Path(crawler.settings["CSV_FOLDER"])
        self._keep_days = crawler.settings.getfloat("KEEP_DAYS")

    async def begin(self) -> None:
        """Complete removals, and begin to remove old posts."""
        try:
            for subjects in await self.session.call(removal.settle, self.session.store, self.folder, self._clean):
                logger.warning("What was removed was in the store again, or still, and is removed now (%s).",
                               subjects[0][0])  # fmt: skip
        except UserError as error:
            logger.warning("A removal could not be completed. %s The owner of the tables completes it with `scrapy "
                           "forget --list`.", error)  # fmt: skip
        await self.session.call(self.session.forgotten.refresh, self.session.store.rows)
        if Retention(self.settings, self.session.store).is_on:
            task = asyncio.ensure_future(self._remove_old())
            self.session.before_closing.append(functools.partial(ended, task))

    def _clean(self, subjects: Sequence[Subject]) -> tuple[Counter[str], bool]:
        cleaning = Cleaning(self.settings, subjects)
        cleaning.clean()
        for sentence in cleaning.left:
            logger.warning("%s", sentence)
        return cleaning.done, cleaning.is_complete

    def _ask_for_rebuild(self) -> None:
        ask_for_rebuild(self.folder, csv_files_of(self.folder))

    async def _remove_old(self) -> None:
        while not stopping(self.crawler):
            retention = Retention(self.settings, self.session.store, self._ask_for_rebuild)
            try:
                removed = 1
                while removed and not stopping(self.crawler):
                    removed = await self.session.call(retention.step)
            except (StoreAway, UserError) as error:  # it is tried again after a day
                logger.warning("Old posts could not be removed (KEEP_DAYS, KEEP_DELETED_DAYS). %s", error)
            if total := retention.done.total():
                logger.info("%s old posts were removed (KEEP_DAYS, KEEP_DELETED_DAYS).", f"{total:,}")
                await asyncio.to_thread(self._ask_for_rebuild)
            await sleep(self.crawler, DAY)

    def is_too_old(self, item: Any) -> bool:
        """Whether a post is older than KEEP_DAYS."""
        posted_at = getattr(item, "posted_at", None)
        return (
            self._keep_days > 0
            and isinstance(posted_at, datetime)
            and (posted_at < datetime.now(UTC) - timedelta(days=self._keep_days))
        )
