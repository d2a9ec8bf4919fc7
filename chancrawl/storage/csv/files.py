"""Files that only grow: rows are appended, synced to disk, and then acknowledged in the ledger beside them.

The ledger's table `files` knows of each file how long it is, its checksum, and when it was changed last. Before an
append it notes how long the file is going to be. So what lies beyond the acknowledged length after a crash is known to
be an unfinished write, and is cut off; whatever else has happened to a file was done by a person, and they are told.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chancrawl.errors import UserError

logger = logging.getLogger(__name__)

FILES_TABLE = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, bytes INTEGER, crc INTEGER, changed_ns INTEGER,
    announced INTEGER);
"""
SELECT = "SELECT bytes, crc, changed_ns, announced FROM files WHERE path = ?"
ANNOUNCE = (
    "INSERT INTO files (path, bytes, crc, changed_ns, announced) VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE "
    "SET bytes = excluded.bytes, crc = excluded.crc, changed_ns = excluded.changed_ns, announced = excluded.announced"
)
MEND = (
    "Put back the one that belongs there, or move it away to begin it anew, or name another CSV_FOLDER; and work on "
    "copies."
)


class DiskFull(Exception):
    """There is no space for what is to be written. Nothing of it was."""


@dataclass(slots=True)
class Known:
    """What the ledger knows of a file; `announced` is the length that a write under way will give it, else None."""

    bytes: int = 0
    crc: int | None = 0
    changed_ns: int | None = None
    announced: int | None = None


class Files:
    """The files of a folder. `connection` is its ledger's, in autocommit. All of it blocks."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.connection = connection

    def check(self) -> None:
        """Compare all files with the ledger: cut off unfinished writes, say what is gone. UserError for edited ones."""
        rows = self.connection.execute("SELECT path, bytes, crc, changed_ns, announced FROM files").fetchall()
        gone = []
        with transaction(self.connection):
            for path, *row in rows:
                known = Known(*row)
                found = self._checked(path, known)
                if found.changed_ns is None and known.changed_ns is not None:
                    gone.append(path)
                if found != known:
                    self._note(path, found)
        if gone:
            more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
            logger.warning(
                "%s%s: no longer in %s. What they held counts as stored and is not fetched again; a file begins anew "
                "when there is something to write to it.", ", ".join(gone[:3]), more, self.folder,
            )  # fmt: skip

    @contextmanager
    def appended(self, rows: Mapping[str, bytes], header: Callable[[str], bytes]) -> Iterator[dict[str, Known]]:
        """Append to files and sync them. What comes of it goes to `acknowledge`; if that fails, it is undone."""
        before = {path: self._current(path) for path in rows}
        texts = {path: text if before[path].bytes else header(path) + text for path, text in rows.items()}
        with transaction(self.connection):
            for path, text in texts.items():
                known = before[path]
                known.announced = known.bytes + len(text)
                self._note(path, known)
        try:
            yield {path: self._append(path, before[path], text) for path, text in texts.items()}
        except BaseException:
            for path, known in before.items():
                self._undo(path, known)
            raise

    def acknowledge(self, appended: Mapping[str, Known]) -> None:
        """Note what was appended, in the transaction that notes what the rows say."""
        for path, known in appended.items():
            self._note(path, known)

    # --- one file

    def _current(self, path: str) -> Known:
        row = self.connection.execute(SELECT, (path,)).fetchone()
        known = Known(*row) if row else Known()
        found = self._checked(path, known)
        if found.bytes and found.changed_ns is None:
            if known.changed_ns is not None:
                logger.warning("%s is missing; a new file begins, without the earlier rows.", self.folder / path)
            return Known()
        return found

    def _checked(self, path: str, known: Known) -> Known:
        """What is known of a file after a look at it; an unfinished write is cut off."""
        file = self.folder / path
        try:
            status = file.stat()
        except FileNotFoundError:
            return Known(known.bytes, known.crc)  # it may be put back
        if status.st_size == known.bytes and status.st_mtime_ns == known.changed_ns:
            return Known(known.bytes, known.crc, known.changed_ns)
        if not known.bytes and known.announced is None:
            raise UserError(f"{file} is in the way: it is not a file of this folder's ledger. Move it away.", "refused")
        if status.st_size < known.bytes:
            raise UserError(
                f"{file} has {status.st_size} bytes, but {known.bytes} were written: somebody has shortened it. {MEND}",
                reason="store_failed",
            )
        crc = _crc(file, known.bytes)
        if known.crc is not None and crc != known.crc:
            raise UserError(f"Somebody has edited {file}: it is not as it was written. {MEND}", reason="store_failed")
        if status.st_size > known.bytes:
            if known.crc is not None and status.st_size > (known.announced or 0):
                self._put_aside(file, known.bytes)
            else:
                logger.warning("%s: cut off %d bytes of an unfinished write.", file, status.st_size - known.bytes)
            self._cut(file, known.bytes)
        if not known.bytes:
            return Known()
        return Known(known.bytes, crc, file.stat().st_mtime_ns)

    def _undo(self, path: str, known: Known) -> None:
        """Cut off what could not be acknowledged; if that is not possible now, it is done at the next start."""
        file = self.folder / path
        try:
            if file.exists() and file.stat().st_size > known.bytes:
                self._cut(file, known.bytes)
        except OSError as error:
            logger.error("%s: an unfinished write could not be cut off (%s).", file, error.strerror)

    def _append(self, path: str, known: Known, text: bytes) -> Known:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            changed = os.fstat(stream.fileno()).st_mtime_ns
        if not known.bytes:
            sync_folder(file.parent)
        return Known(known.bytes + len(text), zlib.crc32(text, known.crc or 0), changed)

    def _put_aside(self, file: Path, length: int) -> None:
        """Keep what somebody has added to a file beyond its length: it was not written by a crawl."""
        added = file.read_bytes()[length:]
        beside = file.with_name(f"{file.name}.added")
        with beside.open("ab") as stream:
            stream.write(added)
            os.fsync(stream.fileno())
        logger.warning(
            "Somebody has added %d bytes to %s, which only crawls write to; they are now in %s.",
            len(added),
            file,
            beside,
        )

    def _cut(self, file: Path, length: int) -> None:
        if not length:
            file.unlink()
            return
        with file.open("r+b") as stream:
            stream.truncate(length)
            os.fsync(stream.fileno())

    def _note(self, path: str, known: Known) -> None:
        self.connection.execute(ANNOUNCE, (path, known.bytes, known.crc, known.changed_ns, known.announced))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, durably."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk ends it by itself
            connection.execute("ROLLBACK")
        raise


def _crc(file: Path, length: int) -> int:
    """The checksum of a file's first so many bytes."""
    crc = 0
    with file.open("rb") as stream:
        while length and (part := stream.read(min(length, 1 << 20))):
            crc = zlib.crc32(part, crc)
            length -= len(part)
    return crc


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as durable as the files; not every system lets one sync a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether an error means that the disk of a folder, or a person's share of it, is full."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        # What SQLite cannot write beside its file it calls an input/output error.
        return code == sqlite3.SQLITE_FULL or (code & 0xFF == sqlite3.SQLITE_IOERR and _space(folder) < 200_000)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _space(folder: Path) -> int:
    """Free bytes on the disk of a folder that may not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
