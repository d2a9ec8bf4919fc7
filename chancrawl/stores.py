"""The two stores, each with its one connection: a PostgreSQL database, or a folder of CSV files with a SQLite ledger.

Everything here blocks; chancrawl/ledger.py calls it in the store's own thread. Nothing is created before there is
something to write. What is written, and how, is the business of the pipelines.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import psycopg2
from psycopg2.errors import InsufficientPrivilege
from scrapy.settings import BaseSettings

from chancrawl import migrations
from chancrawl.appending import FILES_TABLE, DiskFull, Files, is_full, transaction
from chancrawl.errors import UserError
from chancrawl.items import Account, Board, Feed, Handle, Poll, Thread, Trend, columns

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


logger = logging.getLogger(__name__)


class Store(Protocol):
    """A store as the ledger sees it. All calls come from one thread, and block."""

    place: str
    """Where the data goes, in words."""

    connection: Any
    """The DB-API connection of PostgreSQL, or of the SQLite ledger; None before the first `prepare` of a new folder."""

    def is_outage(self, error: Exception) -> bool:
        """Whether an error means that the store is out of reach: the call is worth another try once `connect` works."""

    def is_collision(self, error: Exception) -> bool:
        """Whether another transaction got in the way: the same call is worth another try at once."""

    def connect(self) -> None:
        """Connect (again), or raise what made it impossible."""

    def open(self) -> None:
        """Connect, without creating anything. UserError if that cannot be."""

    def prepare(self) -> None:
        """Create what is missing."""

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """The answer to a query with `?` for parameters; empty while nothing is created."""

    def close(self) -> None: ...


# A connection whose other end has vanished without a word is noticed within half a minute.
KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


LEGACY_TABLE = "tweet_articles_tweepy"

# Nothing that a crawl asks takes so long, unless the server or a lock is stuck: then it is tried again.
TIMEOUTS = """
SET TIME ZONE 'UTC';
SET statement_timeout = '10min';
SET lock_timeout = '30s';
SET idle_in_transaction_session_timeout = '10min'
"""

ALL_PRIVILEGES = """
SELECT coalesce(bool_and(has_table_privilege(name, privilege)), false)
    AND has_database_privilege(current_database(), 'TEMPORARY')
FROM unnest(ARRAY['boards', 'threads', 'posts', 'post_revisions', 'validators', 'board_polls', 'accounts', 'handles',
                  'feeds', 'tweets', 'trends', 'credential_limits', 'spending', 'runs', 'spools']) AS name,
     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS privilege
