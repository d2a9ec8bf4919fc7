"""The PostgreSQL database of DATABASE_URL as a store: connection, version, privileges.

Nothing that a transaction sets lasts longer than the transaction. Behind a pooler such as PgBouncer in transaction
mode, the next transaction runs in another session, and transactions of other clients run in this one.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import psycopg2
from psycopg2.errors import InsufficientPrivilege

from chancrawl.errors import UserError
from chancrawl.storage.kinds import Kinds
from chancrawl.storage.postgres import migrations
from chancrawl.storage.postgres.migrations import SETTINGS
from chancrawl.storage.postgres.patience import AT_ONCE, patience
from chancrawl.storage.postgres.upsert import BatchWriter
from chancrawl.storage.schema import VERSION
from chancrawl.text import capitalized, first_line

logger = logging.getLogger(__name__)

# With these values, a connection that broke silently is detected within half a minute.
KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

UNLIMITED = SETTINGS.replace("read committed", "repeatable read").replace("'10min'", "'0'")
"""The settings of a snapshot: one state of all tables, for as long as it takes."""

LEGACY_TABLE = "tweet_articles_tweepy"

PLACE = """
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', current_schema(),
    current_setting('search_path'), current_user
"""
MISSING_PRIVILEGES = """
SELECT privilege || ' ON ' || name FROM unnest(%s::text[], %s::text[]) AS needed (name, privilege)
WHERE NOT has_table_privilege(to_regclass(name), privilege)
"""
LACKING_TABLES = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL"
CANNOT_CREATE = """
SELECT 'CREATE ON SCHEMA ' || quote_ident(current_schema())
WHERE NOT has_schema_privilege(current_schema(), 'CREATE')
"""
NO_TEMPORARY_TABLES = """
SELECT 'TEMPORARY ON DATABASE ' || quote_ident(current_database())
WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
"""


class PostgresStore:
    """The database of DATABASE_URL."""

    # Lost connections, shutdowns, exhausted resources, conflicts between transactions, lock timeouts, and a server that
    # is read-only (because another server has replaced it).
    # https://www.postgresql.org/docs/current/errcodes-appendix.html
    TRANSIENT_SQLSTATES = ("08", "40", "53", "55P03", "57", "25006")

    sql_now: ClassVar[str] = "now()"
    sql_alone: ClassVar[str] = f"SELECT pg_advisory_xact_lock(hashtext('{migrations.WRITE}'))"

    sql_age: ClassVar[str] = "extract(epoch FROM now() - {})"

    sql_seconds: ClassVar[str] = migrations.SECONDS

    sql_hour: ClassVar[str] = migrations.HOUR

    errors: ClassVar[tuple[type[Exception], ...]] = (psycopg2.Error,)
    is_exclusive: ClassVar[bool] = False

    def __init__(self, url: str, kinds: Kinds) -> None:
        self.url = url
        self.kinds = kinds
        self._others = [kind for kind in kinds if kind.schema]
        self.connection: Any = None
        self.version: int | None = None
        self.lacks_tables = False
        self.database_id: str | None = None
        self.place = "PostgreSQL"
        self._streams = 0
        self._settings_of_streams: str | None = None  # in a snapshot
        self.settings: Callable[[], str] = lambda: SETTINGS
        """The settings of the next transaction."""

    @property
    def ready(self) -> bool:
        """Whether all tables exist in this version: those of schema.sql and those of other sources."""
        return self.version == VERSION and not self.lacks_tables

    @property
    def is_created(self) -> bool:
        return self.ready

    def another(self) -> PostgresStore:
        return PostgresStore(self.url, self.kinds)

    # --- connecting

    def open(self) -> None:
        """Connect, and migrate tables of an earlier version. UserError if a crawl could not write to the database."""
        self.open_to_create()
        if self.version is not None and self.version != VERSION:
            self._migrate()
        if self.ready:
            with self.transaction() as cursor:
                self._refuse_gone(migrations.gone(cursor))
                self._refuse_without(
                    self._lacking(cursor, [*migrations.PRIVILEGES, *self._privileges_of_others()])
                    + self._first_column(cursor, NO_TEMPORARY_TABLES)
                )

    def open_beside(self) -> None:
        self.open()
        self.prepare()

    def open_to_create(self) -> None:
        """Connect. UserError if tables cannot be written or created."""
        self._connect()
        with self.transaction() as cursor:
            cursor.execute(PLACE)
            self._check_place(*cursor.fetchone())
            if self.version is None:
                self._refuse_without(self._first_column(cursor, CANNOT_CREATE))

    def open_to_read(self, tables: Sequence[str]) -> None:
        """Connect to read `tables`, for which SELECT privileges are enough. UserError if they do not exist."""
        self._connect()
        if self.version is None:
            raise UserError(f"{capitalized(self.place)} has no tables of chancrawl: nothing was collected yet.")
        if not self.ready:
            raise UserError(
                f"The tables in {self.place} are of version {self.version}, and this chancrawl reads version "
                f"{VERSION}: run `scrapy initdb` as their owner."
            )
        with self.transaction() as cursor:
            self._refuse_gone(migrations.gone(cursor))
            self._refuse_without(self._lacking(cursor, [(table, "SELECT") for table in tables]))

    def _connect(self) -> None:
        """Connect. UserError if that fails."""
        try:
            self.connect()
        except InsufficientPrivilege as error:
            raise _refused(f"The user of DATABASE_URL may not read {self.place}: {first_line(error)}.") from None
        except psycopg2.Error as error:
            raise _refused(
                f"The database of DATABASE_URL cannot be used: {first_line(error)}. Start or create it, or mend "
                "DATABASE_URL (postgresql://user:password@host:5432/name), or leave it out to write CSV files."
            ) from None

    def connect(self) -> None:
        self.close()
        self.connection = psycopg2.connect(
            self.url, connect_timeout=10, application_name="chancrawl", client_encoding="UTF8", **KEEPALIVES
        )
        info = self.connection.info
        self.place = f"the database {info.dbname} on {info.host or 'this machine'}"
        encoding = info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise _refused(
                f"The encoding of {self.place} is {encoding}, which cannot hold every text: create one "
                "in UTF8 (CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8') and name it in DATABASE_URL."
            )
        with self.transaction() as cursor:
            self._read_version(cursor)

    def _read_version(self, cursor: Any) -> None:
        self.version = migrations.version_of(cursor)
        self.lacks_tables = bool(self._first_column(cursor, LACKING_TABLES, [kind.table for kind in self._others]))
        if self.ready:
            cursor.execute("SELECT database_id::text FROM schema_version")
            (self.database_id,) = cursor.fetchone()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()

    # --- checks of the database

    def _check_place(self, is_read_only: bool, schema: str | None, search_path: str, user: str) -> None:
        """UserError if the server is read-only, or if the search_path has no schema for the tables."""
        if is_read_only:
            raise _refused(
                f"{capitalized(self.place)} is read-only (a standby, or default_transaction_read_only is on): name the "
                "server that takes writes; with several hosts in DATABASE_URL, add target_session_attrs=read-write."
            )
        if schema is None:
            raise _refused(
                f"The search_path in {self.place} is {search_path}, and {user} may use no schema of that name: create "
                f"it (CREATE SCHEMA), or GRANT USAGE ON SCHEMA … TO {user}."
            )

    def _refuse_gone(self, tables: Sequence[str]) -> None:
        """UserError if `tables`, the dropped ones, is not empty."""
        if tables:
            raise _refused(
                f"Tables are gone from {self.place}: {', '.join(tables)}. Put them back from a backup, or have "
                "`scrapy initdb` create them anew, without their rows."
            )

    def _lacking(self, cursor: Any, needed: Sequence[tuple[str, str]]) -> list[str]:
        """The privileges of `needed` that the user does not have, as texts. `needed` are (table, privilege)."""
        tables, privileges = [table for table, _ in needed], [privilege for _, privilege in needed]
        return self._first_column(cursor, MISSING_PRIVILEGES, tables, privileges)

    def _privileges_of_others(self) -> list[tuple[str, str]]:
        """The privileges that a crawl needs on the tables of other sources."""
        return [(kind.table, right) for kind in self._others for right in ("SELECT", "INSERT", "UPDATE")]

    def _first_column(self, cursor: Any, sql: str, *parameters: Any) -> list[str]:
        cursor.execute(sql, parameters)
        return [value for (value,) in cursor.fetchall()]

    def _refuse_without(self, lacking: list[str]) -> None:
        """UserError if `lacking`, the missing privileges, is not empty."""
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            raise _refused(
                f"The user {self.connection.info.user} of DATABASE_URL lacks privileges in {self.place}: "
                f"{', '.join(lacking[:3])}{more}. GRANT them (deploy/grants.sql has the statements), or name another "
                "user."
            )

    def _migrate(self) -> None:
        logger.info("The tables in %s are of version %d; they are brought to version %d.",
                    self.place, self.version, VERSION)  # fmt: skip
        try:
            self.apply_schema()
        except psycopg2.Error as error:
            raise _refused(
                f"The tables in {self.place} are of version {self.version} and could not be brought to version "
                f"{VERSION}: {first_line(error)}. Nothing was changed; stop other crawls into it, and run "
                "`scrapy initdb` as the owner of the tables."
            ) from None

    def is_outage(self, error: Exception) -> bool:
        if not isinstance(error, psycopg2.Error):
            return False
        if error.pgcode is None:  # an error of the connection; if the server crashed, it is a plain DatabaseError
            return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or bool(
                self.connection.closed or type(error) is psycopg2.DatabaseError
            )
        return error.pgcode.startswith(self.TRANSIENT_SQLSTATES) or bool(self.connection.closed)

    def is_collision(self, error: Exception) -> bool:
        """Whether an error comes from a conflict with another transaction. The call can be repeated at once."""
        return (getattr(error, "pgcode", None) or "").startswith("40")

    def cause_of(self, error: Exception) -> Exception:
        """The error to report. An error at the end of a transaction hides the first error, which is its context."""
        return error.__context__ if isinstance(error.__context__, psycopg2.Error) else error

    # --- tables

    def prepare(self) -> None:
        if not self.ready:
            self.apply_schema()

    def apply_schema(self, again: bool = False) -> None:
        """Create the tables, or migrate them; see `migrations.bring_up_to_date`."""
        with self.transaction() as cursor:
            if self.legacy_table(cursor):
                raise _refused(
                    f"{capitalized(self.place)} holds the older crawler's table {LEGACY_TABLE}; run "
                    "`scrapy initdb --import-legacy` once: it takes the rows over and keeps the table, renamed."
                )
            migrations.bring_up_to_date(cursor, again)
            for kind in self._others:
                cursor.execute(kind.schema)
            self._read_version(cursor)

    def legacy_table(self, cursor: Any) -> bool:
        """Whether LEGACY_TABLE is a table of the older crawler. In this version it is a view."""
        cursor.execute("SELECT relkind IN ('r', 'p') FROM pg_class WHERE oid = to_regclass(%s)", (LEGACY_TABLE,))
        row = cursor.fetchone()
        return bool(row and row[0])

    # --- queries

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor in a separate transaction, with SETTINGS."""
        with self.connection, self.connection.cursor() as cursor:
            with patience(self.connection, AT_ONCE):
                cursor.execute(self.settings())
            yield cursor

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        if not self.ready:
            return []
        with self.transaction() as cursor:
            return _answer(cursor, sql, *parameters)

    @contextmanager
    def locked(self, name: str) -> Iterator[Callable[..., list[Any]]]:
        """A transaction under a lock, so that only one process at a time is in it. Yields a function like `rows`."""
        with self.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (name,))
            yield functools.partial(_answer, cursor)

    def write(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """Execute statements in one transaction."""
        with self.transaction() as cursor:
            for sql, parameters in statements:
                cursor.execute(sql.replace("?", "%s"), parameters)

    def take_in(self, batch: Sequence[Any]) -> list[tuple[Any, str]]:
        """Store rows from the quarantine. Returns the rows that are rejected again, with the reasons."""
        return BatchWriter(self.kinds, is_known=lambda item: True).take_in(self.connection, batch)

    def rewrite(self, items: Sequence[Any], change: Callable[[Any], Any]) -> int:
        return BatchWriter(self.kinds).rewrite(self.connection, items, change)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A block in which all calls of `stream` show the rows that were committed when it began."""
        self.connection.rollback()
        self._settings_of_streams = UNLIMITED
        try:
            list(self.stream("SELECT 1"))
            yield
        finally:
            self._settings_of_streams = None
            self.connection.rollback()

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """The result of a query, row by row, for results of any length. A command has one transaction for all."""
        self._streams += 1
        with self.connection.cursor() as cursor, patience(self.connection, AT_ONCE):
            cursor.execute(self._settings_of_streams or self.settings())
        with self.connection.cursor(name=f"stream{self._streams}") as cursor:
            cursor.itersize = 10_000
            cursor.execute(sql.replace("?", "%s"), parameters)
            yield from cursor


def _answer(cursor: Any, sql: str, *parameters: Any) -> list[Any]:
    cursor.execute(sql.replace("?", "%s"), parameters)
    return list(cursor.fetchall()) if cursor.description else []


def _refused(sentence: str) -> UserError:
    return UserError(sentence, reason="store_unavailable")
