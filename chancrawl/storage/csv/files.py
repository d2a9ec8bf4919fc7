"""Append-only files: rows are appended, synced to disk, and then acknowledged in the ledger beside them.

The ledger's table `files` has the length, the checksum and the last change of each file. Before an append it also gets
the length that the file will have. After a crash, the bytes beyond the acknowledged length are an unfinished write and
are cut off. Any other change of a file was made by a person, and is reported.
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
    """The disk is full, and nothing of the batch was written."""


@dataclass(slots=True)
class FileState:
    """The ledger's row of a file. `announced` is the length that an unfinished write will give it, otherwise None."""

    bytes: int = 0
    crc: int | None = 0
    changed_ns: int | None = None
    announced: int | None = None


class Files:
    """The files of a folder. `connection` is that of its ledger, in autocommit mode. All calls block."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.connection = connection

    def check(self) -> None:
        """Compare all files with the ledger: cut off unfinished writes, log missing files. UserError for edits."""
        rows = self.connection.execute("SELECT path, bytes, crc, changed_ns, announced FROM files").fetchall()
        gone = []
        with transaction(self.connection):
            for path, *row in rows:
                state = FileState(*row)
                found = self._checked(path, state)
                if found.changed_ns is None and state.changed_ns is not None:
                    gone.append(path)
                if found != state:
                    self._note(path, found)
        if gone:
            more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
            logger.warning(
                "%s%s: no longer in %s. What they held counts as stored and is not fetched again; a file begins anew "
                "when there is something to write to it.", ", ".join(gone[:3]), more, self.folder,
            )  # fmt: skip

    @contextmanager
    def appended(self, rows: Mapping[str, bytes], header: Callable[[str], bytes]) -> Iterator[dict[str, FileState]]:
        """Append to files and sync them. Yields their new states for `acknowledge`; an exception there undoes it."""
        before = {path: self._current(path) for path in rows}
        texts = {path: text if before[path].bytes else header(path) + text for path, text in rows.items()}
        with transaction(self.connection):
            for path, text in texts.items():
                state = before[path]
                state.announced = state.bytes + len(text)
                self._note(path, state)
        try:
            yield {path: self._append(path, before[path], text) for path, text in texts.items()}
        except BaseException:
            for path, state in before.items():
                self._undo(path, state)
            raise

    def acknowledge(self, appended: Mapping[str, FileState]) -> None:
        """Record the new states of files, in the transaction that stores the state of the rows."""
        for path, state in appended.items():
            self._note(path, state)

    # --- one file

    def _current(self, path: str) -> FileState:
        row = self.connection.execute(SELECT, (path,)).fetchone()
        state = FileState(*row) if row else FileState()
        found = self._checked(path, state)
        if found.bytes and found.changed_ns is None:
            if state.changed_ns is not None:
                logger.warning("%s is missing; a new file begins, without the earlier rows.", self.folder / path)
            return FileState()
        return found

    def _checked(self, path: str, state: FileState) -> FileState:
        """Compare a file with its row, and return the new row. An unfinished write is cut off."""
        file = self.folder / path
        try:
            status = file.stat()
        except FileNotFoundError:
            return FileState(state.bytes, state.crc)  # it may be put back
        if status.st_size == state.bytes and status.st_mtime_ns == state.changed_ns:
            return FileState(state.bytes, state.crc, state.changed_ns)
        if not state.bytes and state.announced is None:
            raise UserError(f"{file} is in the way: it is not a file of this folder's ledger. Move it away.", "refused")
        if status.st_size < state.bytes:
            raise UserError(
                f"{file} has {status.st_size} bytes, but {state.bytes} were written: somebody has shortened it. {MEND}",
                reason="store_failed",
            )
        crc = _crc(file, state.bytes)
        if state.crc is not None and crc != state.crc:
            raise UserError(f"Somebody has edited {file}: it is not as it was written. {MEND}", reason="store_failed")
        if status.st_size > state.bytes:
            if state.crc is not None and status.st_size > (state.announced or 0):
                self._put_aside(file, state.bytes)
            else:
                logger.warning("%s: cut off %d bytes of an unfinished write.", file, status.st_size - state.bytes)
            self._cut(file, state.bytes)
        if not state.bytes:
            return FileState()
        return FileState(state.bytes, crc, file.stat().st_mtime_ns)

    def _undo(self, path: str, state: FileState) -> None:
        """Cut off what could not be acknowledged. If that fails, the next start does it."""
        file = self.folder / path
        try:
            if file.exists() and file.stat().st_size > state.bytes:
                self._cut(file, state.bytes)
        except OSError as error:
            logger.error("%s: an unfinished write could not be cut off (%s).", file, error.strerror)

    def _append(self, path: str, state: FileState, text: bytes) -> FileState:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            changed = os.fstat(stream.fileno()).st_mtime_ns
        if not state.bytes:
            sync_folder(file.parent)
        return FileState(state.bytes + len(text), zlib.crc32(text, state.crc or 0), changed)

    def _put_aside(self, file: Path, length: int) -> None:
        """Move what somebody has added to a file into another file, because no crawl wrote it."""
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

    def _note(self, path: str, state: FileState) -> None:
        self.connection.execute(ANNOUNCE, (path, state.bytes, state.crc, state.changed_ns, state.announced))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A durable transaction; an exception rolls it back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after a full disk SQLite has ended it already
            connection.execute("ROLLBACK")
        raise


def _crc(file: Path, length: int) -> int:
    """The checksum of the first `length` bytes of a file."""
    crc = 0
    with file.open("rb") as stream:
        while length and (part := stream.read(min(length, 1 << 20))):
            crc = zlib.crc32(part, crc)
            length -= len(part)
    return crc


def sync_folder(folder: Path) -> None:
    """Sync the file names of a folder. It does nothing on systems that cannot sync a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether an error means that the disk of a folder, or the user's quota on it, is full."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        # If SQLite cannot write its WAL or journal file, it reports an input/output error.
        return code == sqlite3.SQLITE_FULL or (code & 0xFF == sqlite3.SQLITE_IOERR and _space(folder) < 200_000)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _space(folder: Path) -> int:
    """Free bytes on the disk of a folder that may not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