"""


class PostgresStore:
    """The database of DATABASE_URL."""

    # Lost connections, shutdowns, exhausted resources, transactions that others get in the way of, locks that were
    # waited for in vain, and a server that takes no writes (another one has taken its place).
    # https://www.postgresql.org/docs/current/errcodes-appendix.html
    passing = ("08", "40", "53", "55P03", "57", "25006")

    def __init__(self, url: str, autocommit: bool = False) -> None:
        self.url = url
        self.autocommit = autocommit
        self.connection: Any = None
        self.version: int | None = None
        self.database_id: str | None = None
        self.place = "PostgreSQL"

    @property
    def ready(self) -> bool:
        """Whether the tables are there."""
        return self.version == migrations.VERSION

    def open(self) -> None:
        """Connect, and bring the tables up to date if there are some of an earlier version."""
        try:
            self.connect()
        except InsufficientPrivilege:
            raise self._not_allowed("read the tables of chancrawl") from None
        except psycopg2.Error as error:
            raise UserError(
                f"The database of DATABASE_URL cannot be used: {first_line(error)}. Start or create it, or mend "
                "DATABASE_URL (postgresql://user:password@host:5432/name), or leave it out to write CSV files.",
                reason="store_unavailable",
            ) from None
        if self.version is not None and not self.ready:
            self._migrate()
        self._check_privileges()

    def connect(self) -> None:
        self.close()
        self.connection = psycopg2.connect(
            self.url, connect_timeout=10, application_name="chancrawl", client_encoding="UTF8", **KEEPALIVES
        )
        parameters = self.connection.info.dsn_parameters
        self.place = f"the database {parameters.get('dbname')} on {parameters.get('host') or 'this machine'}"
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(TIMEOUTS)
            self._read_version(cursor)
        self.connection.autocommit = self.autocommit

    def _read_version(self, cursor: Any) -> None:
        self.version = migrations.version_of(cursor)
        if self.ready:
            cursor.execute("SELECT database_id::text FROM schema_version")
            (self.database_id,) = cursor.fetchone()

    def _migrate(self) -> None:
        logger.info("The tables in %s are of version %d; they are brought to version %d.",
                    self.place, self.version, migrations.VERSION)  # fmt: skip
        try:
            self.apply_schema()
        except psycopg2.Error as error:
            raise UserError(
                f"The tables in {self.place} are of version {self.version} and could not be brought to version "
                f"{migrations.VERSION}: {first_line(error)}. Nothing was changed; stop other crawls into it, and run "
                "`scrapy initdb` as the owner of the tables.",
                reason="store_unavailable",
            ) from None

    def is_outage(self, error: Exception) -> bool:
        if not isinstance(error, psycopg2.Error):
            return False
        if error.pgcode is None:  # the connection's fault, not the server's: a bare DatabaseError if the server crashed
            return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or bool(
                self.connection.closed or type(error) is psycopg2.DatabaseError
            )
        return error.pgcode.startswith(self.passing) or bool(self.connection.closed)

    def is_collision(self, error: Exception) -> bool:
        """Whether another transaction got in the way: the same call is worth another try at once."""
        return (getattr(error, "pgcode", None) or "").startswith("40")

    def _check_privileges(self) -> None:
        """UserError where the first write would fail."""
        with self.connection, self.connection.cursor() as cursor:
            if self.ready:
                cursor.execute(ALL_PRIVILEGES)
            else:
                cursor.execute("SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)")
            (allowed,) = cursor.fetchone()
        if not allowed:
            raise self._not_allowed("write to the tables of chancrawl" if self.ready else "create tables")

    def _not_allowed(self, what: str) -> UserError:
        return UserError(
            f"The user of DATABASE_URL may not {what} in {self.place}; grant it that, or name another user.",
            reason="store_unavailable",
        )

    def prepare(self) -> None:
        if not self.ready:
            self.apply_schema()

    def apply_schema(self, again: bool = False) -> None:
        """Create the tables, or bring them up to date; see `migrations.bring_up_to_date`."""
        with self.connection, self.connection.cursor() as cursor:
            if self.legacy_table():
                raise UserError(
                    f"{self.place[0].upper() + self.place[1:]} holds the older crawler's table {LEGACY_TABLE}; run "
                    "`scrapy initdb --import-legacy` once: it takes the rows over and keeps the table, renamed.",
                    reason="store_unavailable",
                )
            migrations.bring_up_to_date(cursor, again)
            self._read_version(cursor)

    def legacy_table(self) -> bool:
        """Whether there is a table where the view of the same name belongs."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT relkind IN ('r', 'p') FROM pg_class WHERE oid = to_regclass(%s)", (LEGACY_TABLE,))
            row = cursor.fetchone()
        return bool(row and row[0])

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        if not self.ready:
            return []
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def open_to_read(self) -> None:
        self.open()
        if not self.ready:
            raise UserError(f"{self.place.capitalize()} has no tables of chancrawl: nothing was collected yet.")

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """The answer to a query, row by row, whatever its length."""
        with self.connection, self.connection.cursor(name="stream") as cursor:
            cursor.itersize = 10_000
            cursor.execute(sql.replace("?", "%s"), parameters)
            yield from cursor

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


