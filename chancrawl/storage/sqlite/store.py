"""A folder of CSV files as a store: the SQLite ledger beside them, CSV_FOLDER/ledger.sqlite."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from chancrawl.errors import UserError
from chancrawl.items import Account, Board, Feed, Gap, Handle, Poll, Thread, Trend, columns
from chancrawl.storage.csv.files import FILES_TABLE, DiskFull, Files, is_full, transaction
from chancrawl.storage.locking import locked
from chancrawl.text import first_line


class CsvStore:
    """The SQLite ledger of a folder of CSV files: CSV_FOLDER/ledger.sqlite."""

    sql_now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    sql_seconds = "CAST(strftime('%s', {}) AS INTEGER)"
    sql_age = "(julianday('now') - julianday({})) * 86400"

    def is_outage(self, error: Exception) -> bool:
        return False

    def is_collision(self, error: Exception) -> bool:
        return False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = f"the folder {folder.absolute()}"
        self.connection: Any = None
        self.stems: dict[int, str] = {}
        """The names of the files in twitter/, by account."""
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._locks: dict[Path, int] = {}

    def open(self) -> None:
        parent = next((p for p in (self.folder, *self.folder.absolute().parents) if p.exists()), Path("/"))
        if not parent.is_dir():
            raise UserError(f"CSV_FOLDER is {self.folder}, but {parent} is a file; name a folder.")
        try:
            tempfile.TemporaryFile(dir=parent).close()
        except OSError as error:
            raise UserError(
                f"CSV_FOLDER is {self.folder}, but {parent} cannot be written to ({error.strerror}); name a folder of "
                "your own (-s CSV_FOLDER=…) or change its permissions."
            ) from None
        self._claim()
        if (self.folder / "ledger.sqlite").exists():
            try:
                self.connect()
            except DiskFull as error:
                raise UserError(
                    f"The disk of CSV_FOLDER is full ({error}); make space and start again.", reason="store_failed"
                ) from None
        elif any(next((self.folder / name).rglob("*.csv"), None) for name in ("chan", "twitter")):
            raise UserError(
                f"{self.folder} holds CSV files but not the ledger that belongs to them, "
                f"{self.folder / 'ledger.sqlite'}; put it back, or name another CSV_FOLDER."
            )

    def connect(self) -> None:
        """DiskFull if there is no space for it, UserError if the ledger or a file cannot be used."""
        ledger = self.folder / "ledger.sqlite"
        try:
            self._lock(self.folder / "ledger.lock")
            connection = sqlite3.connect(ledger, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                self._bring_up_to_date(connection)
                self.files = Files(self.folder, connection)
                self.files.check()
            except BaseException:
                connection.close()
                raise
        except (OSError, sqlite3.Error) as error:
            if is_full(error, self.folder):
                raise DiskFull(f"no space for {ledger}: {first_line(error)}") from None
            if isinstance(error, PermissionError):
                raise UserError(f"{error.filename} cannot be written to; it belongs to somebody else.") from None
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
                raise UserError(
                    f"The ledger {ledger} cannot be written to ({first_line(error)}); change its permissions, and "
                    "those of ledger.sqlite-wal and ledger.sqlite-shm if they are there, or name another CSV_FOLDER."
                ) from None
            raise UserError(
                f"The ledger {ledger} cannot be used ({first_line(error)}); put back a copy of it, or name another "
                "CSV_FOLDER."
            ) from None
        self.connection = connection
        self.stems = dict(connection.execute("SELECT author_id, stem FROM account_files"))

    def columns_in(self, path: str) -> list[str] | None:
        """The columns of a file as its first line names them; None for one that is still to be written.

        A file that an earlier version began keeps its columns: rows of another form would make it unreadable.
        """
        try:
            with (self.folder / path).open(encoding="utf-8", newline="") as file:
                return next(csv.reader(file), None)
        except OSError:
            return None

    def rows_in(self, sql: str, keys: Collection[Any], *before: Any) -> Iterator[Any]:
        """The answer to a query for any number of keys, which stand as {} in it, behind the parameters `before`."""
        wanted = list(keys)
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            yield from self.connection.execute(sql.format(", ".join("?" * len(some))), (*before, *some))

    def _claim(self) -> None:
        """Keep other crawls out of a folder that is not there yet: two that start at once are not both to ask."""
        name = sha256(str(self.folder.absolute()).encode()).hexdigest()[:16]
        with contextlib.suppress(OSError):  # somebody else's, who will not write here; or there is no folder for it
            self._lock(Path(tempfile.gettempdir()) / f"chancrawl-{name}.lock")

    def _lock(self, file: Path) -> None:
        """Hold a file; UserError if another process has it."""
        if file in self._locks:
            return
        lock = locked(file)
        if lock is None:
            raise UserError(f"Another crawl is writing to {self.folder}; wait for it, or name another CSV_FOLDER.")
        self._locks[file] = lock

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        """Create the ledger's tables, or bring those of an earlier version to LEDGER_VERSION."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > LEDGER_VERSION:
            raise UserError(
                f"The ledger {self.folder / 'ledger.sqlite'} is of version {version}, and this chancrawl knows it up "
                f"to version {LEDGER_VERSION}: update it, or name another CSV_FOLDER."
            )
        if version == LEDGER_VERSION:
            return
        with transaction(connection):
            for statement in filter(str.strip, LEDGER_SCHEMA.split(";")):
                connection.execute(statement)
            for table, column in LEDGER_COLUMNS:
                known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
                if column.split()[0] not in known:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
            if version < 3:
                self._name_account_files(connection)
                for statement in FEEDS_OF_VERSION_2:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {LEDGER_VERSION}")

    def _name_account_files(self, connection: sqlite3.Connection) -> None:
        """The files of accounts that earlier versions began: by the first of its names that has one."""
        for number, username, former in connection.execute(
            "SELECT id, username, former_usernames FROM accounts ORDER BY first_seen_at"
        ).fetchall():
            for name in [*json.loads(former or "[]"), username]:
                if (self.folder / "twitter" / f"{name}.csv").exists():
                    connection.execute("INSERT OR IGNORE INTO account_files VALUES (?, ?)", (number, name))
                    break

    def prepare(self) -> None:
        if self.connection is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.connect()

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        return [] if self.connection is None else self.connection.execute(sql, parameters).fetchall()

    def write(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """Carry out statements, all or none."""
        with transaction(self.connection):
            for sql, parameters in statements:
                self.connection.execute(sql, parameters)

    def open_to_read(self, tables: Sequence[str] = ()) -> None:
        """While a crawl may be writing."""
        file = self.folder / "ledger.sqlite"
        if not file.exists():
            raise UserError(f"There is no ledger {file}: nothing was collected yet, or CSV_FOLDER is another folder.")
        try:
            self.connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
            (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError:
            # Who may only read the folder cannot take part in its write-ahead log: a copy does.
            self._copy = tempfile.TemporaryDirectory()
            for part in (file, file.with_name(f"{file.name}-wal")):
                if part.exists():
                    shutil.copy(part, self._copy.name)
            self.connection = sqlite3.connect(Path(self._copy.name) / file.name)
            (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if version != LEDGER_VERSION:
            raise UserError(
                f"The ledger {file} is of version {version}, and this chancrawl reads version {LEDGER_VERSION}: the "
                "next crawl into the folder brings it up to date."
            )

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """The answer to a query, row by row, whatever its length."""
        yield from self.connection.execute(sql, parameters)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        if self._copy is not None:
            self._copy.cleanup()
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()


LEDGER_VERSION = 4
LEDGER_COLUMNS = (
    ("posts", "posted_at TEXT"),
    ("runs", "dollars REAL"),
    ("files", "crc INTEGER"),
    ("files", "changed_ns INTEGER"),
    ("files", "announced INTEGER"),
    ("boards", "gone_at TEXT"),
    ("feeds", "timeline_at TEXT"),
    ("feeds", "bottom_at TEXT"),
    ("tweets", "found_in TEXT"),
    ("runs", "host TEXT"),
    ("runs", "pid INTEGER"),
    ("runs", "folder TEXT"),
    ("runs", "boards TEXT"),
    ("runs", "alive_at TEXT"),
)
"""What tables of earlier versions lack."""

FEEDS_OF_VERSION_2 = (
    "UPDATE feeds SET timeline_at = visited_at WHERE feed LIKE 'timeline:%'",
    "UPDATE feeds SET bottom_at = visited_at WHERE complete_since < '1971-01-01'",
    "UPDATE feeds SET complete_since = strftime('%Y-%m-%dT%H:%M:%SZ', ((oldest_id >> 22) + 1288834974657) / 1000, "
    "'unixepoch') WHERE complete_since < '1971-01-01' AND oldest_id >= 29700859247 "
    "AND (feed NOT LIKE 'timeline:%' OR posts >= 3104)",
)
"""Version 2 took the end of what can be had for the end of the feed."""

# The part of schema.sql that the ledger needs, and the committed length of every CSV file. SQLite has no types for
# times and booleans: times are ISO 8601 texts.
LEDGER_SCHEMA = """
CREATE TABLE IF NOT EXISTS boards (board TEXT PRIMARY KEY, {boards});
CREATE TABLE IF NOT EXISTS threads (board TEXT, no INTEGER, {threads}, PRIMARY KEY (board, no)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posts (board TEXT, thread_no INTEGER, no INTEGER, digest INTEGER, revision INTEGER,
    posted_at TEXT, first_seen_at TEXT, deleted_at TEXT, deletion_confirmed_at TEXT,
    PRIMARY KEY (board, thread_no, no)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS posts_no ON posts (board, no);
CREATE TABLE IF NOT EXISTS validators (path TEXT PRIMARY KEY, last_modified TEXT);
CREATE TABLE IF NOT EXISTS board_polls (board TEXT, polled_at TEXT, {polls}, PRIMARY KEY (board, polled_at))
    WITHOUT ROWID;
{files}
CREATE TABLE IF NOT EXISTS runs (run_id INTEGER PRIMARY KEY, spider TEXT, arguments TEXT, source TEXT,
    started_at TEXT, finished_at TEXT, finish_reason TEXT, stats TEXT, dollars REAL,
    host TEXT, pid INTEGER, folder TEXT, boards TEXT, alive_at TEXT);
CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, {accounts});
CREATE TABLE IF NOT EXISTS handles (handle TEXT PRIMARY KEY, {handles}) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feeds (feed TEXT PRIMARY KEY, {feeds}) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gaps (feed TEXT, before_id INTEGER, {gaps}, PRIMARY KEY (feed, before_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account_files (author_id INTEGER PRIMARY KEY, stem TEXT UNIQUE COLLATE NOCASE);
CREATE TABLE IF NOT EXISTS tweets (id INTEGER PRIMARY KEY, retweeted_username TEXT, metrics TEXT, first_seen_at TEXT,
    last_seen_at TEXT, found_in TEXT);
CREATE TABLE IF NOT EXISTS trends ({trends}, PRIMARY KEY (woeid, seen_at, rank)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS credential_limits (credential TEXT, endpoint TEXT, call_limit INTEGER, remaining INTEGER,
    reset_at REAL, retired TEXT, retired_at TEXT, PRIMARY KEY (credential, endpoint)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spending (day TEXT PRIMARY KEY, posts INTEGER, users INTEGER, trends INTEGER, dollars REAL)
    WITHOUT ROWID;
""".format(
    files=FILES_TABLE,
    boards=", ".join(columns(Board)[1:]),
    threads=", ".join(columns(Thread)[2:]),
    polls=", ".join(columns(Poll)[2:]),
    accounts=", ".join(columns(Account)[1:]),
    handles=", ".join(columns(Handle)[1:]),
    feeds=", ".join(columns(Feed)[1:]),
    gaps=", ".join(columns(Gap)[2:]),
    trends=", ".join(columns(Trend)),
)
