"""Batches into PostgreSQL: each kind of item by COPY into a staging table, from there by one INSERT … ON CONFLICT.

Crawls write into one database one after the other, under a lock that they share: none waits for another one's rows,
and a statement can look at what is stored, decide, and replace it. What several crawls know of one post or thread need
not agree. So a row is replaced only by a later one, a post keeps the earliest time at which it was seen, and a row that
says nothing new is not touched.
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
"""So many rows in a row that are rejected for one reason are the store's fault, and so is a batch of which all are."""
FEW = 5
"""A batch of fewer rows tells nothing of that kind."""


class RejectsAll(Exception):
    """The database rejects every row, for one reason, which is the text. Nothing of the batch was written."""


class Streaks:
    """How many rows of each kind were rejected in a row for one reason, across batches.

    Rows that were rejected by an earlier crawl do not count (`is_known`): other rows were stored then.
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
    """What rejections have in common: the code, and the column or constraint."""
    if isinstance(error, psycopg2.Error):
        return f"{error.pgcode} {error.diag.column_name} {error.diag.constraint_name}"
    return type(error).__name__


class BatchWriter:
    """Writes batches. State that speaks of rejected rows is left out too: `held_back` knows of rows of earlier batches.

    `is_known` tells whether a row was rejected by an earlier crawl; see `Streaks`.
    """

    def __init__(
        self, kinds: Kinds, held_back: HeldBack | None = None, is_known: Callable[[Any], bool] = lambda item: False
    ) -> None:
        self.kinds = kinds
        self.held_back = HeldBack(kinds) if held_back is None else held_back
        self.streaks = Streaks(is_known)

    def prepare(self, batch: Sequence[Any]) -> Prepared:
        """A batch as COPY takes it: tables and their rows, in the order of writing. Blocks for a while."""
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
        """Commit a batch: all of it but the rows that the database rejects. Returns these.

        `set_aside` is given each rejected row with the reason. `mark` is a spool's name and the number of its batch,
        noted in the same transaction: what has been noted is not written again. `prepared` is what `prepare` made of
        the batch. The same batch a second time changes nothing. RejectsAll if one reason rejects all rows,
        psycopg2.Error if nothing was written; or if the answer to the commit was lost, and nobody knows.
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
        """Merge a batch as a whole; False, and nothing is changed, if something in it is rejected."""
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
        """Merge a batch one kind of rows after the other, data before state: what is stored, and what is rejected."""
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
        """Merge rows of one kind; if one is rejected, their halves one after the other, down to that row.

        So are rows halved that take longer than the server allows.
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
    """Whether an error is a row's fault: bad data, a broken constraint, a limit exceeded; or no text that COPY takes.

    https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    if isinstance(error, psycopg2.Error):
        return (error.pgcode or "").startswith(("21", "22", "23", "54", "P0001"))
    return isinstance(error, ValueError | TypeError | ArithmeticError | RecursionError | LookupError | AttributeError)
