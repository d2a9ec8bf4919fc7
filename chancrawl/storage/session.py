"""What is already stored.

The store is used by one thread of its own, which takes reads and writes in the order they are asked for: the reactor
never waits for a disk or a database, and a read sees every write before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import psycopg2
from scrapy import signals
from scrapy.crawler import Crawler

from chancrawl.engine import end, stays, stopping
from chancrawl.errors import StoreAway, UserError, store_failed
from chancrawl.http import http_time
from chancrawl.imageboards.diff import Held, Known
from chancrawl.items import Board, Deletion, Item, Post, Thread, Validator
from chancrawl.outcome import incomplete
from chancrawl.storage import runs
from chancrawl.storage.base import moment, store_of
from chancrawl.storage.held_back import HeldBack
from chancrawl.storage.runs import BEAT
from chancrawl.text import capitalized, first_line
from chancrawl.x.ledger import XLedger

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

FAR = timedelta(days=400)
"""So far in the future no source's clock is, not even a sandbox's that runs fast."""

KNOWN_POSTS_IN_MEMORY = 250_000
"""Above this many posts, what is held of the threads asked for longest ago leaves the memory."""


class Ledger:
    """The extension through which spiders ask what is held, and pipelines write it."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.store = store_of(crawler.settings)
        self.started_at = datetime.now(UTC)
        self.run_id: int | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._held: OrderedDict[tuple[str, int], Held] = OrderedDict()  # the thread asked for last at the end
        self._uncommitted: dict[tuple[str, int], int] = {}  # items on their way to the store
        self._newest: dict[str, int] = {}  # by board: no thread with a higher number is in the store and not in memory
        self._known_posts = 0
        self._validators: dict[str, str] | None = None
        self._listed_board = ""  # the board whose threads were asked for last, as the store had them,
        self._listed: dict[int, Thread] = {}  # with what has become of them since
        self._is_there = asyncio.Event()  # the store is in reach, and all that waited for it is written
        self._is_there.set()
        self._returning: asyncio.Task[None] | None = None
        self._is_ending = False
        self._away_since = 0.0
        self._patience = crawler.settings.getfloat("STORE_PATIENCE")
        self._boards: tuple[str, ...] = ()  # that this crawl follows
        self._beating: asyncio.Task[None] | None = None
        self.failure: UserError | None = None
        """Why the store cannot be used any more, if it was in reach again and something else was wrong."""
        self.is_full = False
        """Whether the store, or the disk where batches wait for it, takes no more: nothing is asked for meanwhile."""
        self.is_following = False
        """Whether boards are watched without an end. Then what is held of live threads stays in memory, and `call`
        raises StoreAway and does not wait while the store is away: what needs it is put off, and the rest goes on."""
        self.on_return: Callable[[], Awaitable[None]] | None = None
        """Writes what waited for the store, and then calls `came_back`; StoreAway if it is gone again."""
        self.held_back = HeldBack()
        self.x = XLedger(self)
        self.before_closing: list[Callable[[], Awaitable[None]]] = []  # what others still have to write

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        ledger = cls(crawler)
        crawler.signals.connect(ledger.spider_closed, signals.spider_closed)
        return ledger

    @classmethod
    def of(cls, crawler: Crawler) -> Ledger:
        """The ledger of a crawl."""
        ledger = crawler.get_extension(cls)
        assert ledger is not None, "chancrawl.storage.session.Ledger is not among the EXTENSIONS"
        return ledger

    # --- the store's thread, and a store that is out of reach

    @property
    def is_away(self) -> bool:
        """Whether the store is out of reach, or not all is written yet that waited for it."""
        return not self._is_there.is_set()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in the store's thread; wait and try again while the store is out of reach.

        UserError if the crawl ends meanwhile.
        """
        while True:
            if self.is_away and self.is_following:
                raise StoreAway
            await self.wait_for_store()
            try:
                return await self.attempt(function, *args, **kwargs)
            except StoreAway:
                if self.is_following:
                    raise

    async def attempt(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in the store's thread, once; StoreAway if the store is out of reach."""
        for tries_left in (2, 1, 0):
            try:
                return await self._in_thread(functools.partial(function, *args, **kwargs))
            except Exception as error:
                if tries_left and self.store.is_collision(error):
                    continue
                if self.store.is_outage(error):
                    self._went_away(error)
                    raise StoreAway(first_line(error)) from None
                if isinstance(error, psycopg2.Error | sqlite3.Error):
                    raise store_failed(self.store.place, first_line(error)) from None
                raise
        raise AssertionError("not reached")

    async def wait_for_store(self) -> None:
        """UserError if the crawl ends before the store is back."""
        if not await self.is_back(lambda: stopping(self.crawler)):
            waited = f" for {self._patience / 60:.0f} minutes (STORE_PATIENCE)" if self.is_patience_over else ""
            raise self.failure or UserError(
                f"The crawl ends because {self.store.place} was out of reach{waited}.", "store_unavailable"
            )

    async def is_back(self, give_up: Callable[[], bool]) -> bool:
        """Wait for the store; whether it is back before somebody gives it up."""
        while self.is_away and self.failure is None and not give_up() and not self.is_patience_over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_there.wait(), 0.2)
        return not self.is_away

    def _went_away(self, error: Exception) -> None:
        if self.is_away:
            return
        if isinstance(error.__context__, psycopg2.Error):  # the end of the transaction has hidden the reason
            error = error.__context__
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
        """Try until the store is back, with longer and longer pauses."""
        pause = 0.5
        while True:
            for _ in range(int(pause / 0.1)):  # in short steps, so that Ctrl-C is heard
                if self.is_ending:
                    return
                await asyncio.sleep(0.1)
            pause = min(pause * 2, 10.0)
            try:
                await self._in_thread(self.store.connect)
                if self.run_id is not None:  # before all that waits is written: nobody is to take its boards meanwhile
                    await self.attempt(runs.beat, self.store, self.run_id, self.crawler.stats.get_stats())
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
                self.failure = failure.tell(self.crawler)
                self._closing = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason=failure.reason))
            return

    @property
    def is_ending(self) -> bool:
        """Whether nobody waits for the store any more: a person has stopped the crawl, or it is at its end."""
        return self._is_ending or not self.crawler.crawling

    async def stop_returning(self) -> None:
        """Do not try any more to have the store back; what is being written is written."""
        self._is_ending = True
        if self._returning is not None:
            await self._returning

    def came_back(self, written: str = "") -> None:
        """The store is in reach, and all that waited for it is written."""
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
        logger.info("Storing in %s%s.", self.store.place, "" if self.crawler.settings.get("DATABASE_URL") else
                    ", as CSV files: DATABASE_URL is not set")  # fmt: skip
        self._beating = asyncio.ensure_future(self._beat_on())

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            if self.run_id is not None and not self.is_away:
                await self._beat()

    async def _beat(self) -> None:
        """Give a sign of life; end the crawl if one that began before it follows the same boards."""
        assert self.run_id is not None
        try:
            others = await self.attempt(self._beat_now, self.run_id)
        except (StoreAway, UserError):  # whoever writes next meets it, too
            return
        if others and others[0].run_id < self.run_id:  # it was thought to be dead, and is back
            end(self.crawler, UserError(
                f"{capitalized(str(others[0]))} follows the same boards again, and was there before: this crawl ends. "
                "Start it again, and it stands by.", reason="doubled",
            ))  # fmt: skip

    def _beat_now(self, run_id: int) -> list[runs.Run]:
        runs.beat(self.store, run_id, self.crawler.stats.get_stats())
        return runs.others(self.store, run_id, self._boards) if self._boards else []

    async def follow(self, boards: Collection[str]) -> list[runs.Run]:
        """Note that this crawl follows boards; if other crawls follow one of them, these, and nothing is noted."""
        others = await self.call(self._claim, boards)
        self._boards = () if others else tuple(boards)
        return others

    def _claim(self, boards: Collection[str]) -> list[runs.Run]:
        self.prepare()
        assert self.run_id is not None
        return runs.claim(self.store, self.run_id, boards)

    async def spider_closed(self, reason: str) -> None:
        self.is_following = False
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
        """Get the store ready for the first row. Blocks; called in the store's thread."""
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
        stats = json.dumps(self.crawler.stats.get_stats(), default=str, sort_keys=True)
        dollars = self.crawler.stats.get_value("x/dollars")
        sql = "UPDATE runs SET finished_at = ?, finish_reason = ?, stats = ?, dollars = ? WHERE run_id = ?"
        self.store.rows(sql, datetime.now(UTC).isoformat(), reason, stats, dollars, self.run_id)

    # --- what is held

    async def boards(self) -> dict[str, Board]:
        rows = await self.select(Board)
        return {board.board: board for board in rows}

    async def threads(self, board: str) -> dict[int, Thread]:
        """The threads of a board that can still change or be read again: live and archived ones."""
        if not (self.is_away and board == self._listed_board):
            rows = await self.select(Thread, "WHERE board = ? AND fate IN ('live', 'archived')", board)
            self._listed_board, self._listed = board, {thread.no: thread for thread in rows}
        threads = dict(self._listed)
        for (name, no), held in self._held.items():  # not all of this may be committed yet
            if name == board and held.thread is not None:
                threads[no] = held.thread
        return {no: thread for no, thread in threads.items() if thread.fate in ("live", "archived")}

    async def validator(self, path: str) -> str | None:
        if self._validators is None:
            rows = await self.call(self.store.rows, "SELECT path, last_modified FROM validators")
            self._validators = dict(rows)
        return self._validators.get(path)

    async def thread(self, board: str, no: int) -> Held:
        """What is held of a thread, items on their way to the store included. The same object as long as it is used."""
        await self.load(board, [no])
        return self.loaded(board, no)

    def loaded(self, board: str, no: int) -> Held:
        """What is held of a thread that was loaded, before anything else is."""
        return self._held[board, no]

    async def load(self, board: str, nos: Collection[int]) -> None:
        """Load what is held of threads."""
        if board not in self._newest:
            rows = await self.call(self.store.rows, "SELECT max(thread_no) FROM posts WHERE board = ?", board)
            self._newest[board] = (rows[0][0] if rows else 0) or 0
        while unknown := [no for no in nos if (board, no) not in self._held]:  # one can be dropped meanwhile
            await self._load(board, unknown)
        for no in nos:
            self._held.move_to_end((board, no))
        self._forget(len(nos))

    async def _load(self, board: str, nos: Collection[int]) -> None:
        found = {no: Held() for no in nos}
        stored = [no for no in nos if no <= self._newest[board]]
        if self.is_away and board == self._listed_board:
            # Of the others there is no state. If some posts are there all the same, they are not written again.
            stored = [no for no in stored if no in self._listed]
        for start in range(0, len(stored), 500):
            some = stored[start : start + 500]
            where = f"WHERE board = ? AND no IN ({', '.join('?' * len(some))})"
            for thread in await self.select(Thread, where, board, *some):
                found[thread.no] = Held(_plausible(thread), as_of=_known_as_of(thread))
            for no, *known in await self.call(self.store.rows, known_posts(len(some)), board, *some):
                found[no].posts[known[0]] = Known(known[1], known[2], *map(moment, known[3:]))
        for no, held in found.items():
            if (board, no) not in self._held:
                self._held[board, no] = held
                self._known_posts += len(held.posts)

    async def sources(self) -> list[str]:
        """The addresses of the APIs that this store was filled from."""
        return [source for (source,) in await self.call(self.store.rows, "SELECT DISTINCT source FROM runs")]

    # --- items on their way to the store

    def accept(self, item: Item) -> bool:
        """Take note of an item that goes to the store. False if it says nothing that is not held already."""
        if isinstance(item, Post | Deletion | Thread):
            key = _thread_of(item)
            held = self._held.get(key)
            if held is not None:
                before = len(held.posts)
                if not held.apply(item):
                    return False
                self._known_posts += len(held.posts) - before
            self._uncommitted[key] = self._uncommitted.get(key, 0) + 1
        elif isinstance(item, Validator):
            if self._validators is not None:
                self._validators[item.path] = item.last_modified
        else:
            self.x.accept(item)
        return True

    def reject(self, item: Item) -> None:
        """The inverse of `accept`: an item does not come to the store, and what it says is asked for again.

        State that waits for it is held back; see `held_back`.
        """
        self.held_back.missed(item)
        self.forget(item)

    def forget(self, item: Item) -> None:
        """What does not come to the store is not held either."""
        if isinstance(item, Post | Deletion | Thread):
            key = _thread_of(item)
            held = self._held.get(key)
            if held is not None:
                before = len(held.posts)
                held.reject(item)
                self._known_posts += len(held.posts) - before
            self._arrived(key)
        elif isinstance(item, Validator):
            if self._validators is not None:
                self._validators.pop(item.path, None)
        else:
            self.x.reject(item)

    def committed(self, batch: Iterable[Item]) -> None:
        """The batch is stored."""
        for item in batch:
            if isinstance(item, Post | Deletion | Thread):
                self._arrived(_thread_of(item))
            else:
                self.x.committed(item)

    def _arrived(self, key: tuple[str, int]) -> None:
        """An item of a thread is no longer on its way."""
        if key not in self._uncommitted:
            return
        self._uncommitted[key] -= 1
        if not self._uncommitted[key]:
            del self._uncommitted[key]
            held = self._held.get(key)
            if held is not None and held.thread is not None and not self._will_be_asked_for(held.thread):
                self._drop(key)

    def _will_be_asked_for(self, thread: Thread) -> bool:
        return self.is_following and thread.fate == "live"

    def _forget(self, in_use: int) -> None:
        """Keep memory bounded: drop what can be read again from the store, but for the threads asked for last."""
        if self._known_posts <= KNOWN_POSTS_IN_MEMORY:
            return
        for key in list(self._held)[: -max(in_use, 100)]:
            if self._known_posts <= KNOWN_POSTS_IN_MEMORY:
                return
            if key not in self._uncommitted:
                self._drop(key)

    def _drop(self, key: tuple[str, int]) -> None:
        board, no = key
        thread = self._held[key].thread
        if board == self._listed_board and thread is not None:
            self._listed[no] = thread
        self._newest[board] = max(self._newest[board], no)
        self._known_posts -= len(self._held.pop(key).posts)

    async def select(self, item_class: type[T], where: str = "", *parameters: Any) -> list[T]:
        """Items of one kind from the store; `where` is the rest of the query."""
        names = [f.name for f in fields(item_class)]  # type: ignore[arg-type]
        sql = f"SELECT {', '.join(names)} FROM {item_class.__name__.lower()}s {where}"
        rows = await self.call(self.store.rows, sql, *parameters)
        return [restore(item_class, row) for row in rows]


