"""The spool: batches on disk that wait for a database that is out of reach.

A spool is a folder of one crawl, CSV_FOLDER/spool/NAME. It has one file for each batch, numbered in order; a file is
never written in part. A file is gzip, whose checksum detects damage, of JSON lines: first a head, then the items. Each
batch is stored exactly once: its number is committed together with it, in the table `spools`.
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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chancrawl.payload import Malformed, dumps, loads
from chancrawl.storage.batch_writer import BatchWriter, SetAside
from chancrawl.storage.disk import sync_folder
from chancrawl.storage.item_json import decoded, encoded
from chancrawl.storage.kinds import Kinds
from chancrawl.storage.locking import locked

logger = logging.getLogger(__name__)


class SpoolFull(Exception):
    """The spool has reached its size limit."""


class Damaged(Exception):
    """A file of a spool cannot be read. The text is the reason."""


@dataclass(slots=True, frozen=True)
class Head:
    """The first line of a file: spool, number of the batch, database that it is for, number of items, and time."""

    spool: str
    number: int
    database: str
    place: str
    items: int
    spooled_at: str


class Spool:
    """The spool of one crawl. `limit` is in bytes. All calls block; one thread may append while another one removes."""

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
            self._list_files()

    @classmethod
    def new(cls, folder: Path, kinds: Kinds, limit: int) -> Spool:
        """A new spool. Its folder is created with the first batch. `folder` is the folder of all spools."""
        now = datetime.now(UTC)
        return cls(folder / f"{now:%Y-%m-%dT%H%M%S}-{uuid.uuid4().hex[:8]}", kinds, limit)

    def _list_files(self) -> None:
        self.numbers, self.bytes = [], 0
        for file in sorted(self.folder.glob("*.jsonl.gz")):
            with contextlib.suppress(FileNotFoundError):  # its crawl has just stored it
                self.bytes += file.stat().st_size
                self.numbers.append(int(file.name.partition(".")[0]))
        self._next = max(self._next, max(self.numbers, default=0) + 1)

    def __str__(self) -> str:
        return in_words(self.rows, len(self.numbers))

    def lock(self) -> bool:
        """Lock the spool until this process ends. Returns False if another process has the lock."""
        if self._lock is None:
            try:
                self._lock = locked(self.folder / "lock")
            except FileNotFoundError:
                return False  # it was removed
            if self._lock is None:
                return False
            self._list_files()  # its earlier process may have written to it
        return True

    def is_in_use(self) -> bool:
        """Whether another process has locked it."""
        if not self.lock():
            return True
        self.unlock()
        return False

    def adopt(self, database: str | None) -> bool:
        """Take over the spool of an earlier crawl. Returns False if it is empty, in use or for another database."""
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
        """The heads of the batches, without those of damaged files."""
        for number in self.numbers:
            with contextlib.suppress(Damaged, FileNotFoundError):
                yield self.head(number)

    def append(self, items: Sequence[Any], database: str, place: str) -> None:
        """Append a batch durably. SpoolFull if it would exceed the limit, OSError if the disk is full."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        content = _content(Head(self.name, self._next, database, place, len(items), now), items)
        if self.bytes + len(content) > self.limit:
            raise SpoolFull
        self._create()
        self._write(self._next, content)
        with self._counting:
            self.numbers.append(self._next)
            self.bytes += len(content)
            self.rows += len(items)
        self._next += 1

    def rewrite(self, number: int, items: Sequence[Any]) -> None:
        """Replace the items of a batch."""
        self._write(number, _content(replace(self.head(number), items=len(items)), items))

    def _write(self, number: int, content: bytes) -> None:
        new = self.folder / f"{number:010}.new"
        try:
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.rename(self._file(number))
        except OSError:
            new.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)

    def _create(self) -> None:
        """Create the folder if it does not exist. It gets its name only after it is locked."""
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
            self.unlock()
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
        """The items of a batch. Damaged if they cannot be read."""
        try:
            lines = gzip.decompress(self._file(number).read_bytes()).split(b"\n")
            items = [decoded(line, self.kinds) for line in lines[1:]]
            if loads(lines[0])["items"] != len(items):
                raise Damaged("it is not whole")
        except (EOFError, ValueError, TypeError, KeyError, Malformed, zlib.error, gzip.BadGzipFile) as error:
            raise Damaged(f"{type(error).__name__}: {error}") from None
        return items

    def remove(self, number: int, rows: int) -> None:
        """Remove a batch of `rows` rows that is stored."""
        file = self._file(number)
        size = file.stat().st_size
        file.unlink()
        self._forget(number, size, rows)

    def put_away(self, number: int) -> Path:
        """Rename the file of a damaged batch, to keep it. Returns the new path."""
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
        """Unlock the spool, and remove it if it is empty."""
        if self._lock is None:
            return
        if not [file for file in self.folder.iterdir() if file.suffix in (".gz", ".damaged")]:
            for file in self.folder.iterdir():
                file.unlink()
            self.folder.rmdir()
        self.unlock()

    def unlock(self) -> None:
        """Unlock the spool, and keep it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _content(head: Head, items: Sequence[Any]) -> bytes:
    """The content of a batch's file."""
    lines = [dumps({name: getattr(head, name) for name in Head.__slots__}), *map(encoded, items)]
    return gzip.compress("\n".join(lines).encode("utf-8"), compresslevel=1)


def spools(folder: Path, kinds: Kinds, limit: int = 0) -> Iterator[Spool]:
    """The spools in a folder, oldest first. `limit` is only used by those that are appended to."""
    for place in sorted(folder.iterdir() if folder.is_dir() else ()):
        if place.is_dir() and not place.name.startswith("."):
            yield Spool(place, kinds, limit)


def apply_oldest(
    spool: Spool,
    connection: Any,
    writer: BatchWriter,
    set_aside: SetAside,
) -> tuple[list[Any], list[Any]]:
    """Store the oldest batch. Returns its items, and those of them that the database rejects."""
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
