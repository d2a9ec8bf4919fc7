"""Writes batches to PostgreSQL: each kind by COPY into a staging table, then by one INSERT … ON CONFLICT.

Crawls write the rows of a board, or of X, one after another, under a lock for each. So none waits for row locks of
another one, and a statement can read the stored rows, decide, and replace them. Several crawls can know different
states of one post or thread. So only a later row replaces a stored one, a post keeps the earliest time at which it was
seen, and an unchanged row is not updated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.errors import QueryCanceled

from chancrawl.storage import batch_writer
from chancrawl.storage.batch_writer import is_bad_value
from chancrawl.storage.kinds import Kind
from chancrawl.storage.postgres.migrations import SETTINGS, WRITE
from chancrawl.storage.postgres.patience import AT_ONCE, WHOLE, patience
from chancrawl.storage.postgres.tables import Table
from chancrawl.storage.postgres.versioned import table_of

BEGIN = f"""
{SETTINGS}
SET LOCAL statement_timeout = '50s';
SET LOCAL idle_in_transaction_session_timeout = '45s';
SET LOCAL tcp_keepalives_idle = 10;
SET LOCAL tcp_keepalives_interval = 5;
SET LOCAL tcp_keepalives_count = 3;
"""
"""A writer that hangs holds its locks for less than a minute: the server ends its statement, its idle session, or the
connection to a machine that does not answer any more."""

LOCKS = f"""
SELECT pg_advisory_xact_lock_shared(hashtext('{WRITE}'));
SELECT pg_advisory_xact_lock(key) FROM (SELECT hashtext(name) AS key FROM unnest(%s::text[]) AS name ORDER BY 1) AS keys
"""
"""Always in one order, so that two crawls never wait for each other."""

MARK = """
INSERT INTO spools (spool, applied, applied_at) VALUES (%s, %s, now())
ON CONFLICT (spool) DO UPDATE SET applied = excluded.applied, applied_at = excluded.applied_at
WHERE spools.applied < excluded.applied
"""


class BatchWriter(batch_writer.BatchWriter):
    """Writes batches to PostgreSQL."""

    parameter = "%s"

    def table_of(self, kind: Kind) -> Table:
        return table_of(kind)

    @contextmanager
    def transaction(self, connection: Any, batch: Sequence[Any]) -> Iterator[Any]:
        with patience(connection, WHOLE), connection, connection.cursor() as cursor:
            with patience(connection, AT_ONCE):
                cursor.execute(BEGIN)
            cursor.execute(LOCKS, (sorted({self.kinds.of(item).lock_of(item) for item in batch}),))
            yield cursor

    def is_rejection(self, error: Exception) -> bool:
        return is_rejection(error)

    def is_too_slow(self, error: Exception) -> bool:
        return isinstance(error, QueryCanceled)

    def reason_of(self, error: Exception) -> str:
        """The code, and the column or constraint."""
        if isinstance(error, psycopg2.Error):
            return f"{error.pgcode} {error.diag.column_name} {error.diag.constraint_name}"
        return super().reason_of(error)

    def is_new(self, cursor: Any, mark: tuple[str, int]) -> bool:
        cursor.execute(MARK, mark)
        return bool(cursor.rowcount)


def is_rejection(error: Exception) -> bool:
    """Whether a row causes the error: bad data, a broken constraint, an exceeded limit, or text that COPY refuses.

    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    if isinstance(error, psycopg2.Error):
        return (error.pgcode or "").startswith(("21", "22", "23", "54", "P0001"))
    return is_bad_value(error)
