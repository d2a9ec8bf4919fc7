"""Removes posts by their age: KEEP_DAYS for all posts, KEEP_DELETED_DAYS for those that were deleted on the site."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from scrapy.settings import BaseSettings

from chancrawl.imageboards.forgetting import without_posts
from chancrawl.storage.base import Statement, Store, marks

AT_ONCE = 500
"""Posts that are removed in one transaction. Crawls write between them."""

OLD_POSTS = f"SELECT no FROM posts WHERE board = ? AND posted_at < ? ORDER BY posted_at LIMIT {AT_ONCE}"
DELETED_POSTS = f"SELECT no FROM posts WHERE board = ? AND deleted_at < ? ORDER BY deleted_at LIMIT {AT_ONCE}"
OLD_TWEETS = f"SELECT id FROM tweets WHERE posted_at < ? ORDER BY posted_at LIMIT {AT_ONCE}"
EMPTY_THREADS = """
DELETE FROM threads WHERE last_seen_at < ? AND fate <> 'live' AND NOT EXISTS (
    SELECT 1 FROM posts WHERE posts.board = threads.board AND posts.thread_no = threads.no)
"""
NOTE = "INSERT INTO removals (kind, reason, requested_at, finished_at, rows) VALUES ('age', ?, ?, ?, ?)"


def limit_of(settings: BaseSettings, name: str, now: datetime | None = None) -> datetime | None:
    """The time before which posts are not kept; None if the setting is 0."""
    days = settings.getfloat(name)
    return (now or datetime.now(UTC)) - timedelta(days=days) if days else None


class Retention:
    """What is not kept of a store. `step` is repeated until it returns 0, so that others write between its steps."""

    def __init__(self, settings: BaseSettings, store: Store, before: Callable[[], object] = lambda: None) -> None:
        self.store = store
        self.before = before
        """Called before the first posts are removed."""
        self.began = datetime.now(UTC)
        self.old = limit_of(settings, "KEEP_DAYS", self.began)
        self.deleted = limit_of(settings, "KEEP_DELETED_DAYS", self.began)
        self.done: Counter[str] = Counter()

    @property
    def is_on(self) -> bool:
        return self.old is not None or self.deleted is not None

    def step(self) -> int:
        """Remove some posts. Returns their number; after the last ones, the removal is noted."""
        for sql, limit in ((OLD_POSTS, self.old), (DELETED_POSTS, self.deleted)):
            if limit is not None and (number := self._posts(sql, limit)):
                return number
        if self.old is not None and (number := self._tweets(self.old)):
            return number
        self._note()
        return 0

    def _posts(self, sql: str, limit: datetime) -> int:
        for (board,) in self.store.rows("SELECT DISTINCT board FROM board_hours WHERE posts > 0"):
            numbers = [no for (no,) in self.store.rows(sql, board, limit)]
            if numbers:
                self._begin()
                self.store.write([(self.store.sql_alone, ()), *without_posts(self.store, board, numbers)])
                self.done["posts"] += len(numbers)
                return len(numbers)
        return 0

    def _tweets(self, limit: datetime) -> int:
        ids = [number for (number,) in self.store.rows(OLD_TWEETS, limit)]
        if ids:
            self._begin()
            self.store.write([(f"DELETE FROM tweets WHERE id IN ({marks(ids)})", tuple(ids))])
            self.done["tweets"] += len(ids)
        return len(ids)

    def _begin(self) -> None:
        if not self.done:
            self.before()

    def _note(self) -> None:
        statements: list[Statement] = []
        if self.old is not None:
            statements.append((EMPTY_THREADS, (self.old,)))
        if self.done:
            days = f"before {self.old:%Y-%m-%d %H:%M}" if self.old else f"deleted before {self.deleted:%Y-%m-%d %H:%M}"
            statements.append((NOTE, (days, self.began, datetime.now(UTC), json.dumps(self.done))))
        self.store.write(statements)
