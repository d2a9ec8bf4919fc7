"""What is stored of boards, threads and posts, including items on their way to the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from scrapy.crawler import Crawler

from chancrawl.engine import PerCrawl
from chancrawl.frames import BoardProgress
from chancrawl.http import http_time
from chancrawl.imageboards.diff import StoredPost, StoredThread
from chancrawl.items import Board, Deletion, Post, Thread, Validator
from chancrawl.storage.base import marks, moment, parts
from chancrawl.storage.session import Session

FAR = timedelta(days=400)
"""A time further in the future than this is corrupt. A sandbox with a fast clock stays below it."""

POSTS_IN_MEMORY = 250_000
"""Above this number of posts, the least recently used threads are dropped from memory."""


class BoardLedger(PerCrawl):
    """The extension that knows what is stored of boards."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.session = Session.of(crawler)
        # The most recently used thread is at the end.
        self._stored: OrderedDict[tuple[str, int], StoredThread] = OrderedDict()
        self._uncommitted: dict[tuple[str, int], int] = {}  # items on their way to the store
        self._newest: dict[str, int] = {}  # by board: threads with a higher number are in memory or not stored
        self._posts_in_memory = 0
        self._validators: dict[str, str] | None = None
        self._listed_board = ""  # the board whose threads were selected last
        self._listed: dict[int, Thread] = {}  # these threads, as stored, and updated when they leave the memory
        self._keeps_live = False
        self.progress: Callable[[], Iterable[BoardProgress]] = tuple
        """The boards that are followed, with their lag."""

    def follow(self) -> None:
        """Boards are followed from now on. Live threads stay in memory, and no call waits for a store that is out of
        reach."""
        self._keeps_live = True
        self.session.waits = False

    # --- what is stored

    async def boards(self) -> dict[str, Board]:
        rows = await self.session.select(Board)
        return {board.board: board for board in rows}

    async def threads(self, board: str) -> dict[int, Thread]:
        """The threads of a board that can still change or be read again: live and archived ones."""
        if not (self.session.is_away and board == self._listed_board):
            rows = await self.session.select(Thread, "WHERE board = ? AND fate IN ('live', 'archived')", board)
            self._listed_board, self._listed = board, {thread.no: thread for thread in rows}
        threads = dict(self._listed)
        for (name, no), stored in self._stored.items():  # some may not be committed yet
            if name == board and stored.thread is not None:
                threads[no] = stored.thread
        return {no: thread for no, thread in threads.items() if thread.fate in ("live", "archived")}

    async def validator(self, path: str) -> str | None:
        if self._validators is None:
            rows = await self.session.call(self.session.store.rows, "SELECT path, last_modified FROM validators")
            self._validators = dict(rows)
        return self._validators.get(path)

    async def thread(self, board: str, no: int) -> StoredThread:
        """The stored state of a thread, with items on their way to the store. The same object as long as it is used."""
        await self.load(board, [no])
        return self.loaded(board, no)

    def loaded(self, board: str, no: int) -> StoredThread:
        """The stored state of a thread from the last call of `load`."""
        return self._stored[board, no]

    async def load(self, board: str, nos: Collection[int]) -> None:
        """Load the stored state of threads into memory."""
        if board not in self._newest:
            rows = await self.session.call(
                self.session.store.rows, "SELECT max(thread_no) FROM posts WHERE board = ?", board
            )
            self._newest[board] = (rows[0][0] if rows else 0) or 0
        while unknown := [no for no in nos if (board, no) not in self._stored]:  # another task can drop one meanwhile
            await self._load(board, unknown)
        for no in nos:
            self._stored.move_to_end((board, no))
        self._forget(len(nos))

    async def _load(self, board: str, nos: Collection[int]) -> None:
        found = {no: StoredThread() for no in nos}
        to_read = [no for no in nos if no <= self._newest[board]]
        if self.session.is_away and board == self._listed_board:
            # The others have no stored state. If some of their posts are stored, the store does not write them again.
            to_read = [no for no in to_read if no in self._listed]
        for some in parts(to_read):
            where = f"WHERE board = ? AND no IN ({marks(some)})"
            for thread in await self.session.select(Thread, where, board, *some):
                found[thread.no] = StoredThread(_plausible(thread), as_of=_known_as_of(thread))
            for no, *known in await self.session.call(self.session.store.rows, posts_query(some), board, *some):
                found[no].posts[known[0]] = StoredPost(known[1], known[2], *map(moment, known[3:]))
        for no, stored in found.items():
            if (board, no) not in self._stored:
                self._stored[board, no] = stored
                self._posts_in_memory += len(stored.posts)

    # --- items on their way to the store

    def accept(self, item: Any) -> str | None:
        """Record an item that goes to the store. Returns what it is counted as, or None if it changes nothing."""
        if isinstance(item, Validator) and self._validators is not None:
            self._validators[item.path] = item.last_modified
        if not isinstance(item, Post | Deletion | Thread):
            return type(item).__name__.lower()
        key = _thread_of(item)
        stored = self._stored.get(key)
        if stored is not None:
            before = len(stored.posts)
            if not stored.apply(item):
                return None
            self._posts_in_memory += len(stored.posts) - before
        self._uncommitted[key] = self._uncommitted.get(key, 0) + 1
        if isinstance(item, Post):
            return "post" if item.revision == 1 else "revision"
        if isinstance(item, Thread):
            return "thread" if item.first_seen_at == item.last_seen_at else "thread/changed"
        return "deletion"

    def reject(self, item: Any) -> None:
        """The inverse of `accept`: an item could not be stored, and its content is requested again."""
        if isinstance(item, Post | Deletion | Thread):
            key = _thread_of(item)
            stored = self._stored.get(key)
            if stored is not None:
                before = len(stored.posts)
                stored.reject(item)
                self._posts_in_memory += len(stored.posts) - before
            self._arrived(key)
        elif isinstance(item, Validator) and self._validators is not None:
            self._validators.pop(item.path, None)

    def committed(self, item: Any) -> None:
        """An item is stored."""
        if isinstance(item, Post | Deletion | Thread):
            self._arrived(_thread_of(item))

    def _arrived(self, key: tuple[str, int]) -> None:
        """An item of a thread is no longer on its way."""
        if key not in self._uncommitted:
            return
        self._uncommitted[key] -= 1
        if not self._uncommitted[key]:
            del self._uncommitted[key]
            stored = self._stored.get(key)
            if stored is not None and stored.thread is not None and not self._will_be_asked_for(stored.thread):
                self._drop(key)

    def _will_be_asked_for(self, thread: Thread) -> bool:
        return self._keeps_live and thread.fate == "live"

    def _forget(self, in_use: int) -> None:
        """Keep memory bounded: drop threads that are wholly in the store, except the most recently used ones."""
        if self._posts_in_memory <= POSTS_IN_MEMORY:
            return
        for key in list(self._stored)[: -max(in_use, 100)]:
            if self._posts_in_memory <= POSTS_IN_MEMORY:
                return
            if key not in self._uncommitted:
                self._drop(key)

    def _drop(self, key: tuple[str, int]) -> None:
        board, no = key
        thread = self._stored[key].thread
        if board == self._listed_board and thread is not None:
            self._listed[no] = thread
        self._newest[board] = max(self._newest[board], no)
        self._posts_in_memory -= len(self._stored.pop(key).posts)


def _thread_of(item: Post | Deletion | Thread) -> tuple[str, int]:
    return item.board, item.no if isinstance(item, Thread) else item.thread_no


def _known_as_of(thread: Thread) -> datetime | None:
    """The time up to which a stored thread is known. Times in the future, which older versions stored, are ignored."""
    times = (thread.last_modified, http_time(thread.http_last_modified))
    latest = datetime.now(UTC) + FAR
    return max((time for time in times if time and time <= latest), default=None)


def _plausible(thread: Thread) -> Thread:
    """A stored thread, without a Last-Modified in the future. It would be sent with each request and never match."""
    if (http_time(thread.http_last_modified) or datetime.now(UTC)) > datetime.now(UTC) + FAR:
        return replace(thread, http_last_modified=None)
    return thread


def posts_query(threads: Collection[int]) -> str:
    """SQL for the stored posts of a board's threads; its parameters are the board and the numbers of the threads."""
    return (
        "SELECT thread_no, no, digest, revision, first_seen_at, deleted_at, deletion_confirmed_at FROM posts "
        f"WHERE board = ? AND thread_no IN ({marks(threads)})"
    )
