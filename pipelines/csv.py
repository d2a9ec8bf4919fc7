"""Writes a folder of CSV files: chan/BOARD/posts-YYYY-MM-DD.csv, …, twitter/HANDLE.csv, twitter/trends.csv.

CSV cannot replace a row, so every row is an event, appended: a version of a post (`revision` counts them), a state of a
thread (the last row of a thread is the current one), a deletion missed, confirmed or taken back. UTF-8, RFC 4180, a
header in each file; times are ISO 8601 in UTC, flags true and false, lists and `raw` JSON, nothing where the source
said nothing.

The SQLite ledger beside the files says how many bytes of each are committed. A batch is appended and synced to disk
first and committed there together with the state it brings; what lies beyond a file's committed length after a crash
is cut off before the next append.
"""

from __future__ import annotations

import csv
import io
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from chancrawl import legacy
from chancrawl.errors import UserError
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
from chancrawl.payload import dumps
from chancrawl.stores import CsvStore
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
        await self.ledger.call(self._write, batch, prepared)
        self.stored(batch)

    def _write(self, batch: Sequence[Item], rows: dict[str, bytes]) -> None:
        self.ledger.prepare()
        store = self.ledger.store
        assert isinstance(store, CsvStore)
        connection = store.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for path, text in rows.items():
                length = _append(store, path, text)
                connection.execute(COMMIT_LENGTH, (path, length))
            _write_ledger(connection, batch)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk ends it by itself
                connection.execute("ROLLBACK")
            raise


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


def _append(store: CsvStore, path: str, text: bytes) -> int:
    """Append rows to a file and sync it; return its length in bytes."""
    file = store.folder / path
    committed = next(iter(store.rows("SELECT bytes FROM files WHERE path = ?", path)), (0,))[0]
    size = file.stat().st_size if file.exists() else 0
    if committed and not file.exists():
        logger.warning("%s is gone; it begins anew, without the rows that it held.", file)
        committed = 0
    if size < committed:
        raise UserError(
            f"{file} has {size} bytes, but {committed} were written: somebody has shortened it. Put it back, or move "
            "it away to begin it anew, or name another CSV_FOLDER.",
            reason="store_failed",
        )
    if size > committed:
        logger.warning("%s: cut off %d bytes of an unfinished write.", file, size - committed)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("r+b" if file.exists() else "xb") as stream:
        stream.truncate(committed)
        stream.seek(committed)
        if not committed:
            stream.write(_header(path).encode())
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
        length = stream.tell()
    if not committed:
        _sync_folder(file.parent)
    return length


def _header(path: str) -> str:
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
    return header.getvalue()


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its content; not every system lets one sync a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


COMMIT_LENGTH = _upsert("files", ["path", "bytes"], ["path"])
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
