"""Writes batches in one transaction, without the rows that the store rejects. Base of the writers of both stores."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from chancrawl.items import Post
from chancrawl.storage.base import restored
from chancrawl.storage.forgotten import CHANGED, Forgotten, mark_of
from chancrawl.storage.held_back import HeldBack
from chancrawl.storage.kinds import Kind, Kinds

SetAside = Callable[[Any, str], object]

MANY = 10
"""After this many successive rejections for one reason, the cause is the store and not the rows."""
FEW = 5
"""The same holds if all rows of one kind in a batch are rejected for one reason, and there are at least this many."""


class Table(Protocol):
    """Writes the rows of a kind."""

    def rounds(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        """The items to write, in rounds. The items of a round have different keys."""

    def converted(self, items: Sequence[Any]) -> Any:
        """Items in the form that `write` takes."""

    def write(self, cursor: Any, rows: Any) -> None:
        """Write the converted items of a round."""


Prepared = list[tuple[Table, Any]]

BURY = """
INSERT INTO tombstones (mark, kind, removal, is_lifted, changed_at)
SELECT ?, ?, removal, is_lifted, changed_at FROM tombstones WHERE mark = ? ON CONFLICT DO NOTHING RETURNING mark
"""
COUNT = """
INSERT INTO removed_hours (board, hour, posts) VALUES (?, ?, 1)
ON CONFLICT (board, hour) DO UPDATE SET posts = removed_hours.posts + 1
"""


class RejectsAll(Exception):
    """The store rejects all rows for one reason, which is the text. Nothing of the batch was written."""


class Streaks:
    """Counts successive rejections for one reason, for each kind of rows, across batches.

    Rows that an earlier crawl rejected (`is_known`) do not count, because other rows were stored then.
    """

    def __init__(self, is_known: Callable[[Any], bool] = lambda item: False) -> None:
        self.is_known = is_known
        self._reasons: dict[type[Any], tuple[str, int]] = {}

    def rejected(self, item: Any, reason: str) -> int:
        if self.is_known(item):
            return 0
        number = 1
        before = self._reasons.get(type(item))
        if before is not None and before[0] == reason:
            number += before[1]
        self._reasons[type(item)] = reason, number
        return number

    def stored(self, items: Sequence[Any]) -> None:
        for kind in {type(item) for item in items}:
            self._reasons.pop(kind, None)


class BatchWriter:
    """Writes batches without rejected rows and the state that describes them; `held_back` has those of earlier batches.

    `is_known` returns whether an earlier crawl rejected a row; see `Streaks`.
    """

    def __init__(
        self,
        kinds: Kinds,
        held_back: HeldBack | None = None,
        is_known: Callable[[Any], bool] = lambda item: False,
        forgotten: Forgotten | None = None,
    ) -> None:
        self.kinds = kinds
        self.forgotten = forgotten or Forgotten(kinds)
        self.held_back = HeldBack(kinds) if held_back is None else held_back
        self.streaks = Streaks(is_known)

    # --- what a store defines

    parameter: ClassVar[str]
    """The mark of a parameter in its SQL."""

    def table_of(self, kind: Kind) -> Table:
        """The object that writes the rows of a kind."""
        raise NotImplementedError

    def transaction(self, connection: Any, batch: Sequence[Any]) -> AbstractContextManager[Any]:
        """A durable transaction in which nobody else writes rows with the keys of a batch. Yields an object with
        `execute`."""
        raise NotImplementedError

    def is_rejection(self, error: Exception) -> bool:
        """Whether a row causes the error."""
        raise NotImplementedError

    def is_too_slow(self, error: Exception) -> bool:
        """Whether the rows took longer than a statement may take, so that fewer rows may be possible."""
        return False

    def reason_of(self, error: Exception) -> str:
        """The reason of a rejection, the same for all rows that are rejected for it."""
        return type(error).__name__

    def is_new(self, cursor: Any, mark: tuple[str, int]) -> bool:
        """Record that the batch `mark` of a spool is stored. False if it was recorded before."""
        raise NotImplementedError

    # --- writing

    def prepare(self, batch: Sequence[Any]) -> Prepared:
        """Convert a batch: tables and their rows, in the order of writing. Takes some time; blocks."""
        prepared: Prepared = []
        for kind, items in self.kinds.sorted(batch).items():
            table = self.table_of(kind)
            prepared += [(table, table.converted(round_)) for round_ in table.rounds(items)]
        return prepared

    def prepare_if_possible(self, batch: Sequence[Any]) -> Prepared | None:
        """Convert a batch. None if a row cannot be converted; then `write` finds it."""
        try:
            return self.prepare(batch)
        except Exception as error:
            if not self.is_rejection(error):
                raise
            return None

    def write(
        self,
        connection: Any,
        batch: Sequence[Any],
        set_aside: SetAside,
        mark: tuple[str, int] | None = None,
        prepared: Prepared | None = None,
    ) -> list[Any]:
        """Commit a batch without the rows that the store rejects. Returns the rejected rows.

        `set_aside` gets each rejected row with the reason. `mark` is the name of a spool and the number of its batch,
        committed in the same transaction so that the batch is not written twice. `prepared` is the result of `prepare`
        for the batch. What was removed is left out (forgotten.py). To write a batch again changes nothing. RejectsAll
        if all rows are rejected for one reason. An error of the driver if nothing was written, or if the answer to the
        commit was lost.
        """
        with self.transaction(connection, batch) as cursor:
            if mark is not None and not self.is_new(cursor, mark):
                return []
            self.forgotten.refresh(functools.partial(_rows, cursor))
            left = self.forgotten.left_of(batch)
            if not left.is_all:
                batch, prepared = left.items, None
                self._bury(cursor, left.removed)
            if not self.held_back and self._fits(cursor, batch, prepared):
                rejected: list[tuple[Any, str]] = []
                stored = batch
            else:
                stored, rejected = self._piecewise(cursor, batch)
            for item, reason in rejected:
                set_aside(item, reason)
        self.streaks.stored(stored)
        self.held_back.arrived([*stored, *left.removed])
        return [left.given.get(id(item), item) for item, _ in rejected]

    def _bury(self, cursor: Any, items: Sequence[Any]) -> None:
        """Leave a tombstone for each post that is kept out because of its thread or poster, and count it.

        So it stays out if it is moved to another thread, and coverage does not count it as missing.
        """
        for item in items:
            if isinstance(item, Post):
                name, *others = self.kinds.of(item).subjects(item)
                reason = next((mark for subject in others for mark in self.forgotten.marks_of(subject)), None)
                if reason is None or self.forgotten.has(name):
                    continue
                mark = mark_of(self.forgotten.keys[0], name)
                hour = item.posted_at.replace(minute=0, second=0, microsecond=0)
                if _rows(cursor, self._sql(BURY), self.parameters(mark, name[0], reason)):
                    cursor.execute(self._sql(COUNT), self.parameters(item.board, hour))
                    cursor.execute(CHANGED)

    def rewrite(self, connection: Any, items: Sequence[Any], change: Callable[[Any], Any]) -> int:
        """Change the stored rows of items, in one transaction. Returns how many have changed."""
        changed = 0
        with self.transaction(connection, items) as cursor:
            for kind, some in self.kinds.sorted(items).items():
                where = self._sql(" AND ".join(f"{name} = ?" for name in kind.key))
                sql = f"SELECT {', '.join(kind.columns)} FROM {kind.table} WHERE {where}"
                for item in some:
                    key = kind.key_of(item)[1:]
                    for row in _rows(cursor, sql, key):
                        held = restored(kind.item, row)
                        if (new := change(held)) is not held:
                            cursor.execute(f"DELETE FROM {kind.table} WHERE {where}", key)
                            for table, rows in self.prepare([new]):
                                table.write(cursor, rows)
                            changed += 1
        return changed

    def _sql(self, sql: str) -> str:
        return sql.replace("?", self.parameter)

    def parameters(self, *values: Any) -> tuple[Any, ...]:
        """Values as the driver takes them."""
        return values

    def take_in(self, connection: Any, batch: Sequence[Any]) -> list[tuple[Any, str]]:
        """Commit a batch. Returns the rows that are rejected, with the reasons."""
        reasons: list[str] = []
        rejected = self.write(connection, batch, lambda item, reason: reasons.append(reason))
        return list(zip(rejected, reasons, strict=True))

    def _can_be_divided(self, error: Exception, items: Sequence[Any]) -> bool:
        return self.is_rejection(error) or (self.is_too_slow(error) and len(items) > 1)

    def _fits(self, cursor: Any, batch: Sequence[Any], prepared: Prepared | None) -> bool:
        """Merge a batch as a whole. If a row is rejected, change nothing and return False."""
        cursor.execute("SAVEPOINT batch")
        try:
            for table, rows in prepared or self.prepare(batch):
                table.write(cursor, rows)
        except Exception as error:
            if not self._can_be_divided(error, batch):
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
            if len(new) >= FEW and not good and len(set(map(self.reason_of, new))) == 1:
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
            if not self._can_be_divided(error, items):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT rows")
            if len(items) == 1:
                if self.streaks.rejected(items[0], self.reason_of(error)) >= MANY:
                    raise RejectsAll(_text(error)) from None
                return [], [(items[0], error)]
            middle = len(items) // 2
            first, second = self._halved(cursor, items[:middle]), self._halved(cursor, items[middle:])
            return first[0] + second[0], first[1] + second[1]
        cursor.execute("RELEASE SAVEPOINT rows")
        self.streaks.stored(items)
        return list(items), []


def _rows(cursor: Any, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
    answer = cursor.execute(sql, parameters)
    rows: list[Any] = (answer or cursor).fetchall()  # psycopg2's execute returns None
    return rows


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__


def is_bad_value(error: Exception) -> bool:
    """Whether an error comes from a value that cannot be converted: a wrong type, or out of range."""
    return isinstance(error, ValueError | TypeError | ArithmeticError | RecursionError | LookupError | AttributeError)
