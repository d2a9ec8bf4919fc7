"""An embedded database with its CSV files, written batch by batch without a crawl."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chancrawl.storage.csv.sink import CsvSink
from chancrawl.storage.sqlite.store import SqliteStore
from tests.support import KINDS
from tests.support.engines import settings_of

csv.field_size_limit(10**9)


class Folder:
    """A store and its CSV files, as a crawl uses them."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.store = SqliteStore(folder, KINDS)
        self.sink = CsvSink(settings_of(folder, **settings))
        self.rejected: list[Any] = []
        self.store.open()
        self.sink.open()
        self.writer = self.store.writer()

    def put(self, *items: Any) -> None:
        """Store a batch, then write it to the CSV files."""
        self.store.prepare()
        self.sink.announce(items)
        self.commit(items)
        self.sink.write(items)

    def commit(self, items: Sequence[Any]) -> None:
        self.writer.write(self.store.connection, items, lambda item, reason: self.rejected.append((item, reason)))

    def close(self) -> None:
        self.sink.close()
        self.store.close()

    def kill(self) -> None:
        """End as after kill -9: what is not written is lost, locks are gone."""
        self.sink.files._connection.close()  # type: ignore[union-attr]
        self.sink.files._connection = None
        self.sink.files.close()
        self.sink._store = None
        self.store.close()


def read(file: Path) -> list[dict[Any, Any]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def all_files(folder: Path) -> dict[str, list[dict[Any, Any]]]:
    """The rows of all CSV files of a folder, by path."""
    return {str(file.relative_to(folder)): read(file) for file in sorted(folder.rglob("*.csv"))}
