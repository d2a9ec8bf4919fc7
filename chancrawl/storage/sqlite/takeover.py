"""Takes over a folder of the layout before the embedded database: CSV files, and ledger.sqlite beside them.

The database is made under another name and gets its own when everything is in it. So a takeover that is interrupted is
begun anew, and the older files stay as they are. The ledger becomes ledger.sqlite.taken-over.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from chancrawl.errors import UserError
from chancrawl.items import Deletion, Form, Post, Tweet, columns, forms
from chancrawl.payload import digest
from chancrawl.storage.base import marks, moment, parts, restored
from chancrawl.storage.csv.files import CsvFiles
from chancrawl.storage.csv.lines import header_of
from chancrawl.storage.disk import sync_folder
from chancrawl.storage.kinds import Kind, Kinds
from chancrawl.storage.locking import locked
from chancrawl.storage.sqlite.connection import checkpoint, connected, transaction
from chancrawl.storage.sqlite.tables import table_of
from chancrawl.storage.sqlite.values import time_text
from chancrawl.text import counted

logger = logging.getLogger(__name__)

LEDGER = "ledger.sqlite"
VERSION = 4
AT_ONCE = 5_000

OTHER_TABLES = ("runs", "credential_limits", "spending")
TIMES = ("started_at", "finished_at", "alive_at", "retired_at")

FEEDS_OF_VERSION_2 = (
    "UPDATE feeds SET timeline_at = visited_at WHERE feed LIKE 'timeline:%'",
    "UPDATE feeds SET bottom_at = visited_at WHERE complete_since < '1971-01-01'",
    "UPDATE feeds SET complete_since = strftime('%Y-%m-%dT%H:%M:%S.000000Z', "
    "((oldest_id >> 22) + 1288834974657) / 1000, 'unixepoch') WHERE complete_since < '1971-01-01' "
    "AND oldest_id >= 29700859247 AND (feed NOT LIKE 'timeline:%' OR posts >= 3104)",
)
"""Corrects feeds of version 2, which took the end of what X shows for the end of the feed."""

Row = dict[str, str]


class Takeover:
    """The takeover of one folder. `connection` is that of the new database, whose tables exist."""

    def __init__(self, folder: Path, kinds: Kinds, ledger: sqlite3.Connection, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.kinds = kinds
        self.ledger = ledger
        self.connection = connection
        (self.version,) = ledger.execute("PRAGMA user_version").fetchone()

    def run(self) -> None:
        """Copy everything, in one transaction."""
        if self.version > VERSION:
            raise UserError(
                f"{self.folder / LEDGER} is of version {self.version}, which no chancrawl wrote: move it away."
            )
        with transaction(self.connection):
            for kind in self.kinds:
                if kind.item is Post:
                    self._copy_posts(kind)
                elif kind.item is Deletion:
                    self._write(kind, (deletion for row in self._rows("chan/%/deletions.csv")
                                       if (deletion := _item_of(Deletion, row))))  # fmt: skip
                elif kind.item is Tweet:
                    self._copy_tweets(kind)
                else:
                    self._copy_state(kind)
            for table in OTHER_TABLES:
                self._copy_table(table)
            if self.version < 3:
                for statement in FEEDS_OF_VERSION_2:
                    self.connection.execute(statement)
        self._compare()

    # --- rows of the ledger

    def _columns(self, table: str) -> list[str]:
        return [row[1] for row in self.ledger.execute(f"PRAGMA table_info({table})")]

    def _copy_state(self, kind: Kind) -> None:
        there = self._columns(kind.table)
        names = [name if name in there else f"NULL AS {name}" for name in kind.columns]
        if there:
            rows = self.ledger.execute(f"SELECT {', '.join(names)} FROM {kind.table}")
            self._write(kind, (_without_nulls(kind.item, row) for row in rows))

    def _copy_table(self, table: str) -> None:
        there = set(self._columns(table))
        names = [row[1] for row in self.connection.execute(f"PRAGMA table_info({table})") if row[1] in there]
        if names:
            rows = self.ledger.execute(f"SELECT {', '.join(names)} FROM {table}")
            sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks(names)})"
            self.connection.executemany(sql, ([_time(n, v) for n, v in zip(names, row, strict=True)] for row in rows))

    # --- rows of CSV files

    def _rows(self, pattern: str) -> Iterator[Row]:
        """The rows of the files that match, as far as they were committed, in the order of their names."""
        files = self.ledger.execute("SELECT path, bytes FROM files WHERE path LIKE ? ORDER BY path", (pattern,))
        for path, size in files.fetchall():
            try:
                content = (self.folder / path).read_bytes()[:size]
            except OSError:
                continue  # `_compare` says how many rows are missing
            yield from csv.DictReader(io.StringIO(content.decode("utf-8", "replace"), newline=""))

    def _copy_posts(self, kind: Kind) -> None:
        rows = self._rows("chan/%/posts-%.csv")
        while batch := [post for row in islice(rows, AT_ONCE) if (post := _item_of(Post, row))]:
            digests: dict[tuple[str, int, int], int] = {}
            for board in {post.board for post in batch}:
                for some in parts([post.no for post in batch if post.board == board]):
                    sql = f"SELECT no, revision, digest FROM posts WHERE board = ? AND no IN ({marks(some)})"
                    digests |= {
                        (board, no, version): held for no, version, held in self.ledger.execute(sql, (board, *some))
                    }
            for post in batch:
                held = digests.get((post.board, post.no, post.revision))
                post.digest = digest(post.raw) if held is None else held
            self._write(kind, iter(batch))

    def _copy_tweets(self, kind: Kind) -> None:
        assert kind.from_older is not None
        rows = (row for row in self._rows("twitter/%.csv") if "tweet_from" in row)
        while batch := [kind.from_older(row) for row in islice(rows, AT_ONCE)]:
            held: dict[int, Any] = {}
            for some in parts([tweet.id for tweet in batch]):
                sql = (
                    f"SELECT id, metrics, first_seen_at, last_seen_at, found_in FROM tweets WHERE id IN ({marks(some)})"
                )
                held |= {number: rest for number, *rest in self.ledger.execute(sql, some)}
            self._write(kind, (_known(tweet, held.get(tweet.id)) for tweet in batch))

    def _write(self, kind: Kind, items: Iterator[Any]) -> None:
        table = table_of(kind)
        while some := list(islice(items, AT_ONCE)):
            for round_ in table.rounds(some):
                table.write(self.connection, table.converted(round_))

    def _compare(self) -> None:
        """Say how much of what the ledger knows is not in the CSV files any more."""
        for table, noun in (("posts", "post"), ("tweets", "post of X")):
            (known,) = self.ledger.execute(f"SELECT count(*) FROM {table}").fetchone() if self._columns(table) else (0,)
            (stored,) = self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            if stored < known:
                logger.warning(
                    "%s could not be taken over, because the CSV files do not have them any more; what the sources "
                    "still show is fetched again.", counted(known - stored, noun),
                )  # fmt: skip


def take_over(folder: Path, file: Path, kinds: Kinds, statements: Sequence[str], version: int) -> None:
    """Make the database `file` from the ledger and the CSV files of a folder, all or nothing."""
    lock = locked(folder / "ledger.lock")
    if lock is None:
        raise UserError(
            f"A crawl of an earlier version is writing to {folder}; wait for it, or name another CSV_FOLDER."
        )
    try:
        logger.info("%s has the layout of an earlier version; it is taken over into %s.", folder, file.name)
        _make(folder, file, kinds, statements, version)
    finally:
        os.close(lock)
    (folder / "ledger.lock").unlink()


def _make(folder: Path, file: Path, kinds: Kinds, statements: Sequence[str], version: int) -> None:
    ledger = folder / LEDGER
    new = file.with_name(f"{file.name}.new")
    for part in folder.glob(f"{new.name}*"):
        part.unlink()
    with closing(sqlite3.connect(ledger)) as held, closing(connected(new, checkpoints=True)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("INSERT INTO schema_version (version) VALUES (?)", (version,))
        connection.execute(f"PRAGMA user_version = {version}")
        Takeover(folder, kinds, held, connection).run()
        checkpoint(connection)
        _adopt_files(folder, kinds, held, connection)
    new.rename(file)
    ledger.rename(ledger.with_name(f"{LEDGER}.taken-over"))
    for part in folder.glob(f"{LEDGER}-*"):
        part.unlink()
    sync_folder(folder)


def _adopt_files(folder: Path, kinds: Kinds, ledger: sqlite3.Connection, connection: sqlite3.Connection) -> None:
    """Record the CSV files as they are. Rows are appended to them; they are not written anew."""
    files = CsvFiles(folder)
    files.open()
    try:
        files.belong_to(connection.execute("SELECT database_id FROM schema_version").fetchone()[0])
        for path, size in ledger.execute("SELECT path, bytes FROM files").fetchall():
            files.adopt(path, size)
        names = ledger.execute("SELECT author_id, stem FROM account_files") if _has(ledger, "account_files") else ()
        for owner, stem in names:
            files.names.of(owner, stem)
        files.note_run(connection.execute("SELECT coalesce(max(run_id), 0) FROM runs").fetchone()[0])
        files.adopt_headers({file.pattern: header_of(file.columns) for kind in kinds for file in kind.csv_files})
    finally:
        files.close()


def _has(ledger: sqlite3.Connection, table: str) -> bool:
    return bool(ledger.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone())


def _item_of(item_class: type[Any], row: Mapping[str, str]) -> Any:
    """An item from the texts of its CSV row; None for a row that is none."""
    values: dict[str, Any] = {}
    hints = item_class.__annotations__
    for name, form in forms(item_class).items():
        text = row.get(name) or ""
        if text == "":
            continue
        if form is Form.TIME:
            values[name] = moment(text)
        elif form is Form.FLAG:
            values[name] = text == "true"
        elif form is Form.JSON:
            values[name] = json.loads(text)
        elif "int" in hints[name]:
            values[name] = int(text)
        else:
            values[name] = text
    if item_class is Deletion:
        values = {name: values.get(name) for name in columns(Deletion)}
    return item_class(**values)


def _without_nulls(item_class: type[Any], row: Sequence[Any]) -> Any:
    """An item of the ledger. Fields that the ledger has as null, and that have a default, get the default."""
    item = restored(item_class, row)
    default = {name: field.default for name, field in item_class.__dataclass_fields__.items()}
    changes = {name: default[name] for name in columns(item_class)
               if getattr(item, name) is None and isinstance(default.get(name), (int, str, bool))}  # fmt: skip
    return replace(item, **changes) if changes else item


def _known(tweet: Tweet, held: Sequence[Any] | None) -> Tweet:
    """A post with what the ledger knew of it."""
    if held is None:
        return tweet
    metrics, first, last, feeds = held
    counts = json.loads(metrics) if metrics else tweet.metrics
    return replace(tweet, metrics=counts, first_seen_at=moment(first), last_seen_at=moment(last),
                   found_in=json.loads(feeds) if feeds else tweet.found_in)  # fmt: skip


def _time(name: str, value: Any) -> Any:
    if name not in TIMES or value is None:
        return value
    time = moment(value)
    assert isinstance(time, datetime)
    return time_text(time)
