"""A store that is out of reach for a while, as a database server can be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from chancrawl.storage.kinds import Kinds
from chancrawl.storage.sqlite.store import SqliteStore


class Collision(Exception):
    """Another transaction was in the way."""


class UnsteadyStore(SqliteStore):
    """A real database, whose every call fails while `is_gone`.

    `connect` fails `refusals` times more before the store is back; `collisions` calls fail because others are in the
    way.
    """

    errors: ClassVar[tuple[type[Exception], ...]] = (sqlite3.Error, ConnectionError, Collision)

    def __init__(self, folder: Path, kinds: Kinds) -> None:
        super().__init__(folder, kinds)
        self.is_gone = False
        self.refusals = 0
        self.collisions = 0
        self.place = "the database test"

    def leave(self, refusals: int = 0) -> None:
        self.is_gone, self.refusals = True, refusals

    def connect(self) -> None:
        if self.is_gone and self.refusals:
            self.refusals -= 1
            raise ConnectionError("connection refused")
        self.is_gone = False
        if self.connection is None:
            super().connect()

    def is_outage(self, error: Exception) -> bool:
        return isinstance(error, ConnectionError)

    def is_collision(self, error: Exception) -> bool:
        return isinstance(error, Collision)

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        self._check()
        return super().rows(sql, *parameters)

    def write(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        self._check()
        super().write(statements)

    def _check(self) -> None:
        if self.is_gone:
            raise ConnectionError("server closed the connection\nThis probably means …")
        if self.collisions:
            self.collisions -= 1
            raise Collision("deadlock detected")
