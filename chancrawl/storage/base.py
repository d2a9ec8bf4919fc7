"""What a store is: a PostgreSQL database, or a folder of CSV files with its ledger.

A *state store* commits rows and the state that speaks of them together. A *row sink* is written from what was
committed. Everything here blocks; storage/session.py calls it in the store's own thread. Nothing is created before
there is something to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self

from scrapy.crawler import Crawler

from chancrawl.storage.kinds import Kinds


class Store(Protocol):
    """A state store. All calls come from one thread, and block.

    SQL has `?` for parameters. What differs between the stores in a query is in the three `sql_` texts.
    """

    kinds: Kinds

    place: str
    """Where the data goes, in words."""

    errors: ClassVar[tuple[type[Exception], ...]]
    """The errors of its driver."""

    is_exclusive: ClassVar[bool]
    """Whether a lock lets one crawl at a time in."""

    sql_now: ClassVar[str]
    """The time of the store's clock."""

    sql_age: ClassVar[str]
    """Seconds since a time, which stands as {}."""

    sql_seconds: ClassVar[str]
    """A time, which stands as {}, in seconds since 1970."""

    @property
    def is_created(self) -> bool:
        """Whether it has tables that can be read and written."""

    # --- connecting

    def open(self) -> None:
        """Connect, without creating anything. UserError if that cannot be."""

    def open_to_read(self, tables: Sequence[str]) -> None:
        """Connect to read these tables, also while a crawl writes. UserError if they are not there."""

    def connect(self) -> None:
        """Connect (again), or raise what made it impossible."""

    def another(self) -> Store | None:
        """A second connection, not open yet; None where there can be only one."""

    def prepare(self) -> None:
        """Create what is missing."""

    def close(self) -> None: ...

    # --- rows

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """The answer to a query; empty while nothing is created."""

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """The answer to a query, row by row, whatever its length."""

    def write(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """Carry out statements, all or none."""

    def locked(self, name: str) -> AbstractContextManager[Callable[..., list[Any]]]:
        """A transaction that one process at a time can be in; it gives a function like `rows`."""

    def take_in(self, batch: Sequence[Any]) -> list[tuple[Any, str]]:
        """Store items that were set aside before; those that are rejected again, with the reason."""

    # --- errors

    def is_outage(self, error: Exception) -> bool:
        """Whether an error means that the store is out of reach: the call is worth another try once `connect` works."""

    def is_collision(self, error: Exception) -> bool:
        """Whether another transaction got in the way: the same call is worth another try at once."""

    def cause_of(self, error: Exception) -> Exception:
        """The error to be told: the one that came first, where a later one hides it."""


class RowSink(Protocol):
    """Something that is given the rows that were committed, in their order, and can be rebuilt from the store.

    The setting ROW_SINKS names them. A crawl that is killed between a commit and `write` leaves its last rows out of a
    sink, and rows that `scrapy spool drain` and `scrapy quarantine take-in` store do not come to it; the store has all.
    """

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self: ...

    def write(self, items: Sequence[Any]) -> None:
        """Take rows that are stored now. Blocks; called in a thread of its own."""

    def close(self) -> None: ...


def moment(value: datetime | str | None) -> datetime | None:
    """A time as either store gives it."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value
