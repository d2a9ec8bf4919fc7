"""Writes a folder of CSV files: chan/BOARD/posts-YYYY-MM-DD.csv, …, twitter/HANDLE.csv, twitter/trends.csv.

CSV cannot replace a row, so every row is an event, appended: a version of a post (`revision` counts them), a state of a
thread (the last row of a thread is the current one), a deletion missed, confirmed or taken back. UTF-8, RFC 4180, a
header in each file; times are ISO 8601 in UTC, flags true and false, lists and `raw` JSON, nothing where the source
said nothing.

The SQLite ledger beside the files says how many bytes of each are committed (chancrawl/storage/csv/files.py). A batch
is appended and synced to disk first, and committed there together with the state it brings.
"""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import inf, isinf
from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from chancrawl.engine import stays
from chancrawl.errors import store_failed
from chancrawl.items import (
    ORDER,
    Account,
    Board,
    Deletion,
    Feed,
    Gap,
    Handle,
    Item,
    Poll,
    Post,
    Thread,
    Trend,
    Tweet,
    Validator,
    columns,
)
from chancrawl.payload import dumps, loads
from chancrawl.storage.base import moment
from chancrawl.storage.csv.files import DiskFull, is_full, transaction
from chancrawl.storage.quarantine import Quarantine
from chancrawl.storage.session import Ledger
from chancrawl.storage.sqlite.store import CsvStore
from chancrawl.x import legacy
from chancrawl.x.api import HANDLE
from pipelines.batching import BatchingPipeline

logger = logging.getLogger(__name__)

CSV_COLUMNS: dict[type[Item], list[str]] = {
    Post: [name for name in columns(Post) if name != "digest"],
    Thread: columns(Thread),
    Deletion: columns(Deletion),
    Board: columns(Board),
    Poll: columns(Poll),
    Tweet: [*legacy.COLUMNS, "author_id"],
    Trend: columns(Trend),
    Account: columns(Account),
    Handle: columns(Handle),
    Gap: columns(Gap),
}
METRICS = "twitter/x.metrics.csv"
METRICS_COLUMNS = ["id", "last_seen_at", "metrics"]
FOUND = "twitter/x.found.csv"
FOUND_COLUMNS = ["id", "last_seen_at", "found_in"]
KNOWN_TWEET_COLUMNS = ["id", "retweeted_username", "metrics", "first_seen_at", "last_seen_at", "found_in"]
KNOWN_COLUMNS = "board thread_no no digest revision posted_at first_seen_at deleted_at deletion_confirmed_at".split()

