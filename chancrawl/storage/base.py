"""The two stores as the ledger sees them: a PostgreSQL database, or a folder of CSV files.

Everything in them blocks; chancrawl/storage/session.py calls it in the store's own thread. Nothing is created before
there is something to write.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from scrapy.settings import BaseSettings

from chancrawl.storage.postgres.connection import PostgresStore
from chancrawl.storage.sqlite.store import CsvStore


class Store(Protocol):
    """A store as the ledger sees it. All calls come from one thread, and block."""

    place: str
    """Where the data goes, in words."""

    connection: Any
    """The DB-API connection of PostgreSQL, or of the SQLite ledger; None before the first `prepare` of a new folder."""

    def is_outage(self, error: Exception) -> bool:
        """Whether an error means that the store is out of reach: the call is worth another try once `connect` works."""

    def is_collision(self, error: Exception) -> bool:
        """Whether another transaction got in the way: the same call is worth another try at once."""

    def connect(self) -> None:
        """Connect (again), or raise what made it impossible."""

    def open(self) -> None:
        """Connect, without creating anything. UserError if that cannot be."""

    def prepare(self) -> None:
        """Create what is missing."""

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """The answer to a query with `?` for parameters; empty while nothing is created."""

    def close(self) -> None: ...


def store_of(settings: BaseSettings) -> PostgresStore | CsvStore:
    """The store that the settings name: DATABASE_URL's, or else CSV_FOLDER's."""
    url = settings.get("DATABASE_URL")
    return PostgresStore(url) if url else CsvStore(Path(settings["CSV_FOLDER"]))


def moment(value: datetime | str | None) -> datetime | None:
    """A time as either store gives it."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value
