"""What is already stored of boards, threads and posts, items on their way to the store included."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from scrapy.crawler import Crawler

from chancrawl.engine import PerCrawl
from chancrawl.http import http_time
from chancrawl.imageboards.diff import StoredPost, StoredThread
from chancrawl.items import Board, Deletion, Post, Thread, Validator
from chancrawl.storage.base import moment
from chancrawl.storage.session import Session

FAR = timedelta(days=400)
"""So far in the future no source's clock is, not even a sandbox's that runs fast."""

KNOWN_POSTS_IN_MEMORY = 250_000
"""Above this many posts, what is stored of the threads asked for longest ago leaves the memory."""


class BoardLedger(PerCrawl):
    """The extension that knows what is stored of boards."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.session = Session.of(crawler)
        self._held: OrderedDict[tuple[str, int], StoredThread] = OrderedDict()  # the thread asked for last at the end
        self._uncommitted: dict[tuple[str, int], int] = {}  # items on their way to the store
        self._newest: dict[str, int] = {}  # by board: no thread with a higher number is in the store and not in memory
        self._known_posts = 0
        self._validators: dict[str, str] | None = None
        self._listed_board = ""  # the board whose threads were asked for last, as the store had them,
        self._listed: dict[int, Thread] = {}  # with what has become of them since
        self._keeps_live = False

    def follow(self) -> None:
        """Boards are followed from now on: what is stored of live threads stays in memory, and nothing waits for a
        store that is out of reach."""
        self._keeps_live = True
        self.session.waits = False

    # --- what is held

    async def boards(self) -> dict[str, Board]:
        rows = await self.session.select(Board)
        return {board.board: board for board in rows}

    async def threads(self, board: str) -> dict[int, Thread]:
        """The threads of a board that can still change or be read again: live and archived ones."""
        if not (self.session.is_away and board == self._listed_board):
            rows = await self.session.select(Thread, "WHERE board = ? AND fate IN ('live', 'archived')", board)
            self._listed_board, self._listed = board, {thread.no: thread for thread in rows}
        threads = dict(self._listed)
        for (name, no), held in self._held.items():  # not all of this may be committed yet
            if name == board and held.thread is not None:
                threads[no] = held.thread
        return {no: thread for no, thread in threads.items() if thread.fate in ("live", "archived")}

    async def validator(self, path: str) -> str | None:
        if self._validators is None:
            rows = await self.session.call(self.session.store.rows, "SELECT path, last_modified FROM validators")
            self._validators = dict(rows)
        return self._validators.get(path)

    async def thread(self, board: str, no: int) -> StoredThread:
        """What is held of a thread, items on their way to the store included. The same object as long as it is used."""
        await self.load(board, [no])
        return self.loaded(board, no)

    def loaded(self, board: str, no: int) -> StoredThread:
        """What is held of a thread that was loaded, before anything else is."""
        return self._held[board, no]

    async def load(self, board: str, nos: Collection[int]) -> None:
        """Load what is held of threads."""
        if board not in self._newest:
            rows = await self.session.call(
                self.session.store.rows, "SELECT max(thread_no) FROM posts WHERE board = ?", board
            )
            self._newest[board] = (rows[0][0] if rows else 0) or 0
        while unknown := [no for no in nos if (board, no) not in self._held]:  # one can be dropped meanwhile
            await self._load(board, unknown)
        for no in nos:
            self._held.move_to_end((board, no))
        self._forget(len(nos))

    async def _load(self, board: str, nos: Collection[int]) -> None:
        found = {no: StoredThread() for no in nos}
        stored = [no for no in nos if no <= self._newest[board]]
        if self.session.is_away and board == self._listed_board:
            # Of the others there is no state. If some posts are there all the same, they are not written again.
            stored = [no for no in stored if no in self._listed]
        for start in range(0, len(stored), 500):
            some = stored[start : start + 500]
            where = f"WHERE board = ? AND no IN ({', '.join('?' * len(some))})"
            for thread in await self.session.select(Thread, where, board, *some):
                found[thread.no] = StoredThread(_plausible(thread), as_of=_known_as_of(thread))
            for no, *known in await self.session.call(self.session.store.rows, known_posts(len(some)), board, *some):
                found[no].posts[known[0]] = StoredPost(known[1], known[2], *map(moment, known[3:]))
        for no, held in found.items():
            if (board, no) not in self._held:
                self._held[board, no] = held
                self._known_posts += len(held.posts)

    # --- items on their way to the store

    def accept(self, item: Any) -> str | None:
        """Take note of an item that goes to the store: what it is counted as; None if it says nothing new."""
        if isinstance(item, Validator) and self._validators is not None:
            self._validators[item.path] = item.last_modified
        if not isinstance(item, Post | Deletion | Thread):
            return type(item).__name__.lower()
        key = _thread_of(item)
        held = self._held.get(key)
        if held is not None:
            before = len(held.posts)
            if not held.apply(item):
                return None
            self._known_posts += len(held.posts) - before
        self._uncommitted[key] = self._uncommitted.get(key, 0) + 1
        if isinstance(item, Post) and item.revision > 1:
            return "revision"
        if isinstance(item, Thread) and item.first_seen_at != item.last_seen_at:
            return "thread/changed"  # not a new one
        return type(item).__name__.lower()

    def reject(self, item: Any) -> None:
        """The inverse of `accept`: an item does not come to the store, and what it says is asked for again."""
        if isinstance(item, Post | Deletion | Thread):
            key = _thread_of(item)
            held = self._held.get(key)
            if held is not None:
                before = len(held.posts)
                held.reject(item)
                self._known_posts += len(held.posts) - before
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
            held = self._held.get(key)
            if held is not None and held.thread is not None and not self._will_be_asked_for(held.thread):
                self._drop(key)

    def _will_be_asked_for(self, thread: Thread) -> bool:
        return self._keeps_live and thread.fate == "live"

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
