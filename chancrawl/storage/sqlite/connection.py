"""Connections to the embedded database: settings, versions of SQLite, transactions, errors as sentences.

One process checkpoints the write-ahead log: the crawl that has locked the folder. SQLite 3.7.0 to 3.51.2 can lose
commits if one process resets the log while another one commits (https://sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chancrawl.errors import UserError
from chancrawl.storage.disk import DiskFull, is_full
from chancrawl.text import first_line

BUSY_SECONDS = 60.0
"""How long a statement waits for another writer. A batch of a crawl takes a fraction of a second."""

WAL_LIMIT = 256_000_000
"""Bytes of the write-ahead log above which it is said that a reader keeps it from being reset."""

PAGES_IN_WAL = 4_000
"""After so many pages (16 MB) in the log, the crawl checkpoints it."""

OLDEST = (3, 35, 0)
"""RETURNING and UPDATE … FROM need it."""


def has_wal_reset_bug(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Whether a version of SQLite can lose commits if two processes write and checkpoint.

    >>> has_wal_reset_bug((3, 40, 1)), has_wal_reset_bug((3, 44, 6)), has_wal_reset_bug((3, 51, 3))
    (True, False, False)
    """
    if version >= (3, 51, 3):
        return False
    mended = {(3, 50): 7, (3, 44): 6}.get((version[0], version[1]))
    return mended is None or version[2] < mended


def version_in_words() -> str:
    words = f"SQLite {sqlite3.sqlite_version}"
    return (
        f"{words}, in which only one process may write the log back (chancrawl keeps to it)"
        if has_wal_reset_bug()
        else words
    )


def connected(file: Path, checkpoints: bool) -> sqlite3.Connection:
    """A connection that writes, in autocommit mode. `checkpoints`: whether it writes the log back into the database."""
    connection = sqlite3.connect(file, isolation_level=None, timeout=BUSY_SECONDS)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise UserError(f"The file system of {file.parent} has no shared memory for SQLite ({mode}); name another "
                            "CSV_FOLDER, on a disk of this machine.")  # fmt: skip
        for pragma in (
            "synchronous = FULL", "secure_delete = ON", "temp_store = FILE", "mmap_size = 0", "foreign_keys = OFF",
            "cache_size = -16000", f"wal_autocheckpoint = {PAGES_IN_WAL if checkpoints else 0}",
            f"journal_size_limit = {PAGES_IN_WAL * 4096}", f"temp_store_directory = '{_quoted(file.parent)}'",
        ):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")
        add_functions(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connected_to_read(file: Path) -> sqlite3.Connection:
    """A connection that cannot write, also while a crawl writes."""
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("SELECT count(*) FROM sqlite_master")
    return connection


def add_functions(connection: sqlite3.Connection) -> None:
    """SQL functions for queries of our own: `contains_words(text, words)`, whose words are in lower case."""
    connection.create_function(
        "contains_words", 2, lambda text, words: text is not None and words in text.casefold(), deterministic=True
    )


def _quoted(folder: Path) -> str:
    return str(folder.absolute()).replace("'", "''")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A durable transaction; an exception rolls it back.

    It locks the database at once. A transaction that begins by reading would fail instead of waiting for a writer.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after a full disk SQLite has ended it already
            connection.execute("ROLLBACK")
        raise


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """DiskFull or UserError for the errors of opening a database."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise explanation(error, file) from None


def explanation(error: OSError | sqlite3.Error, file: Path) -> Exception:
    if is_full(error, file.parent):
        return DiskFull(f"no space for {file}: {first_line(error)}")
    if isinstance(error, PermissionError):
        return UserError(f"{error.filename} cannot be written to; it belongs to somebody else.")
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return UserError(
            f"The database {file} cannot be written to ({first_line(error)}); change its permissions, and those of "
            f"{file.name}-wal and {file.name}-shm if they are there, or name another CSV_FOLDER."
        )
    return damaged(file, first_line(error))


def damaged(file: Path, reason: str) -> UserError:
    return UserError(
        f"The database {file} cannot be used ({reason}); put back a backup of it (scrapy backup), or name another "
        "CSV_FOLDER."
    )


def is_rejection(error: Exception) -> bool:
    """Whether a row causes the error: a broken constraint, a wrong type, a value that is too large."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG)


def checkpoint(connection: Any) -> bool:
    """Write the log back and empty it, as far as readers permit. Returns whether they did."""
    (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_busy


def readers_of(file: Path) -> str:
    """The other processes that have a file open, as a text; empty where /proc does not tell."""
    found = []
    name = str(file.resolve())
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(process.name) != os.getpid() and any(str(f.readlink()) == name for f in (process / "fd").iterdir()):
                program = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                found.append(f"process {process.name} ({program})")
    return ", ".join(found)
