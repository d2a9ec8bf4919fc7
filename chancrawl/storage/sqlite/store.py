"""A folder of CSV files as a store, with the SQLite ledger CSV_FOLDER/ledger.sqlite.

The ledger has the number of committed bytes of each file (storage/csv/files.py). A batch is first appended to the files
and synced to disk. Then the new lengths and the state of the batch are committed in the ledger.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from chancrawl.errors import UserError
from chancrawl.items import Post
from chancrawl.storage.base import marks, parts
from chancrawl.storage.csv.files import FILES_TABLE, DiskFull, Files, is_full, transaction
from chancrawl.storage.csv.rows import Line, Prepared, csv_text, line_of, prepared
from chancrawl.storage.kinds import Kinds
from chancrawl.storage.locking import locked
from chancrawl.storage.sqlite.upsert import schema_of, statement_of
from chancrawl.text import first_line


class CsvStore:
    """The CSV files of a folder and their SQLite ledger, CSV_FOLDER/ledger.sqlite."""

    sql_now: ClassVar[str] = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    sql_seconds: ClassVar[str] = "CAST(strftime('%s', {}) AS INTEGER)"
    sql_age: ClassVar[str] = "(julianday('now') - julianday({})) * 86400"

    @property
    def is_created(self) -> bool:
        return self.connection is not None

    def another(self) -> None:
        """None: the store has only one connection, because a folder has one crawl at a time."""

    def is_outage(self, error: Exception) -> bool:
        return False

    def cause_of(self, error: Exception) -> Exception:
        return error

    def is_collision(self, error: Exception) -> bool:
        return False

    errors: ClassVar[tuple[type[Exception], ...]] = (sqlite3.Error,)
    is_exclusive: ClassVar[bool] = True

    def __init__(self, folder: Path, kinds: Kinds) -> None:
        self.folder = folder
        self.kinds = kinds
        self.statements = {kind.item: statement_of(kind) for kind in kinds}
        self.place = f"the folder {folder.absolute()}"
        self.connection: Any = None
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
        """Lock the folder, open the ledger, check the files. DiskFull if there is no space, UserError for all else."""
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

    def columns_in(self, path: str) -> list[str] | None:
        """The columns in the header of a file; None if the file does not exist yet.

        A file that an earlier version began keeps its columns, because all rows of a file must have the same columns.
        """
        try:
            with (self.folder / path).open(encoding="utf-8", newline="") as file:
                return next(csv.reader(file), None)
        except OSError:
            return None

    def rows_in(self, sql: str, keys: Collection[Any], *before: Any) -> Iterator[Any]:
        """The rows of a query for any number of keys. In `sql`, {} are the keys; the parameters `before` come first."""
        for some in parts(keys):
            yield from self.connection.execute(sql.format(marks(some)), (*before, *some))

    def _claim(self) -> None:
        """Lock a folder that does not exist yet, so that of two crawls that start at the same time only one goes on."""
        name = sha256(str(self.folder.absolute()).encode()).hexdigest()[:16]
        with contextlib.suppress(OSError):  # the lock belongs to another user, or there is no temporary folder
            self._lock(Path(tempfile.gettempdir()) / f"chancrawl-{name}.lock")

    def _lock(self, file: Path) -> None:
        """Lock a file. UserError if another process has the lock."""
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
        if version == LEDGER_VERSION and not any(self._lacking_columns(connection)):
            return
        with transaction(connection):
            for statement in filter(str.strip, (OWN_SCHEMA + schema_of(self.kinds)).split(";")):
                connection.execute(statement)
            for table, column in LEDGER_COLUMNS:
                known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
                if column.split()[0] not in known:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
            for table, column in self._lacking_columns(connection):
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
            if version < 3:
                self._name_account_files(connection)
                for statement in FEEDS_OF_VERSION_2:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {LEDGER_VERSION}")

    def _lacking_columns(self, connection: sqlite3.Connection) -> list[tuple[str, str]]:
        """The columns of the kinds' tables that are not there: those of new fields, or of a table that is missing."""
        lacking = []
        for kind in self.kinds:
            if kind.has_table:
                known = {row[1] for row in connection.execute(f"PRAGMA table_info({kind.table})")}
                names = kind.columns if kind.embedded is None else kind.embedded.columns
                lacking += [(kind.table, name) for name in names if name not in known]
        return lacking

    def _name_account_files(self, connection: sqlite3.Connection) -> None:
        """Record the files that earlier versions began for accounts: the first name of an account that has a file."""
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
        """Execute statements in one transaction."""
        with transaction(self.connection):
            for sql, parameters in statements:
                self.connection.execute(sql, parameters)

    @contextmanager
    def locked(self, name: str) -> Iterator[Callable[..., list[Any]]]:
        """A transaction. It needs no further lock, because only one process uses the folder."""
        with transaction(self.connection):
            yield self.rows

    # --- rows

    def prepared(self, batch: Sequence[Any]) -> Prepared:
        """Convert a batch to lines. May be called in any thread."""
        return prepared(self.kinds, batch, self.statements)

    def line_of(self, item: Any) -> Line:
        return line_of(self.kinds.of(item), item, self.statements[type(item)][1])

    def append(self, lines: Sequence[Line]) -> None:
        """Append lines to the files and commit them in the ledger, all or none. Blocks."""
        for place in dict.fromkeys(kind.csv.placed for kind in self.kinds if kind.csv is not None):
            if place is not None:
                lines = place(self, lines)
        texts = self._texts(lines)
        columns = {line.path: line.columns for line in lines}
        rows: defaultdict[type[Any], list[tuple[Any, ...]]] = defaultdict(list)
        for line in lines:
            if line.row:
                rows[type(line.item)].append(line.row)
        with (
            self.files.appended(texts, lambda path: csv_text(columns[path]).encode()) as appended,
            transaction(self.connection),
        ):
            self.files.acknowledge(appended)
            for line in lines:
                if line.before is not None:
                    self.connection.execute(*line.before)
            for kind in self.kinds:
                self.connection.executemany(self.statements[kind.item][0], rows[kind.item])

    def _texts(self, lines: Sequence[Line]) -> dict[str, bytes]:
        """The bytes to append to each file. If a batch has several states with one key, only the last is written."""
        state = self.kinds.state
        last = {self.kinds.of(line.item).key_of(line.item): line for line in lines if type(line.item) in state}
        texts: defaultdict[str, list[str]] = defaultdict(list)
        names: dict[str, list[str] | None] = {}  # None where a file has the columns of its lines
        for line in lines:
            if type(line.item) in state and last[self.kinds.of(line.item).key_of(line.item)] is not line:
                continue
            if line.path is not None:
                if line.path not in names:
                    there = self.columns_in(line.path)
                    names[line.path] = None if there is None or there == list(line.columns) else there
                texts[line.path].append(line.text(names[line.path]))
        return {path: "".join(parts).encode() for path, parts in texts.items()}

    def take_in(self, batch: Sequence[Any]) -> list[tuple[Any, str]]:
        """Store rows from the quarantine. Returns the rows that are rejected again, with the reasons. A row is left out
        if the files have a later version of it, because rows can only be appended."""
        prepared = self.prepared([item for item in batch if not self._has(item)])
        self.append(prepared.lines)
        return prepared.rejected

    def _has(self, item: Any) -> bool:
        if not isinstance(item, Post):
            return False
        sql = "SELECT 1 FROM posts WHERE board = ? AND no = ? AND (digest = ? OR revision >= ?)"
        return bool(self.rows(sql, item.board, item.no, item.digest, item.revision))

    def open_to_read(self, tables: Sequence[str] = ()) -> None:
        """Open the ledger read-only, also while a crawl writes. UserError if it is missing or of another version."""
        file = self.folder / "ledger.sqlite"
        if not file.exists():
            raise UserError(f"There is no ledger {file}: nothing was collected yet, or CSV_FOLDER is another folder.")
        try:
            self.connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
            (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError:
            # A user who may only read the folder cannot open its write-ahead log. A copy can be opened.
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
        """The result of a query, row by row, for results of any length."""
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
"""The columns that tables of earlier versions lack."""

FEEDS_OF_VERSION_2 = (
    "UPDATE feeds SET timeline_at = visited_at WHERE feed LIKE 'timeline:%'",
    "UPDATE feeds SET bottom_at = visited_at WHERE complete_since < '1971-01-01'",
    "UPDATE feeds SET complete_since = strftime('%Y-%m-%dT%H:%M:%SZ', ((oldest_id >> 22) + 1288834974657) / 1000, "
    "'unixepoch') WHERE complete_since < '1971-01-01' AND oldest_id >= 29700859247 "
    "AND (feed NOT LIKE 'timeline:%' OR posts >= 3104)",
)
"""Corrects feeds of version 2, which took the end of what X shows for the end of the feed."""

# The tables of the ledger besides those of the kinds: committed lengths of files, runs, and limits of X.
OWN_SCHEMA = f"""
{FILES_TABLE}
CREATE TABLE IF NOT EXISTS runs (run_id INTEGER PRIMARY KEY, spider TEXT, arguments TEXT, source TEXT,
    started_at TEXT, finished_at TEXT, finish_reason TEXT, stats TEXT, dollars REAL,
    host TEXT, pid INTEGER, folder TEXT, boards TEXT, alive_at TEXT);
CREATE TABLE IF NOT EXISTS credential_limits (credential TEXT, endpoint TEXT, call_limit INTEGER, remaining INTEGER,
    reset_at REAL, retired TEXT, retired_at TEXT, PRIMARY KEY (credential, endpoint)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spending (day TEXT PRIMARY KEY, posts INTEGER, users INTEGER, trends INTEGER, dollars REAL)
    WITHOUT ROWID;
"""
