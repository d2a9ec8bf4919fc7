"""Batches on disk that wait for a database that is out of reach.

A spool is a folder of one crawl, CSV_FOLDER/spool/NAME, with a file for each batch: numbered, in order, whole or not
there. A file is gzip, whose checksum tells damage, of JSON lines: first a head, then the items. Every batch goes into
the database once: the number of the last one stored is committed there together with it, in the table `spools`.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import logging
import os
import threading
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chancrawl.payload import Malformed, dumps, loads
from chancrawl.storage.csv.files import sync_folder
from chancrawl.storage.item_json import decoded, encoded
from chancrawl.storage.kinds import Kinds
from chancrawl.storage.locking import locked
from chancrawl.storage.postgres.upsert import BatchWriter, SetAside

logger = logging.getLogger(__name__)


class SpoolFull(Exception):
    """The spool holds as much as it may."""


class Damaged(Exception):
    """A file of a spool cannot be read. Its text says what is wrong."""


@dataclass(slots=True, frozen=True)
class Head:
    """What is said of a batch: the spool, its number there, the database it is for, how many items, and since when."""

    spool: str
    number: int
    database: str
    place: str
    items: int
    spooled_at: str


class Spool:
    """One crawl's spool. `limit` is in bytes. All of it blocks; one thread may append while another one removes."""

    def __init__(self, folder: Path, kinds: Kinds, limit: int) -> None:
        self.folder = folder
        self.kinds = kinds
        self.name = folder.name
        self.limit = limit
        self.numbers: list[int] = []
        self.rows = 0
        self.bytes = 0
        self.damaged = 0
        self._next = 1
        self._lock: int | None = None
        self._counting = threading.Lock()
        if folder.is_dir():
            self._look()

    @classmethod
    def new(cls, folder: Path, kinds: Kinds, limit: int) -> Spool:
        """One that is not on disk before it is written to; `folder` is that of all spools."""
        now = datetime.now(UTC)
        return cls(folder / f"{now:%Y-%m-%dT%H%M%S}-{uuid.uuid4().hex[:8]}", kinds, limit)

    def _look(self) -> None:
        self.numbers, self.bytes = [], 0
        for file in sorted(self.folder.glob("*.jsonl.gz")):
            with contextlib.suppress(FileNotFoundError):  # the one who has it has just written it
                self.bytes += file.stat().st_size
                self.numbers.append(int(file.name.partition(".")[0]))
        self._next = max(self._next, max(self.numbers, default=0) + 1)

    def __str__(self) -> str:
        return in_words(self.rows, len(self.numbers))

    def lock(self) -> bool:
        """Keep other processes off it for as long as this one lives. False if another one has it."""
        if self._lock is None:
            try:
                self._lock = locked(self.folder / "lock")
            except FileNotFoundError:
                return False  # it is no more
            if self._lock is None:
                return False
            self._look()  # the one who had it may have written
        return True

    def is_in_use(self) -> bool:
        """Whether another process has it."""
        if not self.lock():
            return True
        self._unlock()
        return False

    def adopt(self, database: str | None) -> bool:
        """Take over what an earlier crawl left, if it is for that database and no crawl uses it."""
        if not self.lock():
            return False
        if not self.numbers:
            self.close()
            return False
        heads = list(self.heads())
        others = {head.place for head in heads if head.database != database}
        if others:
            logger.warning("%s holds batches for another database (%s); they stay there.", self.folder, min(others))
            self.close()
            return False
        self.rows = sum(head.items for head in heads)
        logger.info("%s of an earlier crawl wait for the database; they are written first.", self)
        return True

    def heads(self) -> Iterator[Head]:
        """What is said of the batches, but for damaged ones."""
        for number in self.numbers:
            with contextlib.suppress(Damaged, FileNotFoundError):
                yield self.head(number)

    def append(self, items: Sequence[Any], database: str, place: str) -> None:
        """Put a batch at the end, durably. SpoolFull if there is no room for it, OSError if the disk has none."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        head = Head(self.name, self._next, database, place, len(items), now)
        lines = [dumps({name: getattr(head, name) for name in Head.__slots__}), *map(encoded, items)]
        content = gzip.compress("\n".join(lines).encode("utf-8"), compresslevel=1)
        if self.bytes + len(content) > self.limit:
            raise SpoolFull
        self._create()
        new = self.folder / f"{self._next:010}.new"
        try:
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.rename(self._file(self._next))
        except OSError:
            new.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)
        with self._counting:
            self.numbers.append(self._next)
            self.bytes += len(content)
            self.rows += len(items)
        self._next += 1

    def _create(self) -> None:
        """Make the folder, if it is not there; it has its name only when it is locked."""
        if self._lock is not None:
            return
        for folder in (self.folder.parent.parent, self.folder.parent):
            if not folder.is_dir():
                folder.mkdir(parents=True)
                sync_folder(folder.parent)
        if self.folder.is_dir():
            if not self.lock():
                raise BlockingIOError(errno.EAGAIN, "another process has it", str(self.folder))
            return
        nameless, name = self.folder.with_name(f".{self.name}"), self.folder
        nameless.mkdir(exist_ok=True)
        self.folder = nameless
        try:
            self.lock()
            nameless.rename(name)
        except OSError:
            self._unlock()
            raise
        finally:
            self.folder = name
        sync_folder(name.parent)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:010}.jsonl.gz"

    def head(self, number: int) -> Head:
        with gzip.open(self._file(number), "rt", encoding="utf-8") as file:
            try:
                return Head(**json.loads(file.readline()))
            except (EOFError, ValueError, TypeError, zlib.error, gzip.BadGzipFile) as error:
                raise Damaged(f"{type(error).__name__}: {error}") from None

    def read(self, number: int) -> list[Any]:
        """The items of a batch; Damaged if they cannot be read."""
        try:
            lines = gzip.decompress(self._file(number).read_bytes()).split(b"\n")
            items = [decoded(line, self.kinds) for line in lines[1:]]
            if loads(lines[0])["items"] != len(items):
                raise Damaged("it is not whole")
        except (EOFError, ValueError, TypeError, KeyError, Malformed, zlib.error, gzip.BadGzipFile) as error:
            raise Damaged(f"{type(error).__name__}: {error}") from None
        return items

    def remove(self, number: int, rows: int) -> None:
        """A batch of so many rows is stored."""
        file = self._file(number)
        size = file.stat().st_size
        file.unlink()
        self._forget(number, size, rows)

    def put_away(self, number: int) -> Path:
        """A damaged batch is kept beside the others, under another name."""
        file = self._file(number)
        size = file.stat().st_size
        damaged = file.rename(file.with_suffix(".damaged"))
        self._forget(number, size, 0)
        self.damaged += 1
        return damaged

    def _forget(self, number: int, size: int, rows: int) -> None:
        with self._counting:
            self.numbers.remove(number)
            self.bytes -= size
            self.rows = max(self.rows - rows, 0) if self.numbers else 0

    def close(self) -> None:
        """Let go of it; an empty one is no more."""
        if self._lock is None:
            return
        if not [file for file in self.folder.iterdir() if file.suffix in (".gz", ".damaged")]:
            for file in self.folder.iterdir():
                file.unlink()
            self.folder.rmdir()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def spools(folder: Path, kinds: Kinds, limit: int = 0) -> Iterator[Spool]:
    """The spools in a folder, oldest first; `limit` is for those that are to be appended to."""
    for place in sorted(folder.iterdir() if folder.is_dir() else ()):
        if place.is_dir() and not place.name.startswith("."):
            yield Spool(place, kinds, limit)


def apply_oldest(
    spool: Spool,
    connection: Any,
    writer: BatchWriter,
    set_aside: SetAside,
) -> tuple[list[Any], list[Any]]:
    """Write the batch that waits longest, once; its items, and those of them that the database rejects."""
    number = spool.numbers[0]
    try:
        items = spool.read(number)
    except Damaged as error:
        logger.error("A batch of the spool is damaged (%s); it is kept as %s.", error, spool.put_away(number))
        return [], []
    rejected = writer.write(connection, items, set_aside, mark=(spool.name, number))
    spool.remove(number, len(items))
    return items, rejected


def in_words(rows: int, batches: int) -> str:
    """
    >>> in_words(1, 1), in_words(1200, 2)
    ('1 row in 1 batch', '1,200 rows in 2 batches')
    """
    return f"{rows:,} row{'s' * (rows != 1)} in {batches:,} batch{'es' * (batches != 1)}"