def _thread_of(item: Post | Deletion | Thread) -> tuple[str, int]:
    return item.board, item.no if isinstance(item, Thread) else item.thread_no


def _known_as_of(thread: Thread) -> datetime | None:
    """The time until which a stored thread is known; times in the future, which were stored once, say nothing."""
    times = (thread.last_modified, http_time(thread.http_last_modified))
    latest = datetime.now(UTC) + FAR
    return max((time for time in times if time and time <= latest), default=None)


def _plausible(thread: Thread) -> Thread:
    """A stored thread without a Last-Modified that lies in the future: it would be sent for ever."""
    if (http_time(thread.http_last_modified) or datetime.now(UTC)) > datetime.now(UTC) + FAR:
        return replace(thread, http_last_modified=None)
    return thread


def known_posts(threads: int) -> str:
    return (
        "SELECT thread_no, no, digest, revision, first_seen_at, deleted_at, deletion_confirmed_at FROM posts "
        f"WHERE board = ? AND thread_no IN ({', '.join('?' * threads)})"
    )


def restore(item_class: type[T], row: Sequence[Any]) -> T:
    """An item from its row, in PostgreSQL's types or in SQLite's."""
    values = {}
    for field, value in zip(fields(item_class), row, strict=True):  # type: ignore[arg-type]
        if value is not None:
            if "datetime" in str(field.type):
                value = moment(value)
            elif "bool" in str(field.type):
                value = bool(value)
            elif isinstance(value, str) and str(field.type).startswith(("Raw", "Metrics", "list")):
                value = json.loads(value)  # SQLite has texts for them
        values[field.name] = value
    return item_class(**values)
