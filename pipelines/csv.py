"""Writes a folder of CSV files: chan/BOARD/posts-YYYY-MM-DD.csv, …, twitter/HANDLE.csv, twitter/trends.csv.

CSV cannot replace a row, so every row is an event, appended: a version of a post (`revision` counts them), a state of a
thread (the last row of a thread is the current one), a deletion missed, confirmed or taken back. UTF-8, RFC 4180, a
header in each file; times are ISO 8601 in UTC, flags true and false, lists and `raw` JSON, nothing where the source
said nothing.

The SQLite ledger beside the files says how many bytes of each are committed (chancrawl/appending.py). A batch is
appended and synced to disk first, and committed there together with the state it brings.
"""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isinf
from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from chancrawl import legacy
from chancrawl.appending import DiskFull, is_full, transaction
from chancrawl.errors import store_failed
from chancrawl.folder import CsvStore
from chancrawl.items import (
    Account,
    Board,
    Deletion,
    Feed,
    Handle,
    Item,
    Poll,
    Post,
    Thread,
    Trend,
    Tweet,
    Validator,
    by_kind,
    columns,
)
from chancrawl.ledger import Ledger
from chancrawl.payload import dumps
from chancrawl.twitter import HANDLE
from pipelines.batching import BatchingPipeline

logger = logging.getLogger(__name__)

CSV_COLUMNS = {
    Post: [name for name in columns(Post) if name != "digest"],
    Thread: columns(Thread),
    Deletion: columns(Deletion),
    Board: columns(Board),
    Poll: columns(Poll),
    Tweet: legacy.COLUMNS,
    Trend: columns(Trend),
    Account: columns(Account),
    Handle: columns(Handle),
}
KNOWN_TWEET_COLUMNS = ["id", "retweeted_username", "metrics", "first_seen_at", "last_seen_at"]
METRICS_COLUMNS = ["id", "last_seen_at", "metrics"]

KNOWN_COLUMNS = "board thread_no no digest revision posted_at first_seen_at deleted_at deletion_confirmed_at".split()


class CsvPipeline(BatchingPipeline):
    """The store of a crawl without DATABASE_URL."""

    def __init__(self, crawler: Crawler, ledger: Ledger) -> None:
        super().__init__(crawler, ledger)
        assert isinstance(ledger.store, CsvStore)
        self.csv_store = ledger.store
        self.folder = self.csv_store.folder
        stays = getattr(crawler.spider, "follow", None)
        self.patience = float("inf") if stays else crawler.settings.getfloat("DISK_PATIENCE")

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if crawler.settings.get("DATABASE_URL"):
            raise NotConfigured
        return super().from_crawler(crawler)

    def prepare(self, batch: Sequence[Item]) -> dict[str, bytes]:
        """The new rows of each file."""
        texts: dict[str, io.StringIO] = defaultdict(lambda: io.StringIO(newline=""))
        states = {(item.board, item.no): item for item in batch if isinstance(item, Thread)}
        for item in batch:
            if isinstance(item, Thread) and states[item.board, item.no] is not item:
                continue  # a later one in the same batch says more
            if (path := path_of(item)) is not None:
                csv.writer(texts[path]).writerow(row_of(item))
        return {path: text.getvalue().encode() for path, text in texts.items()}

    async def store(self, batch: Sequence[Item], prepared: dict[str, bytes]) -> None:
        began = time.monotonic()
        told = False
        while True:
            try:
                await self.ledger.call(self._write, batch, prepared)
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
                self.stored(batch)
                return

    def _write(self, batch: Sequence[Item], rows: dict[str, bytes]) -> None:
        """All of it or nothing; DiskFull if there is no space for it. Blocks."""
        try:
            self.ledger.prepare()
            self._append(batch, rows)
        except (OSError, sqlite3.Error) as error:
            if is_full(error, self.folder):
                raise DiskFull(getattr(error, "strerror", None) or str(error)) from None
            raise

    def _append(self, batch: Sequence[Item], rows: dict[str, bytes]) -> None:
        store = self.csv_store
        with store.files.appended(rows, _header) as appended, transaction(store.connection):
            store.files.acknowledge(appended)
            _write_ledger(store.connection, batch)


def row_of(item: Item) -> list[str]:
    """An item's line in its file."""
    if isinstance(item, Tweet) and not item.is_seen_again:
        return [text_of(value) for value in legacy.row_of(item)]
    names = METRICS_COLUMNS if isinstance(item, Tweet) else CSV_COLUMNS[type(item)]
    return [text_of(getattr(item, name)) for name in names]


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
            if item.is_seen_again:
                return "twitter/x.metrics.csv"
            name = item.username if item.username and HANDLE.fullmatch(item.username) else f"x.{item.author_id}"
            return f"twitter/{name if name.lower() != 'trends' else 'x.trends'}.csv"
        case Trend():
            return "twitter/trends.csv"
        case Account():
            return "twitter/x.accounts.csv"
        case Handle():
            return "twitter/x.handles.csv"
    return None


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
    header = io.StringIO(newline="")
    if path == "twitter/x.metrics.csv":
        csv.writer(header).writerow(METRICS_COLUMNS)
    elif folder == "twitter":
        kind = {"trends": Trend, "x.accounts": Account, "x.handles": Handle}.get(name, Tweet)
        csv.writer(header).writerow(CSV_COLUMNS[kind])
    else:
        kind = {"threads": Thread, "deletions": Deletion, "boards": Board, "polls": Poll}.get(name, Post)
        csv.writer(header).writerow(CSV_COLUMNS[kind])
    return header.getvalue().encode()


def _write_ledger(connection: Any, batch: Sequence[Item]) -> None:
    for kind, items in by_kind(batch).items():
        names = PARAMETERS.get(kind) or columns(kind)
        rows = [tuple(_sqlite(getattr(item, name)) for name in names) for item in items]
        connection.executemany(STATEMENTS[kind], rows)


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
