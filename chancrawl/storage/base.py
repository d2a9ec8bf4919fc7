"""The protocols of stores: a PostgreSQL database, or the embedded one.

A *state store* commits rows and the state that describes them together. A *row sink* is written from committed rows.
All calls block; storage/session.py makes them in the store's own thread. A store creates nothing before there is
something to write.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, ClassVar, Protocol, Self, TypeVar

from scrapy.crawler import Crawler

from chancrawl.items import Form, columns, forms
from chancrawl.storage.kinds import Kinds, Subject

T = TypeVar("T")


Statement = tuple[str, tuple[Any, ...]]
"""SQL and its parameters."""


@dataclass(slots=True)
class Step:
    """A transaction of a removal: its statements, the numbers of rows by table, and what gets tombstones besides."""

    statements: list[Statement]
    counts: Counter[str] = field(default_factory=Counter)
    buried: list[Subject] = field(default_factory=list)


class Store(Protocol):
    """A state store. All calls come from one thread, and block.

    SQL has `?` for parameters; times are given as datetimes. The `sql_` texts are the parts of a query that
    differ between the stores.
    """

    kinds: Kinds

    place: str
    """The name of the store for messages, for example "the database /data/chancrawl.sqlite"."""

    errors: ClassVar[tuple[type[Exception], ...]]
    """The error classes of its driver."""

    is_exclusive: ClassVar[bool]
    """Whether a lock allows only one crawl at a time."""

    sql_now: ClassVar[str]
    """SQL for the time of the store's clock."""

    sql_alone: ClassVar[str]
    """SQL at the start of a transaction: it waits until no writer is in the middle of a batch, and lets none begin."""

    sql_age: ClassVar[str]
    """SQL for the seconds since a time; {} is the time."""

    sql_seconds: ClassVar[str]
    """SQL for a time in whole seconds since 1970; {} is the time."""

    sql_hour: ClassVar[str]
    """SQL for the beginning of the hour of a time; {} is the time."""

    @property
    def is_created(self) -> bool:
        """Whether it has tables of this version."""

    # --- connecting

    def open(self) -> None:
        """Connect, without creating anything. UserError if that is not possible."""

    def open_beside(self) -> None:
        """Connect to write a few rows, also while a crawl writes; create the tables if they are missing."""

    def open_to_read(self, tables: Sequence[str]) -> None:
        """Connect to read these tables, also while a crawl writes. UserError if they are not there."""

    def connect(self) -> None:
        """Connect, or connect again. Raises the driver's error if that fails."""

    def another(self) -> Store | None:
        """A second connection, not yet open; None if the store allows only one."""

    def prepare(self) -> None:
        """Create the tables, files and folders that are missing."""

    def close(self) -> None: ...

    # --- rows

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """The result of a query; empty while nothing is created."""

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """The result of a query, row by row, for results of any length."""

    def snapshot(self) -> AbstractContextManager[None]:
        """A block in which all calls of `stream` show the rows that were committed when it began."""

    def write(self, statements: Iterable[Statement]) -> None:
        """Execute statements in one transaction."""

    def locked(self, name: str) -> AbstractContextManager[Callable[..., list[Any]]]:
        """A transaction under a lock, so that only one process at a time is in it. Yields a function like `rows`."""

    def take_in(self, batch: Sequence[Any]) -> list[tuple[Any, str]]:
        """Store items from the quarantine. Returns the items that are rejected again, with the reasons."""

    def rewrite(self, items: Sequence[Any], change: Callable[[Any], Any]) -> int:
        """Change stored rows, the same that `items` were read from, in one transaction. `change` returns a new item,
        or the same if nothing changes. Returns how many have changed."""

    # --- errors

    def is_outage(self, error: Exception) -> bool:
        """Whether an error means that the store is out of reach. The call can be repeated when `connect` works."""

    def is_collision(self, error: Exception) -> bool:
        """Whether an error comes from a conflict with another transaction. The call can be repeated at once."""

    def cause_of(self, error: Exception) -> Exception:
        """The error to report: the first one, if a later error hides it."""


class RowSink(Protocol):
    """A place that gets the committed rows, in their order, and can be rebuilt from the store.

    The setting ROW_SINKS lists them. All calls block, and are made one at a time, in separate threads. If a crawl is
    killed between a commit and `write`, the sink lacks its last rows; rows that `scrapy spool drain` and
    `scrapy quarantine take-in` store do not come to it. The store has them.
    """

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """The sink of a crawl. NotConfigured if the settings turn it off."""

    def open(self) -> None:
        """Prepare for writing, before the first row. UserError if that is not possible."""

    def announce(self, items: Sequence[Any]) -> None:
        """Rows are about to be committed. Afterwards some of them may not have been."""

    def write(self, items: Sequence[Any]) -> None:
        """Write rows that have been committed."""

    def close(self) -> None:
        """Write what is left."""


class BaseSink:
    """A sink that does nothing but take rows. A subclass defines `write`."""

    def open(self) -> None: ...

    def announce(self, items: Sequence[Any]) -> None: ...

    def close(self) -> None: ...


def parts(values: Iterable[T], size: int = 500) -> Iterator[list[T]]:
    """Lists of at most `size` values, because a statement has a bounded number of parameters.

    >>> list(parts([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def marks(values: Collection[Any]) -> str:
    """A `?` for each value: the parameters of IN (…).

    >>> marks([7, 8])
    '?, ?'
    """
    return ", ".join("?" * len(values))


def moment(value: datetime | str | None) -> datetime | None:
    """A time from either store, as a datetime: PostgreSQL returns datetimes, SQLite ISO 8601 texts."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def time_of(value: datetime | str | None) -> datetime:
    """A time of a column that is never null, from either store, in UTC."""
    time = moment(value)
    assert time is not None
    return time.astimezone(UTC)


def from_json(value: Any) -> Any:
    """The value of a JSON column from either store: PostgreSQL returns the value, SQLite a JSON text."""
    return json.loads(value) if isinstance(value, str) else value


def select(store: Store, item_class: type[T], rest: str = "", *parameters: Any) -> list[T]:
    """Items of one class from a store; `rest` is the rest of the query."""
    kind = store.kinds[item_class]
    rows = store.rows(f"SELECT {', '.join(kind.columns)} FROM {kind.table} {rest}", *parameters)
    return [restored(item_class, row) for row in rows]


def restored(item_class: type[T], row: Sequence[Any]) -> T:
    """An item from its row, which has the types of PostgreSQL or of SQLite."""
    values = dict(zip(columns(item_class), row, strict=True))
    for name, form in forms(item_class).items():
        value = values[name]
        if value is not None:
            if form is Form.TIME:
                values[name] = moment(value)
            elif form is Form.FLAG:
                values[name] = bool(value)
            elif form is Form.JSON:
                values[name] = from_json(value)
    return item_class(**values)
