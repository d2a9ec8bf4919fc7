"""The embedded database CSV_FOLDER/chancrawl.sqlite as a store: the tables of schema.sql, in SQLite.

One crawl at a time uses a folder: it locks chancrawl.lock there. Other commands write beside it, a batch at a time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from chancrawl.errors import UserError
from chancrawl.storage import batch_writer
from chancrawl.storage.disk import NETWORK, DiskFull, existing, file_system, sync_folder
from chancrawl.storage.hours import recount
from chancrawl.storage.kinds import Kind, Kinds
from chancrawl.storage.locking import locked
from chancrawl.storage.schema import SCHEMA, VERSION
from chancrawl.storage.sqlite.connection import (
    OLDEST,
    WAL_LIMIT,
    add_functions,
    checkpoint,
    connected,
    connected_to_read,
    damaged,
    explained,
    is_rejection,
    readers_of,
    transaction,
    version_in_words,
)  # fmt: skip
from chancrawl.storage.sqlite.hours import HOUR, SECONDS, trigger_statements
from chancrawl.storage.sqlite.schema import NOW, additions_of, statements_of, tables_of, views_of
from chancrawl.storage.sqlite.tables import Table, table_of
from chancrawl.storage.sqlite.takeover import LEDGER, take_over
from chancrawl.storage.sqlite.values import parameter

logger = logging.getLogger(__name__)

FILE = "chancrawl.sqlite"

CHECKED = 500_000_000
"""Up to this size, a database is checked at the start after a crawl was killed. That takes some seconds."""


class BatchWriter(batch_writer.BatchWriter):
    """Writes batches to the embedded database."""

    parameter = "?"

    def parameters(self, *values: Any) -> tuple[Any, ...]:
        return tuple(map(parameter, values))

    def table_of(self, kind: Kind) -> Table:
        return table_of(kind)

    @contextmanager
    def transaction(self, connection: Any, batch: Sequence[Any]) -> Iterator[Any]:
        with transaction(connection):
            yield connection

    def is_rejection(self, error: Exception) -> bool:
        return is_rejection(error) if isinstance(error, sqlite3.Error) else batch_writer.is_bad_value(error)

    def reason_of(self, error: Exception) -> str:
        return str(error) if isinstance(error, sqlite3.Error) else super().reason_of(error)


class SqliteStore:
    """The database in a folder."""

    sql_now: ClassVar[str] = NOW
    sql_alone: ClassVar[str] = "SELECT 1"
    sql_seconds: ClassVar[str] = SECONDS
    sql_hour: ClassVar[str] = HOUR
    sql_age: ClassVar[str] = "(julianday('now') - julianday({})) * 86400"

    errors: ClassVar[tuple[type[Exception], ...]] = (sqlite3.Error,)
    is_exclusive: ClassVar[bool] = True

    def __init__(self, folder: Path, kinds: Kinds, name: str = FILE) -> None:
        self.folder = folder
        self.file = folder / name
        self.kinds = kinds
        self.place = f"the database {self.file.absolute()}"
        self.connection: Any = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._locks: dict[Path, int] = {}
        self._has_named_reader = False

    @property
    def is_created(self) -> bool:
        return self.connection is not None

    def another(self) -> None:
        """None: a crawl has one connection, because a folder has one crawl at a time."""

    def is_outage(self, error: Exception) -> bool:
        return False

    def cause_of(self, error: Exception) -> Exception:
        return error

    def is_collision(self, error: Exception) -> bool:
        return False

    # --- connecting

    def open(self) -> None:
        self._check_place()
        self._claim()
        with self._sentence_if_full():
            if self._has_earlier_layout():
                self._take_over()
            if self.file.exists():
                self.connect()
        if self.connection is None and any(
            next((self.folder / name).rglob("*.csv"), None) for name in ("chan", "twitter")
        ):
            raise UserError(
                f"{self.folder} holds CSV files but not the database that belongs to them, {self.file}: put back a "
                "backup of it (scrapy backup), or name another CSV_FOLDER."
            )
        logger.info("%s.", version_in_words())

    def open_beside(self) -> None:
        """Open to write, also while a crawl writes. UserError if that is not possible."""
        self._check_place()
        with self._sentence_if_full(), explained(self.file):
            if self._has_earlier_layout():
                self._take_over()
            self.folder.mkdir(parents=True, exist_ok=True)
            self.connection = self._connected(checkpoints=False)

    def _connected(self, checkpoints: bool) -> sqlite3.Connection:
        """A connection to a database of this version."""
        connection = connected(self.file, checkpoints)
        try:
            self._bring_up_to_date(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _has_earlier_layout(self) -> bool:
        return not self.file.exists() and (self.folder / LEDGER).exists()

    def _check_place(self) -> None:
        """UserError for a place where the database cannot be."""
        if sqlite3.sqlite_version_info < OLDEST:
            raise UserError(f"SQLite {sqlite3.sqlite_version} is too old: use a Python with SQLite "
                            f"{'.'.join(map(str, OLDEST))} or later, or set DATABASE_URL.")  # fmt: skip
        parent = existing(self.folder)
        if not parent.is_dir():
            raise UserError(f"CSV_FOLDER is {self.folder}, but {parent} is a file; name a folder.")
        if (kind := file_system(self.folder)) in NETWORK:
            raise UserError(
                f"CSV_FOLDER is {self.folder}, on a network file system ({kind}), where SQLite can lose data; name a "
                "folder on a disk of this machine, or set DATABASE_URL."
            )
        try:
            tempfile.TemporaryFile(dir=parent).close()
        except OSError as error:
            raise UserError(
                f"CSV_FOLDER is {self.folder}, but {parent} cannot be written to ({error.strerror}); name a folder of "
                "your own (-s CSV_FOLDER=…) or change its permissions."
            ) from None

    def _take_over(self) -> None:
        """Take over a folder of the earlier layout."""
        with explained(self.folder / LEDGER):
            self._lock(self.folder / "chancrawl.lock")
            take_over(self.folder, self.file, self.kinds, self._statements(), VERSION)

    @contextmanager
    def _sentence_if_full(self) -> Iterator[None]:
        """UserError for a full disk, at the start."""
        try:
            yield
        except DiskFull as error:
            raise UserError(
                f"The disk of CSV_FOLDER is full ({error}); make space and start again.", reason="store_failed"
            ) from None

    def _statements(self, *beginnings: str) -> list[str]:
        """What creates the tables, indexes, views and triggers, or only the statements with these beginnings."""
        others = [statement for kind in self.kinds for statement in statements_of(kind.schema)]
        return [
            text
            for text in (*statements_of(SCHEMA), *others, *views_of(SCHEMA), *trigger_statements())
            if text.startswith(beginnings or "")
        ]

    def connect(self) -> None:
        """Lock the folder and open the database. DiskFull if there is no space, UserError for all else."""
        with explained(self.file):
            self._lock(self.folder / "chancrawl.lock")
            was_killed = self.log.exists() and self.log.stat().st_size > 0
            self.connection = self._connected(checkpoints=True)
            if was_killed:
                self._check_integrity()

    @property
    def log(self) -> Path:
        """The write-ahead log."""
        return self.file.with_name(f"{self.file.name}-wal")

    def _check_integrity(self) -> None:
        """Check a database whose last crawl was killed. UserError if it is damaged."""
        size = self.file.stat().st_size
        if size > CHECKED:
            logger.info("The last crawl was killed. %s has %d MB and was not checked; `scrapy backup FILE` checks it.",
                        self.file, size // 1_000_000)  # fmt: skip
            return
        ((state,),) = self.rows("PRAGMA quick_check(1)")
        if state != "ok":
            raise damaged(self.file, " ".join(state.split()))

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
        """Create the tables, those of new kinds, and columns that are new."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        self._check_version(version)
        if version == VERSION and not self._lacking(connection):
            return
        with transaction(connection):
            for statement in self._statements("CREATE TABLE"):
                connection.execute(statement)
            for statement in list(self._additions(connection)):
                connection.execute(statement)
            for statement in self._statements("CREATE INDEX", "DROP", "CREATE VIEW", "CREATE TRIGGER"):
                connection.execute(statement)
            if 0 < version < 5:  # it had no sums of hours
                for statement in recount(HOUR, SECONDS):
                    connection.execute(statement)
            connection.execute(
                "INSERT INTO schema_version (version) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM schema_version)",
                (VERSION,),
            )
            connection.execute("UPDATE schema_version SET version = ?", (VERSION,))
            connection.execute(f"PRAGMA user_version = {VERSION}")
        sync_folder(self.folder)

    def _check_version(self, version: int) -> None:
        if version > VERSION:
            raise UserError(
                f"The database {self.file} is of version {version}, and this chancrawl knows it up to version "
                f"{VERSION}: update it, or name another CSV_FOLDER."
            )

    def _additions(self, connection: sqlite3.Connection) -> Iterator[str]:
        """The statements that add the columns of new versions, of schema.sql and of the kinds of other sources."""
        for sql in (SCHEMA, *(kind.schema for kind in self.kinds if kind.schema)):
            for table in tables_of(sql):
                there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
                yield from additions_of(sql, table, there)

    def _lacking(self, connection: sqlite3.Connection) -> list[Kind]:
        """The kinds of other sources whose tables do not exist."""
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return [kind for kind in self.kinds if kind.schema and kind.table not in there]

    def prepare(self) -> None:
        if self.connection is None:
            with explained(self.file):
                self.folder.mkdir(parents=True, exist_ok=True)
            self.connect()

    def open_to_read(self, tables: Sequence[str] = ()) -> None:
        """Open read-only, also while a crawl writes. UserError if the database is missing or of another version."""
        if self._has_earlier_layout():
            raise UserError(f"{self.folder} has the layout of an earlier version: the next crawl takes it over.")
        if not self.file.exists():
            raise UserError(
                f"There is no database {self.file}: nothing was collected yet, or CSV_FOLDER is another folder."
            )
        try:
            self.connection = connected_to_read(self.file)
        except sqlite3.OperationalError:
            # A user who may only read the folder cannot open its write-ahead log. A copy can be opened.
            self._copy = tempfile.TemporaryDirectory()
            for part in (self.file, self.log):
                if part.exists():
                    shutil.copy(part, self._copy.name)
            self.connection = sqlite3.connect(Path(self._copy.name) / self.file.name)
        add_functions(self.connection)
        with explained(self.file):
            (version,) = self.connection.execute("PRAGMA user_version").fetchone()
            there = {name for (name,) in self.connection.execute("SELECT name FROM sqlite_master")}
        self._check_version(version)
        if version != VERSION or not there.issuperset(tables):
            raise UserError(
                f"The database {self.file} is of version {version}, and this chancrawl reads version {VERSION}: the "
                "next crawl into the folder brings it up to date."
            )

    def close(self) -> None:
        if self.connection is not None:
            if self._locks:
                with contextlib.suppress(sqlite3.Error):
                    checkpoint(self.connection)
            self.connection.close()
            self.connection = None
        if self._copy is not None:
            self._copy.cleanup()
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()

    # --- rows

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        if self.connection is None:
            return []
        rows: list[Any] = self.connection.execute(sql, tuple(map(parameter, parameters))).fetchall()
        return rows

    def write(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """Execute statements in one transaction."""
        with transaction(self.connection):
            for sql, parameters in statements:
                self.connection.execute(sql, tuple(map(parameter, parameters)))

    @contextmanager
    def locked(self, name: str) -> Iterator[Callable[..., list[Any]]]:
        """A transaction. It needs no further lock, because SQLite has one writer at a time."""
        with transaction(self.connection):
            yield self.rows

    def writer(self, *arguments: Any) -> BatchWriter:
        return BatchWriter(self.kinds, *arguments)

    def take_in(self, batch: Sequence[Any]) -> list[tuple[Any, str]]:
        """Store rows from the quarantine. Returns the rows that are rejected again, with the reasons."""
        return BatchWriter(self.kinds, is_known=lambda item: True).take_in(self.connection, batch)

    def rewrite(self, items: Sequence[Any], change: Callable[[Any], Any]) -> int:
        return BatchWriter(self.kinds).rewrite(self.connection, items, change)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A block in which all calls of `stream` show the rows that were committed when it began."""
        self.connection.execute("BEGIN")
        try:
            self.connection.execute("SELECT count(*) FROM sqlite_master")
            yield
        finally:
            self.connection.execute("ROLLBACK")

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """The result of a query, row by row, for results of any length."""
        yield from self.connection.execute(sql, tuple(map(parameter, parameters)))

    # --- the write-ahead log

    def empty_log(self) -> None:
        """Write the log back, unless a crawl has the folder, which does it itself: only one process may do it."""
        lock = locked(self.folder / "chancrawl.lock")
        if lock is not None:
            checkpoint(self.connection)
            os.close(lock)

    def check_log(self) -> None:
        """Say once if a reader keeps the write-ahead log from being emptied."""
        log = self.log
        size = log.stat().st_size if log.exists() else 0
        if size > WAL_LIMIT and not self._has_named_reader:
            self._has_named_reader = True
            logger.warning(
                "%s has %d MB: %s has the database open and reads on. When it ends or finishes its query, the log is "
                "emptied.", log, size // 1_000_000, readers_of(self.file) or "another program",
            )  # fmt: skip
        elif size < WAL_LIMIT // 2:
            self._has_named_reader = False