RESERVED = {"trends", "con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""Handles that are no names of files: ours, or devices of Windows."""

OF_ACCOUNT = "*"
"""Stands for the file of a post of X until it is known which one is its account's."""


@dataclass(slots=True)
class Entry:
    """An item as it is written: its file, its line there, and its row in the ledger."""

    item: Item
    path: str | None
    line: str
    row: tuple[Any, ...]


@dataclass(slots=True)
class Prepared:
    entries: list[Entry] = field(default_factory=list)
    rejected: list[tuple[Item, str]] = field(default_factory=list)


class CsvPipeline(BatchingPipeline):
    """The store of a crawl without DATABASE_URL."""

    def __init__(self, crawler: Crawler, ledger: Ledger) -> None:
        super().__init__(crawler, ledger)
        assert isinstance(ledger.store, CsvStore)
        self.csv_store = ledger.store
        self.folder = self.csv_store.folder
        self.quarantine = Quarantine.of(crawler)
        self.patience = inf if stays(crawler) else crawler.settings.getfloat("DISK_PATIENCE")

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if crawler.settings.get("DATABASE_URL"):
            raise NotConfigured
        return super().from_crawler(crawler)

    def prepare(self, batch: Sequence[Item]) -> Prepared:
        return prepared(batch)

    async def store(self, batch: Sequence[Item], prepared: Prepared) -> None:
        for item, reason in prepared.rejected:
            is_kept = await asyncio.to_thread(self.quarantine.has_row, item)
            self.ledger.held_back.missed(item, is_kept)
            self.quarantine.keep_row(item, reason)
        entries = [entry for entry in prepared.entries if not self.ledger.held_back.waits(entry.item)]
        began = time.monotonic()
        told = False
        while True:
            try:
                await self.ledger.call(self._write, entries)
            except DiskFull as error:
                if not self.crawler.crawling or time.monotonic() > began + self.patience:
                    raise store_failed(self.ledger.store.place, str(error)) from None
                if not told:
                    self.ledger.is_full = told = True
                    patience = "" if isinf(self.patience) else f" within {self.patience:g} s (DISK_PATIENCE)"
                    logger.error(
                        "The crawl pauses: %s takes no more (%s). It goes on if there is space%s; Ctrl-C ends it.",
                        self.ledger.store.place, error, patience,
                    )  # fmt: skip
                await asyncio.sleep(0.5)
            else:
                if told:
                    logger.info("There is space again; the crawl goes on.")
                    self.ledger.is_full = False
                self.ledger.held_back.arrived([entry.item for entry in entries])
                self.stored(batch, [item for item, _ in prepared.rejected])
                return

    def _write(self, entries: Sequence[Entry]) -> None:
        """All of it or nothing; DiskFull if there is no space for it. Blocks."""
        try:
            self.ledger.prepare()
            write(self.csv_store, entries)
        except (OSError, sqlite3.Error) as error:
            if is_full(error, self.folder):
                raise DiskFull(getattr(error, "strerror", None) or str(error)) from None
            raise


# --- what is to be written


def prepared(batch: Sequence[Item]) -> Prepared:
    """A batch as it is written. An item that cannot be costs itself."""
    result = Prepared()
    for item in batch:
        try:
            row = ledger_row(item)
            path = path_of(item)
            line = "" if path is None else line_of(row_of(item, columns_of(path, item)))
            line.encode()
        except Exception as error:  # whatever nobody has thought of must cost this row alone
            result.rejected.append((item, f"{type(error).__name__}: {error}"))
        else:
            result.entries.append(Entry(item, path, line, row))
    return result


def line_of(row: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(row)
    return text.getvalue()


def row_of(item: Item, names: Sequence[str]) -> list[str]:
    """An item's values for columns of its file."""
    if isinstance(item, Tweet) and "tweet_from" in names:
        values = dict(zip(legacy.COLUMNS, legacy.row_of(item), strict=True)) | {"author_id": item.author_id}
        return [text_of(values.get(name)) for name in names]
    return [text_of(getattr(item, name, None)) for name in names]


def columns_of(path: str, item: Item) -> list[str]:
    return {METRICS: METRICS_COLUMNS, FOUND: FOUND_COLUMNS}.get(path) or CSV_COLUMNS[type(item)]


def path_of(item: Item) -> str | None:
    """The file of an item, in CSV_FOLDER. Posts of 4chan go by the day on which their version was first seen.

    In twitter/, names with a dot cannot be a handle's; an account called trends gets one too.
    """
    match item:
        case Post():
            assert item.last_seen_at is not None
            return f"chan/{item.board}/posts-{item.last_seen_at.astimezone(UTC):%Y-%m-%d}.csv"
        case Thread():
            return f"chan/{item.board}/threads.csv"
        case Deletion():
            return f"chan/{item.board}/deletions.csv"
        case Board():
            return "chan/boards.csv"
        case Poll():
            return f"chan/{item.board}/polls.csv"
        case Tweet():
            return OF_ACCOUNT
        case Trend():
            return "twitter/trends.csv"
        case Account():
            return "twitter/x.accounts.csv"
        case Handle():
            return "twitter/x.handles.csv"
        case Gap():
            return "twitter/x.gaps.csv"
    return None


# --- writing


def write(store: CsvStore, entries: Sequence[Entry]) -> None:
    """Append to the files and note it in the ledger, all of it or nothing. Blocks."""
    entries = _posts_where_they_are(store, entries)
    entries, stems = _tweets_where_they_are(store, entries)
    states = {(entry.item.board, entry.item.no): entry for entry in entries if isinstance(entry.item, Thread)}
    texts: dict[str, list[str]] = defaultdict(list)
    names: dict[str, list[str] | None] = {}  # the columns of files that are there
    for entry in entries:
        if isinstance(entry.item, Thread) and states[entry.item.board, entry.item.no] is not entry:
            continue  # a later one in the same batch says more
        if entry.path is not None:
            if entry.path not in names:
                names[entry.path] = store.columns_in(entry.path)
            there = names[entry.path]
            is_ours = there is None or there == columns_of(entry.path, entry.item)
            texts[entry.path].append(entry.line if is_ours else line_of(row_of(entry.item, there or ())))
    rows = {path: "".join(lines).encode() for path, lines in texts.items()}
    with store.files.appended(rows, _header) as appended, transaction(store.connection):
        store.files.acknowledge(appended)
        for author_id, stem in stems.items():
            store.connection.execute("INSERT OR IGNORE INTO account_files VALUES (?, ?)", (author_id, stem))
        for entry in entries:
            if isinstance(entry.item, Post):  # it may have been moved here from another thread
                store.connection.execute(LEFT_BEHIND, (entry.item.board, entry.item.no, entry.item.thread_no))
        at_last = {(e.item.board, e.item.no): e.item.thread_no for e in entries if isinstance(e.item, Post)}
        for kind in ORDER:
            rows_of_kind = [
                entry.row for entry in entries
                if entry.row and type(entry.item) is kind and not _is_left_behind(entry.item, at_last)
            ]  # fmt: skip
            store.connection.executemany(STATEMENTS[kind], rows_of_kind)
    store.stems |= stems


HELD_POSTS = "SELECT no, thread_no, revision, first_seen_at, deleted_at FROM posts WHERE board = ? AND no IN ({})"
LEFT_BEHIND = "DELETE FROM posts WHERE board = ? AND no = ? AND thread_no <> ?"


def _is_left_behind(item: Item, at_last: Mapping[tuple[str, int], int]) -> bool:
    """Whether a later entry of the batch has the post in another thread."""
    return isinstance(item, Post | Deletion) and at_last.get((item.board, item.no), item.thread_no) != item.thread_no


def _posts_where_they_are(store: CsvStore, entries: Sequence[Entry]) -> list[Entry]:
    """A post that was moved to another thread is a revision there, and is not deleted where it was."""
    asked: defaultdict[str, set[int]] = defaultdict(set)
    for entry in entries:
        if isinstance(entry.item, Deletion) or (isinstance(entry.item, Post) and entry.item.revision == 1):
            asked[entry.item.board].add(entry.item.no)
    held = {(board, row[0]): row[1:] for board, nos in asked.items() for row in store.rows_in(HELD_POSTS, nos, board)}
    found: list[Entry] = []
    for entry in entries:
        item = entry.item
        known = held.get((item.board, item.no)) if isinstance(item, Post | Deletion) else None
        if known is not None and known[0] != item.thread_no:  # type: ignore[union-attr]
            if isinstance(item, Deletion):
                continue
            assert isinstance(item, Post)
            moved = replace(item, revision=known[1] + 1, first_seen_at=moment(known[2]) or item.first_seen_at)
            found += prepared([moved]).entries
            if known[3] is not None:
                back = Deletion(item.board, item.thread_no, item.no, item.last_seen_at, None)
                found += prepared([back]).entries
            held[item.board, item.no] = (item.thread_no, moved.revision, known[2], None)
            continue
        if isinstance(item, Post):
            held[item.board, item.no] = (item.thread_no, item.revision, text_of(item.first_seen_at), None)
        elif known is not None and isinstance(item, Deletion):
            held[item.board, item.no] = (*known[:3], item.deleted_at)
        found.append(entry)
    return found


def _tweets_where_they_are(store: CsvStore, entries: Sequence[Entry]) -> tuple[list[Entry], dict[int, str]]:
    """Posts of X in the files of their accounts, known ones as what is new about them; and new names of files."""
    ids = {entry.item.id for entry in entries if isinstance(entry.item, Tweet)}
    known: dict[int, tuple[str, set[str]]] = {
        number: (metrics, set(loads(feeds.encode()) if feeds else ()))
        for number, metrics, feeds in store.rows_in("SELECT id, metrics, found_in FROM tweets WHERE id IN ({})", ids)
    }
    stems: dict[int, str] = {}
    found: list[Entry] = []
    for entry in entries:
        item = entry.item
        if not isinstance(item, Tweet):
            found.append(entry)
            continue
        metrics, feeds = known.get(item.id, (None, set[str]()))
        if metrics is None:
            entry.path = f"twitter/{_stem(store, item, stems)}.csv"
            found.append(entry)
        else:
            # In the file it stays as it was first; the ledger knows all of it.
            entry.item = item = replace(item, found_in=[*sorted(feeds), *(f for f in item.found_in if f not in feeds)])
            entry.row = ledger_row(item)
            entry.path = METRICS if dumps(item.metrics) != metrics else None
            entry.line = line_of(row_of(item, METRICS_COLUMNS)) if entry.path else ""
            found.append(entry)
        for feed in item.found_in:
            if metrics is not None and feed not in feeds:
                row = [str(item.id), text_of(item.last_seen_at), feed]
                found.append(Entry(item, FOUND, line_of(row), ()))
        known[item.id] = dumps(item.metrics), feeds | set(item.found_in)
    return found, stems


def _stem(store: CsvStore, tweet: Tweet, new: dict[int, str]) -> str:
    """The name of an account's file: that of the account when it was first met. A name that another account has, or
    had, or that differs only in its case, gets a number."""
    if tweet.author_id is None:
        return "x.unknown"
    stem = store.stems.get(tweet.author_id) or new.get(tweet.author_id)
    if stem is None:
        stem = tweet.username if tweet.username and HANDLE.fullmatch(tweet.username) else f"x.{tweet.author_id}"
        stem = f"x.{stem}" if stem.lower() in RESERVED else stem
        taken = {name.lower() for name in (*store.stems.values(), *new.values())}
        if stem.lower() in taken:
            stem = f"{stem}.{tweet.author_id}"
        new[tweet.author_id] = stem
    return stem


def text_of(value: Any) -> str:
    """A value as it stands in a CSV file."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case list() | dict():
            return dumps(value)
    return str(value)


def _header(path: str) -> bytes:
    folder, _, name = path.removesuffix(".csv").rpartition("/")
    if path in (METRICS, FOUND):
        return line_of(METRICS_COLUMNS if path == METRICS else FOUND_COLUMNS).encode()
    kinds: dict[str, type[Item]] = {"threads": Thread, "deletions": Deletion, "boards": Board, "polls": Poll}
    if folder == "twitter":
        kinds = {"trends": Trend, "x.accounts": Account, "x.handles": Handle, "x.gaps": Gap}
    return line_of(CSV_COLUMNS[kinds.get(name, Tweet if folder == "twitter" else Post)]).encode()


def ledger_row(item: Item) -> tuple[Any, ...]:
    """An item's row in the ledger. ValueError for what SQLite cannot hold."""
    names = PARAMETERS.get(type(item)) or columns(type(item))
    row = tuple(_sqlite(getattr(item, name)) for name in names)
    for value in row:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{value} is out of range")
        if isinstance(value, str):
            value.encode()
    return row


def _upsert(table: str, names: list[str], key: list[str], unless: str = "") -> str:
    """An INSERT that replaces the row with the same key, under a condition on it."""
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {updates} {unless}"
    )


STATEMENTS = {
    Post: _upsert("posts", KNOWN_COLUMNS, ["board", "thread_no", "no"]),
    Deletion: "UPDATE posts SET deleted_at = ?, deletion_confirmed_at = ? WHERE board = ? AND thread_no = ? AND no = ?",
    Thread: _upsert("threads", columns(Thread), ["board", "no"]),
    Board: _upsert("boards", columns(Board), ["board"]),
    Validator: _upsert("validators", columns(Validator), ["path"]),
    Poll: _upsert("board_polls", columns(Poll), ["board", "polled_at"]),
    Tweet: _upsert("tweets", KNOWN_TWEET_COLUMNS, ["id"]),
    Gap: _upsert("gaps", columns(Gap), ["feed", "before_id"]),
    Trend: _upsert("trends", columns(Trend), ["woeid", "seen_at", "rank"]),
    Account: _upsert("accounts", columns(Account), ["id"]),
    Handle: _upsert("handles", columns(Handle), ["handle"]),
    Feed: _upsert("feeds", columns(Feed), ["feed"], "WHERE feeds.pages <= excluded.pages"),
}


PARAMETERS = {
    Post: KNOWN_COLUMNS,
    Deletion: ["deleted_at", "deletion_confirmed_at", "board", "thread_no", "no"],
    Tweet: KNOWN_TWEET_COLUMNS,
}


def _sqlite(value: Any) -> Any:
    return text_of(value) if isinstance(value, datetime | dict | list) else value
