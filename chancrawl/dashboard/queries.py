"""Queries for web pages: few at a time, each with a time limit, shared by equal requests, ended when nobody waits.

*Flow:* `Queries.run` → a free `Desk`, in a thread → the function of the page, which reads its parts by `Desk.part` →
all transactions are over before the answer is sent. So no reader keeps the log of an embedded database from being
emptied, and none holds a snapshot of PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg2
from psycopg2.errors import QueryCanceled
from scrapy.settings import BaseSettings

from chancrawl.errors import UserError
from chancrawl.health import snapshot
from chancrawl.storage.base import Store
from chancrawl.storage.factory import store_of
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.postgres.migrations import SETTINGS
from chancrawl.storage.sqlite.store import SqliteStore

T = TypeVar("T")

AT_ONCE = 4
"""Queries of pages at a time."""

PAGE_SECONDS = 3.0
"""The time of a page. What does not fit says so."""

TABLES = (*snapshot.TABLES, "post_revisions", "threads", "tweets", "accounts", "handles", "trends")
"""The tables that pages read."""


class Late(Exception):
    """The time of the page is over."""


class Missing(UserError):
    """What was asked for is not stored."""


LATE = Late()
"""What stands in the place of a part that did not fit."""


class Desk:
    """A connection to read, used by one thread at a time."""

    def __init__(self, settings: BaseSettings) -> None:
        self.settings = settings
        self.deadline = 0.0
        self._store: Store | None = None
        self._is_cancelled = threading.Event()
        self._is_spoiled = False

    @property
    def store(self) -> Store:
        assert self._store is not None
        return self._store

    def open(self) -> None:
        """Connect, if there is no connection. UserError if that is not possible."""
        if self._store is None:
            store = store_of(self.settings)
            _refuse_copies(store)
            store.open_to_read(TABLES)
            if isinstance(store, PostgresStore):
                store.connection.set_session(readonly=True)
                store.settings = self._settings_now
            else:
                store.connection.set_progress_handler(self._is_over, 2_000)  # type: ignore[attr-defined]
            for name in ("rows", "stream"):
                setattr(store, name, self._checked(getattr(store, name)))
            self._store = store

    def _checked(self, call: Callable[..., T]) -> Callable[..., T]:
        """A call that raises Late if no time is left: many quick ones would else go on for ever."""

        def checked(*arguments: Any) -> T:
            self._settings_now()
            return call(*arguments)

        return checked

    def close(self) -> None:
        if self._store is not None:
            with contextlib.suppress(*self._store.errors):
                self._store.close()
            self._store = None

    def cancel(self) -> None:
        """End the query that runs. Called from another thread."""
        self._is_cancelled.set()
        if isinstance(self._store, PostgresStore):
            with contextlib.suppress(psycopg2.Error):
                self._store.connection.cancel()

    def reserve(self) -> None:
        """Begin a query: from now on, `cancel` is meant for it. Called before its thread runs."""
        self._is_spoiled |= self._is_cancelled.is_set()  # what cancelled the one before may be on its way to the server
        self._is_cancelled.clear()

    def run(self, function: Callable[[Desk], T], seconds: float) -> T:
        """The result of a function that reads. Late if it takes longer than `seconds`."""
        if self._is_spoiled:
            self.close()
            self._is_spoiled = False
        self.deadline = time.monotonic() + seconds
        try:
            self.open()
            return self._limited(lambda: function(self))
        except BaseException as error:
            if self._store is not None and (isinstance(error, self.store.errors) or self._is_cancelled.is_set()):
                self.close()  # the next one connects again
            raise
        finally:
            self._end()

    def part(self, read: Callable[[], T]) -> T | Late:
        """A part of a page, or LATE if the time of the page is over before it is read."""
        try:
            return self._limited(read)
        except Late:
            self._end()
            return LATE

    def _limited(self, read: Callable[[], T]) -> T:
        self._settings_now()
        try:
            return read()
        except self.store.errors as error:
            if self._is_over() or isinstance(error, QueryCanceled):
                self.deadline = 0.0  # the server's clock may be a little ahead of ours
                raise Late from None
            raise

    def _settings_now(self) -> str:
        """The settings of a transaction in PostgreSQL that takes what is left of the time. Late if none is left."""
        left = self.deadline - time.monotonic()
        if left <= 0 or self._is_cancelled.is_set():
            raise Late
        return SETTINGS.replace("'10min'", f"'{max(int(left * 1000), 1)}ms'", 1)

    def _is_over(self) -> bool:
        return self._is_cancelled.is_set() or time.monotonic() > self.deadline

    def _end(self) -> None:
        """End the transaction of streams."""
        if isinstance(self._store, PostgresStore) and not self._store.connection.closed:
            with contextlib.suppress(psycopg2.Error):
                self._store.connection.rollback()


def _refuse_copies(store: Store) -> None:
    """UserError where an embedded database could only be read as a copy, which would be old soon: a reader who may not
    write needs the files that a running crawl keeps beside it."""
    if isinstance(store, SqliteStore) and store.file.exists():
        may_write = os.access(store.folder, os.W_OK) and os.access(store.file, os.W_OK)
        if not may_write and not store.log.exists():
            raise UserError(
                f"This user may not write to {store.folder}, and no crawl has {store.file.name} open, so it cannot be "
                "read as it is now: run the dashboard as the user who owns the folder.",
                reason="store_unavailable",
            )


@dataclass(slots=True)
class _Shared:
    """A query that runs or waits to run, and how many wait for it. It has a desk once it runs."""

    task: asyncio.Task[Any] = field(init=False)
    waiting: int = 0
    desk: Desk | None = None


class Queries:
    """The queries of all pages."""

    def __init__(self, settings: BaseSettings) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="page")
        self._free: list[Desk] = [Desk(settings) for _ in range(AT_ONCE)]
        self._all = tuple(self._free)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._shared: dict[Hashable, _Shared] = {}

    async def run(self, key: Hashable, function: Callable[[Desk], T], seconds: float = PAGE_SECONDS) -> T:
        """The result of a function that reads, in a thread. Requests with an equal key share it. Late if it takes
        longer than `seconds`, and UserError or an error of the store if it fails."""
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _Shared()
            shared.task = asyncio.ensure_future(self._run(key, shared, function, seconds))
            shared.task.add_done_callback(_forget)
        shared.waiting += 1
        try:
            result: T = await asyncio.shield(shared.task)
            return result
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.task.done():
                self._drop(key, shared)
                if shared.desk is None:
                    shared.task.cancel()
                else:  # its thread gives the desk back when the query has ended
                    asyncio.get_running_loop().run_in_executor(None, shared.desk.cancel)

    async def _run(self, key: Hashable, shared: _Shared, function: Callable[[Desk], T], seconds: float) -> T:
        try:
            async with self._turn:
                shared.desk = self._free.pop()
                shared.desk.reserve()
                try:
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(self._threads, shared.desk.run, function, seconds)
                finally:
                    self._free.append(shared.desk)
        finally:
            self._drop(key, shared)

    def _drop(self, key: Hashable, shared: _Shared) -> None:
        """Let no more requests wait for a query. A newer one with the same key stays."""
        if self._shared.get(key) is shared:
            del self._shared[key]

    def close(self) -> None:
        for desk in self._all:
            desk.cancel()
        self._threads.shutdown(wait=True)
        for desk in self._all:
            desk.close()


def _forget(task: asyncio.Task[Any]) -> None:
    """Take note of the error of a query for which nobody waits any more."""
    if not task.cancelled():
        task.exception()
