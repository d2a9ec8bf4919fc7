"""The CSV files as a row sink: appended after each commit, and rebuilt where a file is not as it was left.

*Flow:* `open` → `CsvFiles.differing` → `rebuild` → for each batch `announce` (before the commit) and `write` (after it)
→ `close`, which rebuilds the files that could not be written.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.settings import BaseSettings

from chancrawl.errors import UserError
from chancrawl.storage.base import Store
from chancrawl.storage.csv.files import CsvFiles
from chancrawl.storage.csv.lines import encoded, header_of
from chancrawl.storage.csv.placing import Part, parts_of, path_of
from chancrawl.storage.csv.rebuild import rebuild
from chancrawl.storage.factory import store_of
from chancrawl.storage.kinds import Kinds
from chancrawl.text import counted, first_line

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 600.0
"""How often the marks of files that are no longer written to are taken away."""


def is_on(settings: BaseSettings) -> bool:
    """Whether CSV files are written: CSV=1, or CSV=auto if no database is named."""
    return str(settings.get("CSV")) == "1" or (settings.get("CSV") == "auto" and not settings.get("DATABASE_URL"))


class CsvSink:
    """Writes the CSV files of CSV_FOLDER. A file that cannot be written to is written later, from the store."""

    def __init__(self, settings: BaseSettings, stats: Any = None) -> None:
        self.settings = settings
        self.kinds = Kinds.from_settings(settings)
        self.is_safe = settings.getbool("CSV_SAFE")
        self.files = CsvFiles(Path(settings["CSV_FOLDER"]))
        self.stats = stats
        self.behind: set[str] = set()  # files that lack rows, because they could not be written to
        self._settled_at = time.monotonic()
        self._is_open = False
        self._is_reported = False
        self._has_noted_run = False
        self._store: Store | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not is_on(crawler.settings):
            raise NotConfigured
        return cls(crawler.settings, crawler.stats)

    # --- at the start and at the end

    def open(self) -> None:
        """Rebuild the files that are not as they were left, if there is a store."""
        if self._reader() is not None:
            self._begin()

    def _begin(self) -> None:
        """Open the files. UserError if another process writes them; a disk that is full is only reported."""
        if self._is_open:
            return
        try:
            self.files.open()
        except (OSError, sqlite3.Error) as error:
            self._report(error)
            return
        self._is_open = True
        if (store := self._reader()) is not None:
            self._belong_to(store)
        lacks_runs = self.files.last_run < self._last_run()
        self._catch_up(None if self.files.is_new or lacks_runs else self.files.differing(self._headers()))
        if asked := self.files.asked():
            self._catch_up(asked)

    def _belong_to(self, store: Store) -> None:
        self.files.belong_to(str(store.rows("SELECT database_id FROM schema_version")[0][0]))

    def _last_run(self) -> int:
        """The number of the last crawl that wrote to the store."""
        store = self._reader()
        return int(store.rows("SELECT coalesce(max(run_id), 0) FROM runs")[0][0]) if store is not None else 0

    def rebuild_all(self) -> Counter[str]:
        """Write all files anew. Returns their numbers of rows. UserError if there is no store, or if another process
        writes the files."""
        store = store_of(self.settings)
        store.open_to_read([])
        self._store = store
        try:
            self.files.open()
            self._belong_to(store)
            self.files.differing(self._headers())  # keeps what people have changed
            written = self._rebuild(None)
            self.files.note_headers(self._headers())
            self.files.note_run(self._last_run())
            return written
        finally:
            self.close()

    def _headers(self) -> dict[str, str]:
        form = "safe " if self.is_safe else ""
        return {file.pattern: form + header_of(file.columns) for kind in self.kinds for file in kind.csv_files}

    def _reader(self) -> Store | None:
        """A second connection to the store, to read; None if there are no tables yet."""
        if self._store is None:
            store = store_of(self.settings)
            try:
                store.open_to_read([])
            except UserError:
                store.close()
                return None
            self._store = store
        return self._store

    def _rebuild(self, paths: Collection[str] | None) -> Counter[str]:
        store = self._reader()
        if store is None or (paths is not None and not paths):
            return Counter()
        if paths is None and self._last_run():
            logger.info("All CSV files of %s are made anew from %s.", self.files.folder, store.place)
        written = rebuild(store, self.files, paths, self.is_safe)
        if written:
            logger.info("%s made anew from %s.", counted(len(written), "CSV file"), store.place)
        return written

    def _catch_up(self, paths: Collection[str] | None) -> None:
        """Rebuild files, or all of them. Those that cannot be written are rebuilt later."""
        try:
            self._rebuild(paths)
            if paths is None:
                self.files.note_run(self._last_run())
            self.behind.difference_update(self.files.states if paths is None else paths)
            self.files.note_headers(self._headers())
        except (OSError, sqlite3.Error) as error:
            self.behind.update(self.files.states if paths is None else paths)
            self._report(error)

    def _report(self, error: OSError | sqlite3.Error) -> None:
        """Say once that files are behind, and why."""
        if not self._is_reported:
            self._is_reported = True
            logger.warning(
                "CSV files of %s cannot be written to (%s). The store has all rows: the end of the crawl, the next one "
                "or `scrapy csv` writes them.", self.files.folder, first_line(error),
            )  # fmt: skip

    def close(self) -> None:
        try:
            if self.behind and self._is_open:
                self._catch_up(list(self.behind))
            if self._is_reported and self.stats is not None and (self.behind or not self._is_open):
                self.stats.set_value("csv/files_behind", max(len(self.behind), 1))
        finally:
            self.files.close(self.behind)
            self._is_open = False
            if self._store is not None:
                self._store.close()
                self._store = None

    # --- while rows come

    def announce(self, items: Sequence[Any]) -> None:
        """Mark the files to which rows are about to be committed."""
        self._begin()
        if not self._is_open:
            return
        paths = {
            path
            for kind, some in self.kinds.sorted(items).items()
            for file in kind.csv_files
            if file.is_announced
            for item in some
            if (path := path_of(file, item, self.files.names)) is not None
        }
        try:
            self.files.mark(paths)
        except (OSError, sqlite3.Error) as error:  # they are marked with the next batch
            self._report(error)

    def write(self, items: Sequence[Any]) -> None:
        """Append committed rows."""
        store = self._reader()
        if not self._is_open or store is None:
            return
        if asked := self.files.asked():
            self._catch_up(asked)
        if not self._has_noted_run:  # the first batch: the row of this crawl is there
            self.files.note_run(self._last_run())
            self._has_noted_run = True
        for kind, some in self.kinds.sorted(items).items():
            for file in kind.csv_files:
                settled = some if file.settled is None else file.settled(some, store.rows)
                for part in parts_of(file, settled, self.files.names, self.is_safe):
                    self._append(part)
        if time.monotonic() > self._settled_at + SETTLE_SECONDS:
            self._settled_at = time.monotonic()
            self.files.settle(self.behind)

    def _append(self, part: Part) -> None:
        if part.path in self.behind:
            return
        try:
            if self.files.is_as_left(part.path):
                self.files.mark([part.path])
                self.files.append(part.path, encoded(header_of(part.columns)), encoded("".join(part.lines)))
                return
            self.files.put_aside(part.path)
        except OSError as error:
            self.behind.add(part.path)
            self._report(error)
            return
        self._catch_up([part.path])
