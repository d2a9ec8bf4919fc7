"""Searches the texts of a store, newest first: by its index of words, or by reading all texts."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from chancrawl.exports.export import dialect_of
from chancrawl.find.index import Index, words_of
from chancrawl.find.postgres_index import PostgresIndex
from chancrawl.find.sqlite_index import SqliteIndex
from chancrawl.find.terms import Term
from chancrawl.find.texts import POSTS, TWEETS, Hit, Texts
from chancrawl.imageboards.stored_coverage import boards_of
from chancrawl.storage.base import Store
from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import SqliteStore

LAST = datetime.max.replace(tzinfo=UTC)


def index_of(store: Store) -> Index:
    """The index of a store, whether it exists or not."""
    if isinstance(store, SqliteStore):
        return SqliteIndex(store)
    assert isinstance(store, PostgresStore)
    return PostgresIndex(store)


@dataclass(slots=True)
class Search:
    """What is searched, and where. `boards` and `accounts` are None for all of them, and empty for none."""

    terms: Sequence[Term]
    boards: Sequence[str] | None = None
    accounts: Sequence[int] | None = None
    since: datetime | None = None
    until: datetime | None = None
    notice: str = field(default="", init=False)
    """Why all texts are read; empty if the index is used."""

    def hits(self, store: Store) -> Generator[Hit, None, None]:
        """The posts whose text has all terms, newest first."""
        index = index_of(store)
        words = words_of(index, self.terms) if index.is_complete() else []
        if not words:
            reason = ("only whole words of scripts with spaces are indexed" if index.is_complete() else
                      "there is no index of words (scrapy initdb --find builds one)")  # fmt: skip
            self.notice = f"All texts are read, newest first, because {reason}."
        found = []
        for texts, places in ((POSTS, self.boards), (TWEETS, self.accounts)):
            if places is None or places:
                names = None if places is None else list(map(str, places))
                rows = (
                    index.rows(texts, words, names, self.since, self.until)
                    if words
                    else self._scan(store, texts, names)
                )
                found.append(self._chosen(texts, rows, names))
        for _, hit in heapq.merge(*found, key=itemgetter(0), reverse=True):
            yield hit

    def _chosen(
        self, texts: Texts, rows: Iterator[Any], places: Sequence[str] | None
    ) -> Iterator[tuple[datetime, Hit]]:
        """The hits among rows that come newest first, each with its place in time. One without a time has that of the
        hit before it."""
        place = LAST
        patterns = [term.pattern for term in self.terms]
        owner = texts.columns.index("board" if texts is POSTS else "author_id")
        for row in rows:
            hit = texts.hit(row)
            if hit.at is None and (self.since or self.until):
                continue
            if self.since is not None and hit.at is not None and hit.at < self.since:
                return
            if self.until is not None and hit.at is not None and hit.at >= self.until:
                continue
            place = hit.at or place
            if places is not None and str(row[owner]) not in places:
                continue
            if all(pattern.search(hit.text) for pattern in patterns):
                yield place, hit

    def _scan(self, store: Store, texts: Texts, places: Sequence[str] | None) -> Iterator[Any]:
        """All rows that may have the terms, newest first."""
        dialect = dialect_of(store)
        pieces = [piece for term in self.terms for piece in term.text.split() if not set(piece) & set("&<>")]
        likes = [dialect.matches(f"({texts.text})", piece) for piece in pieces]
        times = [(f"posted_at {sign} ?", time) for sign, time in ((">=", self.since), ("<", self.until)) if time]
        where = " AND ".join(sql for sql, _ in (*times, *likes)) or "true"
        sql = f"SELECT {texts.selected} FROM {texts.table} WHERE {{}}{where} ORDER BY {texts.newest_first}"
        parameters = [parameter for _, parameter in (*times, *likes)]
        if texts is TWEETS:
            yield from store.stream(sql.format(""), *parameters)
            return
        # An index on (board, posted_at) gives the posts of each board in their order.
        boards = places or boards_of(store)
        time = texts.columns.index("posted_at")
        rows = [store.stream(sql.format("board = ? AND "), board, *parameters) for board in boards]
        yield from heapq.merge(*rows, key=lambda row: row[time], reverse=True)
