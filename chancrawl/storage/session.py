"""A crawl's session with its store: the thread of the store, outages, and the crawl's row in `runs`.

One separate thread uses the store. It executes reads and writes in the order of the calls. So the reactor never waits
for a disk or a database, and a read sees each earlier write.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from scrapy import signals
from scrapy.crawler import Crawler

from chancrawl.engine import PerCrawl, end, stays, stopping
from chancrawl.errors import StoreAway, UserError, store_failed
from chancrawl.http import is_local, is_same_site
from chancrawl.outcome import incomplete
from chancrawl.storage import runs
from chancrawl.storage.base import select
from chancrawl.storage.factory import store_of
from chancrawl.storage.forgotten import Forgotten
from chancrawl.storage.held_back import HeldBack
from chancrawl.storage.runs import BEAT
from chancrawl.text import capitalized, first_line

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Session(PerCrawl):
    """The extension through which spiders, ledgers and pipelines reach the store."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        crawler.signals.connect(self.spider_closed, signals.spider_closed)
        self.store = store_of(crawler.settings)
        self.kinds = self.store.kinds
        self.started_at = datetime.now(UTC)
        self.run_id: int | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._is_there = asyncio.Event()  # the store is in reach, and everything that waited for it is written
        self._is_there.set()
        self._returning: asyncio.Task[None] | None = None
        self._is_ending = False
        self._away_since = 0.0
        self._beat_at = 0.0
        self._patience = crawler.settings.getfloat("STORE_PATIENCE")
        self._boards: tuple[str, ...] = ()  # the boards that this crawl follows
        self._beating: asyncio.Task[None] | None = None
        self.failure: UserError | None = None
        """The error that makes the store unusable after an outage, if it is in reach again and something else fails."""
        self.is_full = False
        """Whether the store, or the disk where batches wait for it, is full. No requests are sent while it is True."""
        self.waits = True
        """Whether `call` waits while the store is out of reach. If not, it raises StoreAway, so that the caller can
        put off what needs the store and continue with other work."""
        self.on_return: Callable[[], Awaitable[None]] | None = None
        """Writes what waited for the store, then calls `came_back`. StoreAway if the store is out of reach again."""
        self.held_back = HeldBack(self.kinds)
        self.forgotten = Forgotten(self.kinds)
        self.before_closing: list[Callable[[], Awaitable[None]]] = []  # last writes of other components

    # --- the store's thread, and a store that is out of reach

    @property
    def is_away(self) -> bool:
        """Whether the store is out of reach, or rows that waited for it are not all written yet."""
        return not self._is_there.is_set()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in the store's thread. While the store is out of reach, wait and try again.

        UserError if the crawl ends during the wait.
        """
        while True:
            if self.is_away and not self.waits:
                raise StoreAway
            await self.wait_for_store()
            try:
                return await self.attempt(function, *args, **kwargs)
            except StoreAway:
                if not self.waits:
                    raise

    async def attempt(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in the store's thread, without waiting. StoreAway if the store is out of reach."""
        for tries_left in (2, 1, 0):
            try:
                return await self._in_thread(functools.partial(function, *args, **kwargs))
            except Exception as error:
                if tries_left and self.store.is_collision(error):
                    continue
                if self.store.is_outage(error):
                    self._went_away(error)
                    raise StoreAway(first_line(error)) from None
                if isinstance(error, self.store.errors):
                    raise store_failed(self.store.place, first_line(error)) from None
                raise
        raise AssertionError("not reached")

    async def wait_for_store(self) -> None:
        """Wait until the store is in reach. UserError if the crawl ends before."""
        if not await self.is_back(lambda: stopping(self.crawler)):
            waited = f" for {self._patience / 60:.0f} minutes (STORE_PATIENCE)" if self.is_patience_over else ""
            raise self.failure or UserError(
                f"The crawl ends because {self.store.place} was out of reach{waited}.", "store_unavailable"
            )

    async def is_back(self, give_up: Callable[[], bool]) -> bool:
        """Wait for the store. Returns whether it is back before `give_up` returns True or the patience is over."""
        while self.is_away and self.failure is None and not give_up() and not self.is_patience_over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_there.wait(), 0.2)
        return not self.is_away

    def _went_away(self, error: Exception) -> None:
        if self.is_away:
            return
        error = self.store.cause_of(error)
        self._is_there.clear()
        self._away_since = time.monotonic()
        if self.is_ending:
            return
        place = self.store.place
        logger.warning(
            "%s is out of reach (%s). The crawl goes on: what it fetches waits in %s until the database is back.",
            capitalized(place), first_line(error), Path(self.crawler.settings["CSV_FOLDER"]) / "spool",
        )  # fmt: skip
        self.crawler.stats.inc_value("store/outages")
        self._returning = asyncio.ensure_future(self._return())

    async def _return(self) -> None:
        """Try to connect until the store is back, with increasing pauses of up to 10 seconds."""
        pause = 0.5
        while True:
            for _ in range(int(pause / 0.1)):  # in short steps, to react to Ctrl-C
                if self.is_ending:
                    return
                await asyncio.sleep(0.1)
            pause = min(pause * 2, 10.0)
            try:
                await self._in_thread(self.store.connect)
                self._beat_at = -BEAT  # first of all, so that no other crawl takes over its boards
                await self.beat_if_due()
                if self.on_return is not None:
                    await self.on_return()
                else:
                    self.came_back()
            except StoreAway:
                continue
            except Exception as error:
                if self.store.is_outage(error):
                    continue
                failure = error if isinstance(error, UserError) else store_failed(self.store.place, first_line(error))
                self.failure = failure
                end(self.crawler, failure, unless_stopping=False)
            return

    @property
    def is_ending(self) -> bool:
        """Whether waiting for the store has ended, because the crawl was stopped or has finished."""
        return self._is_ending or not self.crawler.crawling

    async def stop_returning(self) -> None:
        """Stop trying to reach the store. A write that has begun is completed."""
        self._is_ending = True
        if self._returning is not None:
            await self._returning

    def came_back(self, written: str = "") -> None:
        """Report that the store is in reach and everything that waited for it is written."""
        logger.info("%s is back%s.", capitalized(self.store.place), written)
        self._is_there.set()

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    @property
    def is_patience_over(self) -> bool:
        """Whether a crawl without `follow` has waited for the store for STORE_PATIENCE seconds."""
        return self.is_away and not stays(self.crawler) and time.monotonic() - self._away_since > self._patience

    async def open(self) -> None:
        await self._in_thread(self.store.open)
        logger.info("Storing in %s.", self.store.place)
        self._beating = asyncio.ensure_future(self._beat_on())

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            if self.run_id is not None and not self.is_away:
                await self._beat()

    async def _beat(self) -> None:
        """Write a sign of life. End this crawl if one that began before it follows the same boards."""
        assert self.run_id is not None
        try:
            others = await self.attempt(self._beat_now, self.run_id)
        except (StoreAway, UserError):  # the next write gets the same error and handles it
            return
        if others and others[0].run_id < self.run_id:  # it had counted as ended, and is running again
            end(self.crawler, UserError(
                f"{capitalized(str(others[0]))} follows the same boards again, and was there before: this crawl ends. "
                "Start it again, and it stands by.", reason="doubled",
            ))  # fmt: skip

    async def beat_if_due(self) -> None:
        """Write a sign of life if the last one is too old, also while rows that waited are being written."""
        if self.run_id is not None and time.monotonic() - self._beat_at >= BEAT:
            self._beat_at = time.monotonic()
            await self.attempt(runs.beat, self.store, self.run_id, self.crawler.stats.get_stats())

    def _beat_now(self, run_id: int) -> list[runs.Run]:
        runs.beat(self.store, run_id, self.crawler.stats.get_stats())
        return runs.others(self.store, run_id, self._boards) if self._boards else []

    async def follow(self, boards: Collection[str]) -> list[runs.Run]:
        """Record that this crawl follows `boards`. If others follow one of them, return these and record nothing."""
        others = await self.call(self._claim, boards)
        self._boards = () if others else tuple(boards)
        return others

    def _claim(self, boards: Collection[str]) -> list[runs.Run]:
        self.prepare()
        assert self.run_id is not None
        return runs.claim(self.store, self.run_id, boards)

    async def spider_closed(self, reason: str) -> None:
        self.waits = True
        self._is_ending = True
        if self._beating is not None:
            self._beating.cancel()
        try:
            for write in self.before_closing:
                await write()
            await self.call(self._end_run, reason)
        except UserError as error:
            logger.warning("The end of the run could not be noted. %s", error)
        await self._in_thread(self.store.close)
        self._thread.shutdown(wait=False)

    def prepare(self) -> None:
        """Prepare the store for the first row, and insert the row of the run. Blocks; called in the store's thread."""
        self.store.prepare()
        if self.run_id is None:
            spider = self.crawler.spider
            assert spider is not None
            arguments, source = getattr(spider, "arguments", {}), getattr(spider, "source", "")
            folder = str(Path(self.crawler.settings["CSV_FOLDER"]).absolute())
            self.run_id = runs.begin(self.store, spider.name, arguments, source, self.started_at, folder)

    def _end_run(self, reason: str) -> None:
        if self.run_id is None:
            return
        if reason == "finished" and incomplete(self.crawler.stats.get_stats(), True):
            reason = "incomplete"
        runs.finish(self.store, self.run_id, reason, self.crawler.stats.get_stats())

    # --- queries

    async def refuse_mixed_sources(self, address: str, spiders: Collection[str]) -> None:
        """UserError if this store has data from another API than `address`.

        A store must not mix posts of a sandbox and of a real site, or of two real sites of one kind, because the same
        number means different posts there. `spiders` are those that read the same kind of site.
        """
        sql = "SELECT DISTINCT spider, source FROM runs WHERE source IS NOT NULL"
        for spider, earlier in await self.call(self.store.rows, sql):
            is_other_site = spider in spiders and not is_local(earlier) and not is_same_site(earlier, address)
            if is_local(earlier) != is_local(address) or is_other_site:
                raise UserError(
                    f"{capitalized(self.store.place)} holds posts from {earlier}, and this crawl reads {address}: "
                    "name another CSV_FOLDER or DATABASE_URL, so that they are not mixed."
                )

    async def select(self, item_class: type[T], where: str = "", *parameters: Any) -> list[T]:
        """Items of one class from the store; `where` is the rest of the query."""
        return await self.call(select, self.store, item_class, where, *parameters)
