"""Merges the rows of a kind from its staging table into its table, by one INSERT … ON CONFLICT.

In the statements, `new` is the staged row and `held` is the stored row of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from chancrawl.storage.kinds import Kind
from chancrawl.storage.postgres.copy import Rows, rows_of, stage
from chancrawl.storage.versions import states_apart


class NotStored(ValueError):
    """A statement was executed, but its row is not in the table, because a trigger has dropped it."""


class Table:
    """Merges the rows of a kind. Kinds that need more than an upsert have a subclass in versioned.py."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.later: str = kind.later
        self.merged: Mapping[str, str] = kind.merged
        self.compared: Sequence[str] | None = kind.compared

    def rounds(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        """The items to write, in rounds. The items of a round have different keys."""
        return states_apart(items, self.kind)

    def converted(self, items: Sequence[Any]) -> Rows:
        """Items in COPY's format."""
        return rows_of(items)

    def write(self, cursor: Any, rows: Rows) -> None:
        """Write rows, all with different keys. NotStored if one is not in the table afterwards."""
        stage(cursor, self.kind.table, self.kind.columns, rows)
        cursor.execute(self.merge)
        if cursor.rowcount < len(rows.lines):
            self.check(cursor)

    def check(self, cursor: Any) -> None:
        cursor.execute(f"SELECT count(*) {self.held_beside_new('LEFT')} WHERE held.{self.kind.key[0]} IS NULL")
        (dropped,) = cursor.fetchone()
        if dropped:
            raise NotStored(
                f"{dropped} rows are not in {self.kind.table} after they were inserted: a trigger drops them"
            )

    @cached_property
    def merge(self) -> str:
        names = self.kind.columns
        rest = [name for name in names if name not in self.kind.key]
        compared = rest if self.compared is None else self.compared
        new = ", ".join(_comparable(name, self._merged(name)) for name in compared)
        held = ", ".join(_comparable(name, f"held.{name}") for name in compared)
        order = ", ".join(self.kind.key)
        return (
            f"INSERT INTO {self.kind.table} ({', '.join(names)}) "
            f"SELECT {', '.join(map(self._merged, names))} {self.held_beside_new('LEFT')} "
            f"WHERE held.{self.kind.key[0]} IS NULL OR (({self.later}) AND ({new}) IS DISTINCT FROM ({held})) "
            f"ORDER BY {', '.join(f'new.{name}' for name in self.kind.key)} "
            f"ON CONFLICT ({order}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in rest)}"
        )

    def _merged(self, name: str) -> str:
        return self.merged.get(name, f"new.{name}")

    def held_beside_new(self, join: str) -> str:
        """The FROM clause of a statement. Because of the LIMIT, PostgreSQL looks up each new row by its key."""
        same = " AND ".join(f"it.{name} = new.{name}" for name in self.kind.key)
        return (
            f"FROM staged_{self.kind.table} AS new "
            f"{join} JOIN LATERAL (SELECT * FROM {self.kind.table} AS it WHERE {same} LIMIT 1) AS held ON true"
        )


def _comparable(name: str, value: str) -> str:
    return f"({value})::text" if name in ("raw", "includes") else value  # json has no equality
