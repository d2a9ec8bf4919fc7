"""Writes batches to PostgreSQL: each kind by COPY into a staging table, then by one INSERT … ON CONFLICT.

Crawls write to a database one after another, under one lock. So none waits for row locks of another one, and a
statement can read the stored rows, decide, and replace them. Several crawls can know different states of one post or
thread. So only a later row replaces a stored one, a post keeps the earliest time at which it was seen, and an unchanged
row is not updated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg2
from psycopg2.errors import QueryCanceled

from chancrawl.storage.held_back import HeldBack
from chancrawl.storage.kinds import Kinds
from chancrawl.storage.postgres.copy import Rows, rows_of
from chancrawl.storage.postgres.migrations import SETTINGS
from chancrawl.storage.postgres.tables import Table
from chancrawl.storage.postgres.versioned import table_of

BEGIN = f"""
{SETTINGS}
SET LOCAL statement_timeout = '5min';
SELECT pg_advisory_xact_lock(hashtext('chancrawl write'))
"""
MARK = """
INSERT INTO spools (spool, applied, applied_at) VALUES (%s, %s, now())
ON CONFLICT (spool) DO UPDATE SET applied = excluded.applied, applied_at = excluded.applied_at
WHERE spools.applied < excluded.applied
"""

SetAside = Callable[[Any, str], object]
Prepared = list[tuple[Table, Rows]]

MANY = 10
"""After this many successive rejections for one reason, the cause is the store and not the rows."""
FEW = 5
"""The same holds if all rows of one kind in a batch are rejected for one reason, and there are at least this many."""


class RejectsAll(Exception):
    """The database rejects all rows for one reason, which is the text. Nothing of the batch was written."""


class Streaks:
    """Counts successive rejections for one reason, for each kind of rows, across batches.

    Rows that an earlier crawl rejected (`is_known`) do not count, because other rows were stored then.
    """

    def __init__(self, is_known: Callable[[Any], bool] = lambda item: False) -> None:
        self.is_known = is_known
        self._reasons: dict[type[Any], tuple[str, int]] = {}

    def rejected(self, item: Any, error: Exception) -> int:
        if self.is_known(item):
            return 0
        reason, number = reason_of(error), 1
        before = self._reasons.get(type(item))
        if before is not None and before[0] == reason:
            number += before[1]
        self._reasons[type(item)] = reason, number
        return number

    def stored(self, items: Sequence[Any]) -> None:
        for kind in {type(item) for item in items}:
            self._reasons.pop(kind, None)


def reason_of(error: Exception) -> str:
    """The reason of a rejection: the code, and the column or constraint."""
    if isinstance(error, psycopg2.Error):
        return f"{error.pgcode} {error.diag.column_name} {error.diag.constraint_name}"
    return type(error).__name__


class BatchWriter:
    """Writes batches without rejected rows and the state that describes them; `held_back` has those of earlier batches.

    `is_known` returns whether an earlier crawl rejected a row; see `Streaks`.
    """

    def __init__(
        self, kinds: Kinds, held_back: HeldBack | None = None, is_known: Callable[[Any], bool] = lambda item: False
    ) -> None:
        self.kinds = kinds
        self.held_back = HeldBack(kinds) if held_back is None else held_back
        self.streaks = Streaks(is_known)

    def prepare(self, batch: Sequence[Any]) -> Prepared:
        """Convert a batch for COPY: tables and their rows, in the order of writing. Takes some time; blocks."""
        prepared: Prepared = []
        for kind, items in self.kinds.sorted(batch).items():
            table = table_of(kind)
            prepared += [(table, rows_of(round_)) for round_ in table.rounds(items)]
        return prepared

    def write(
        self,
        connection: Any,
        batch: Sequence[Any],
        set_aside: SetAside,
        mark: tuple[str, int] | None = None,
        prepared: Prepared | None = None,
    ) -> list[Any]:
        """Commit a batch without the rows that the database rejects. Returns the rejected rows.

        `set_aside` gets each rejected row with the reason. `mark` is the name of a spool and the number of its batch,
        committed in the same transaction so that the batch is not written twice. `prepared` is the result of `prepare`
        for the batch. To write a batch again changes nothing. RejectsAll if all rows are rejected for one reason.
        psycopg2.Error if nothing was written, or if the answer to the commit was lost.
        """
        with connection, connection.cursor() as cursor:
            cursor.execute(BEGIN)
            if mark is not None:
                cursor.execute(MARK, mark)
                if not cursor.rowcount:
                    return []
            if not self.held_back and self._fits(cursor, batch, prepared):
                rejected: list[tuple[Any, str]] = []
                stored = batch
            else:
                stored, rejected = self._piecewise(cursor, batch)
            for item, reason in rejected:
                set_aside(item, reason)
        self.streaks.stored(stored)
        self.held_back.arrived(stored)
        return [item for item, _ in rejected]

    def _fits(self, cursor: Any, batch: Sequence[Any], prepared: Prepared | None) -> bool:
        """Merge a batch as a whole. If a row is rejected, change nothing and return False."""
        cursor.execute("SAVEPOINT batch")
        try:
            for table, rows in prepared or self.prepare(batch):
                table.write(cursor, rows)
        except Exception as error:
            if not is_rejection(error) and not (isinstance(error, QueryCanceled) and len(batch) > 1):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT batch")
            return False
        cursor.execute("RELEASE SAVEPOINT batch")
        return True

    def _piecewise(self, cursor: Any, batch: Sequence[Any]) -> tuple[list[Any], list[tuple[Any, str]]]:
        """Merge a batch kind by kind, data before state. Returns the stored items, and the rejected with reasons."""
        stored: list[Any] = []
        rejected: list[tuple[Any, str]] = []
        for items in self.kinds.sorted(batch).values():
            ready = [item for item in items if not self.held_back.waits(item)]
            good, bad = self._halved(cursor, ready)
            new = [error for item, error in bad if not self.streaks.is_known(item)]
            if len(new) >= FEW and not good and len({reason_of(error) for error in new}) == 1:
                raise RejectsAll(_text(new[0]))
            for item, error in bad:
                self.held_back.missed(item, self.streaks.is_known(item))
                rejected.append((item, _text(error)))
            stored += good
        return stored, rejected

    def _halved(self, cursor: Any, items: Sequence[Any]) -> tuple[list[Any], list[tuple[Any, Exception]]]:
        """Merge rows of one kind. If one is rejected, merge both halves separately, and so on down to that row.

        Rows are also halved if they take longer than the statement timeout.
        """
        if not items:
            return [], []
        cursor.execute("SAVEPOINT rows")
        try:
            for table, rows in self.prepare(items):
                table.write(cursor, rows)
        except Exception as error:
            if not is_rejection(error) and not (isinstance(error, QueryCanceled) and len(items) > 1):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT rows")
            if len(items) == 1:
                if self.streaks.rejected(items[0], error) >= MANY:
                    raise RejectsAll(_text(error)) from None
                return [], [(items[0], error)]
            middle = len(items) // 2
            first, second = self._halved(cursor, items[:middle]), self._halved(cursor, items[middle:])
            return first[0] + second[0], first[1] + second[1]
        cursor.execute("RELEASE SAVEPOINT rows")
        self.streaks.stored(items)
        return list(items), []


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__


def is_rejection(error: Exception) -> bool:
    """Whether a row causes the error: bad data, a broken constraint, an exceeded limit, or text that COPY refuses.

    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    if isinstance(error, psycopg2.Error):
        return (error.pgcode or "").startswith(("21", "22", "23", "54", "P0001"))
    return isinstance(error, ValueError | TypeError | ArithmeticError | RecursionError | LookupError | AttributeError)