class CsvStore:
    """The SQLite ledger of a folder of CSV files: CSV_FOLDER/ledger.sqlite."""

    def is_outage(self, error: Exception) -> bool:
        return False

    def is_collision(self, error: Exception) -> bool:
        return False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = f"the folder {folder}"
        self.connection: Any = None
        self._locks: list[Any] = []

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
            self._lock_folder()
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

    def _claim(self) -> None:
        """Keep other crawls out of a folder that is not there yet: two that start at once are not both to ask."""
        name = sha256(str(self.folder.absolute()).encode()).hexdigest()[:16]
        with contextlib.suppress(PermissionError):  # somebody else's, who will not write here
            self._locks.append(self._locked(Path(tempfile.gettempdir()) / f"chancrawl-{name}.lock"))

    def _lock_folder(self) -> None:
        if not any(lock.name == str(self.folder / "ledger.lock") for lock in self._locks):
            self._locks.append(self._locked(self.folder / "ledger.lock"))

    def _locked(self, file: Path) -> Any:
        """A file that no other process has locked; UserError if one has."""
        lock = file.open("ab")
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise UserError(
                f"Another crawl is writing to {self.folder}; wait for it, or name another CSV_FOLDER."
            ) from None
        return lock

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
            connection.execute(f"PRAGMA user_version = {LEDGER_VERSION}")

    def prepare(self) -> None:
        if self.connection is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.connect()

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        return [] if self.connection is None else self.connection.execute(sql, parameters).fetchall()

    def open_to_read(self) -> None:
        """While a crawl may be writing."""
        file = self.folder / "ledger.sqlite"
        if not file.exists():
            raise UserError(f"There is no ledger {file}: nothing was collected yet, or CSV_FOLDER is another folder.")
        self.connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """The answer to a query, row by row, whatever its length."""
        yield from self.connection.execute(sql, parameters)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        for lock in self._locks:
            lock.close()
        self._locks.clear()


def store_of(settings: BaseSettings) -> PostgresStore | CsvStore:
    """The store that the settings name: DATABASE_URL's, or else CSV_FOLDER's."""
    url = settings.get("DATABASE_URL")
    return PostgresStore(url) if url else CsvStore(Path(settings["CSV_FOLDER"]))


LEDGER_VERSION = 2
LEDGER_COLUMNS = (
    ("posts", "posted_at TEXT"),
    ("runs", "dollars REAL"),
    ("files", "crc INTEGER"),
    ("files", "changed_ns INTEGER"),
    ("files", "announced INTEGER"),
)
"""What tables of version 1 lack, which was not written down."""

# The part of schema.sql that the ledger needs, and the committed length of every CSV file. SQLite has no types for
# times and booleans: times are ISO 8601 texts.
LEDGER_SCHEMA = """
CREATE TABLE IF NOT EXISTS boards (board TEXT PRIMARY KEY, {boards});
CREATE TABLE IF NOT EXISTS threads (board TEXT, no INTEGER, {threads}, PRIMARY KEY (board, no)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posts (board TEXT, thread_no INTEGER, no INTEGER, digest INTEGER, revision INTEGER,
    posted_at TEXT, first_seen_at TEXT, deleted_at TEXT, deletion_confirmed_at TEXT,
    PRIMARY KEY (board, thread_no, no)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS validators (path TEXT PRIMARY KEY, last_modified TEXT);
CREATE TABLE IF NOT EXISTS board_polls (board TEXT, polled_at TEXT, {polls}, PRIMARY KEY (board, polled_at))
    WITHOUT ROWID;
{files}
CREATE TABLE IF NOT EXISTS runs (run_id INTEGER PRIMARY KEY, spider TEXT, arguments TEXT, source TEXT,
    started_at TEXT, finished_at TEXT, finish_reason TEXT, stats TEXT, dollars REAL);
CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, {accounts});
CREATE TABLE IF NOT EXISTS handles (handle TEXT PRIMARY KEY, {handles}) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feeds (feed TEXT PRIMARY KEY, {feeds}) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tweets (id INTEGER PRIMARY KEY, retweeted_username TEXT, metrics TEXT, first_seen_at TEXT,
    last_seen_at TEXT);
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
    trends=", ".join(columns(Trend)),
)


def moment(value: datetime | str | None) -> datetime | None:
    """A time as either store gives it."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def first_line(error: BaseException) -> str:
    """What an error says, without the hints and positions on its further lines."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
