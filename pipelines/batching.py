"""Collects items in batches and writes them outside the reactor's thread. Base of the two store pipelines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from chancrawl.engine import end, let_close, stopping
from chancrawl.errors import UserError, store_failed
from chancrawl.forget.upkeep import Upkeep
from chancrawl.sources import Sources
from chancrawl.storage.base import RowSink
from chancrawl.storage.batch_writer import RejectsAll
from chancrawl.storage.kinds import components
from chancrawl.storage.session import Session
from chancrawl.text import first_line

logger = logging.getLogger(__name__)


class BatchingPipeline:
    """Base of the store pipelines. A subclass defines `prepare` and `store`; `store` commits a batch as a whole.

    A batch is written when it has BATCH_SIZE items, when its oldest item has waited BATCH_SECONDS, and at the end of
    the crawl. Batches are written one at a time and in order. While one is written, the next one is prepared and
    another one is filled. When that one is full, the crawl waits.
    """

    def __init__(self, crawler: Crawler, session: Session) -> None:
        self.crawler = crawler
        self.session = session
        self.sources = Sources.of(crawler)
        self.sinks = list(_sinks(crawler))
        self.upkeep = Upkeep(crawler, session)
        self.stats = crawler.stats
        self.batch_size = crawler.settings.getint("BATCH_SIZE")
        self.batch_seconds = crawler.settings.getfloat("BATCH_SECONDS")
        self.batch: list[Any] = []
        self.failure: UserError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._places = asyncio.Semaphore(2)
        self._preparing = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        for signal in (signals.item_dropped, signals.item_error):
            crawler.signals.connect(self._let_close, signal)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler, Session.of(crawler))

    # --- what a subclass defines

    def prepare(self, batch: Sequence[Any]) -> Any:
        """Convert a batch for `store`, which gets the result. Called in a separate thread."""
        return None

    async def store(self, batch: Sequence[Any], prepared: Any) -> None:
        """Commit a batch and call `stored`, or raise an error and leave the store unchanged."""
        raise NotImplementedError

    # --- what Scrapy calls

    async def open_spider(self) -> None:
        try:
            await self.session.open()
            await self.upkeep.begin()
            for sink in list(self.sinks):
                await self._sink(sink, sink.open, is_start=True)
        except UserError as error:
            raise error.tell(self.crawler) from None

    async def process_item(self, item: Any) -> Any:
        if self.upkeep.is_too_old(item):
            self.stats.inc_value("items/too_old")
            return item
        self.batch.append(item)
        self.stats.inc_value("item_scraped_count")
        if len(self.batch) >= self.batch_size:
            await self._hand_over(self.batch_size)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.batch_seconds, self._flush_by_age)
        self._let_close()
        return item

    def _let_close(self) -> None:
        if stopping(self.crawler):
            asyncio.get_running_loop().call_later(0.1, let_close, self.crawler)

    async def close_spider(self) -> None:
        await self._hand_over()
        while self._tasks:
            await asyncio.gather(*self._tasks)
        for sink in list(self.sinks):
            await self._sink(sink, sink.close)

    # --- batches

    def _flush_by_age(self) -> None:
        self._begin(self._hand_over())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, least: int = 1) -> None:
        """Start to write the collected batch, if it has `least` items, as soon as fewer than two are being written."""
        await self._places.acquire()
        if len(self.batch) < least:  # another call has handed the batch over
            self._places.release()
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self.batch = self.batch, []
        self._begin(self._write_out(batch))

    async def _write_out(self, batch: list[Any]) -> None:
        try:
            async with self._preparing:
                prepared = await asyncio.to_thread(self.prepare, batch)
                await self._writing.acquire()  # still under _preparing, so that batches stay in order
            try:
                if self.failure is None:
                    left = self.session.forgotten.left(batch)
                    for sink in list(self.sinks):
                        await self._sink(sink, sink.announce, left)
                    await self.store(batch, prepared)
                else:
                    self.stats.inc_value("store/not_written", len(batch))
            finally:
                self._writing.release()
        except Exception as error:
            self._fail(batch, error)
        finally:
            self._places.release()

    def _fail(self, batch: list[Any], error: Exception) -> None:
        # State must never be ahead of the data, so nothing is written after a lost batch.
        self.stats.inc_value("store/not_written", len(batch))
        if self.failure is not None:
            return
        self.failure = self.explain(error)
        end(self.crawler, self.failure, unless_stopping=False)

    async def stored(self, batch: Sequence[Any], rejected: Sequence[Any] = ()) -> None:
        """A batch was stored, except `rejected` and the state that waits for these rows. Informs sources and sinks."""
        rows, waiting = self.divided(batch, rejected)
        for item in (*rejected, *waiting):
            self.sources.of_item(item).reject(item)
        if waiting:
            self.stats.inc_value("store/held_back", len(waiting))
        self.sources.committed(rows)
        self.stats.inc_value("store/batches")
        self.stats.inc_value("store/rows", len(rows))
        await self.to_sinks(rows)

    def divided(self, batch: Sequence[Any], rejected: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """The rows of a batch that are stored, and the state that is not, because it waits for other rows."""
        if not rejected and not self.session.held_back:
            return batch, ()
        out = set(map(id, rejected))
        left = [(item, self.session.held_back.waits(item)) for item in batch if id(item) not in out]
        return [item for item, waits in left if not waits], [item for item, waits in left if waits]

    async def to_sinks(self, batch: Sequence[Any]) -> None:
        left = self.session.forgotten.left(batch)
        if removed := len(batch) - len(left):
            self.stats.inc_value("store/removed", removed)
        for sink in list(self.sinks):
            await self._sink(sink, sink.write, left)

    async def _sink(self, sink: RowSink, call: Callable[..., None], *arguments: Any, is_start: bool = False) -> None:
        """Call a sink. One that fails costs itself alone: the store has the rows, and it can be rebuilt from them."""
        try:
            await asyncio.to_thread(call, *arguments)
        except UserError as error:
            if is_start:
                raise
            self.sinks.remove(sink)
            self.stats.inc_value("sinks/failed")
            logger.error("%s", error)
        except Exception as error:
            self.sinks.remove(sink)
            self.stats.inc_value("sinks/failed")
            logger.error(
                "The sink %s is not written to any more (%s: %s). The store has all rows: rebuild it from there.",
                type(sink).__name__, type(error).__name__, error,
            )  # fmt: skip

    @contextlib.contextmanager
    def one_reason(self) -> Iterator[None]:
        """If all rows are rejected for one reason, the database is the cause: end the crawl and set nothing aside."""
        try:
            yield
        except RejectsAll as error:
            raise UserError(
                f"The crawl stops because {self.session.store.place} rejects every row ({error}). None of them is "
                "stored or counts as read; mend the tables and start again, and they are fetched.",
                reason="store_failed",
            ) from None

    def explain(self, error: Exception) -> UserError:
        """The UserError for an error of `store`."""
        if isinstance(error, UserError):
            return error
        if isinstance(error, OSError) and error.strerror:
            return store_failed(str(error.filename or self.session.store.place), error.strerror)
        return store_failed(self.session.store.place, first_line(error))


def _sinks(crawler: Crawler) -> Iterator[RowSink]:
    """The sinks of the settings that are turned on."""
    for sink in components(crawler.settings, "ROW_SINKS"):
        with contextlib.suppress(NotConfigured):
            yield sink.from_crawler(crawler)
