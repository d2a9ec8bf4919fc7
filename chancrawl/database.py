"""The PostgreSQL database of DATABASE_URL as a store: connection, version, privileges."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import psycopg2
from psycopg2.errors import InsufficientPrivilege

from chancrawl import migrations
from chancrawl.errors import UserError, first_line

logger = logging.getLogger(__name__)

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
                  'feeds', 'gaps', 'tweets', 'trends', 'credential_limits', 'spending', 'runs', 'spools']) AS name,
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
        self._streams = 0

    @property
    def ready(self) -> bool:
        """Whether the tables are there."""
        return self.version == migrations.VERSION

    def open(self) -> None:
        """Connect, and bring the tables up to date if there are some of an earlier version."""
        self._connect()
        if self.version is not None and not self.ready:
            self._migrate()
        self._check_privileges()

    def _connect(self) -> None:
        """UserError if that cannot be."""
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

    def connect(self) -> None:
        self.close()
        self.connection = psycopg2.connect(
            self.url, connect_timeout=10, application_name="chancrawl", client_encoding="UTF8", **KEEPALIVES
        )
        parameters = self.connection.info.dsn_parameters
        self.place = f"the database {parameters.get('dbname')} on {parameters.get('host') or 'this machine'}"
        encoding = self.connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise UserError(
                f"The encoding of {self.place} is {encoding}, which cannot hold every text: create one "
                "in UTF8 (CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8') and name it in DATABASE_URL.",
                reason="store_unavailable",
            )
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
        """Connect; the right to read is enough, and nothing is changed."""
        self._connect()
        if self.version is None:
            raise UserError(
                f"{self.place[0].upper() + self.place[1:]} has no tables of chancrawl: nothing was collected yet."
            )
        if not self.ready:
            raise UserError(
                f"The tables in {self.place} are of version {self.version}, and this chancrawl reads version "
                f"{migrations.VERSION}: run `scrapy initdb` as their owner."
            )

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """The answer to a query, row by row, whatever its length."""
        self._streams += 1
        with self.connection.cursor(name=f"stream{self._streams}") as cursor:
            cursor.itersize = 10_000
            cursor.execute(sql.replace("?", "%s"), parameters)
            yield from cursor

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
