"""The CSV files of a folder, and csv_files.sqlite, which tells for each file how it was left.

A file is *as it was left* if its length and time of change are the recorded ones, or its checksum is. Before a crawl
commits rows that go to a file, it marks the file there. So after a crash, the files that may lack rows are the marked
ones. All calls block, and come from one thread at a time.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from chancrawl.errors import UserError
from chancrawl.storage.disk import sync, sync_folder
from chancrawl.storage.locking import locked

logger = logging.getLogger(__name__)

STATE_FILE = "csv_files.sqlite"
ASKED = "csv.rebuild"
"""A file with the paths of CSV files that are to be written anew by whoever writes them, one a line."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, bytes INTEGER NOT NULL, crc INTEGER NOT NULL,
    changed_ns INTEGER, is_marked INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS headers (pattern TEXT PRIMARY KEY, header TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS last_run (row INTEGER PRIMARY KEY, run_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS store (database_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS names (owner INTEGER PRIMARY KEY, stem TEXT NOT NULL UNIQUE COLLATE NOCASE);
"""
NOTE = "INSERT OR REPLACE INTO files (path, bytes, crc, changed_ns, is_marked) VALUES (?, ?, ?, ?, ?)"


@dataclass(slots=True)
class FileState:
    """How a file was left. `changed_ns` is its time of change; None if it was never completed."""

    bytes: int = 0
    crc: int = 0
    changed_ns: int | None = None
    is_marked: bool = False


def ask_for_rebuild(folder: Path, paths: Iterable[str]) -> None:
    """Ask the process that writes the CSV files of a folder, or the next one, to write some of them anew."""
    with (folder / ASKED).open("a", encoding="utf-8") as stream:
        stream.writelines(f"{path}\n" for path in paths)


class Names:
    """The names of files that belong to a number, such as an account: the first name that the owner had.

    A name that another owner has, or that differs only in its case, gets the number of the owner.
    """

    def __init__(self, names: dict[int, str]) -> None:
        self.stems = names
        self.new: dict[int, str] = {}
        self._taken = {stem.lower() for stem in names.values()}

    def of(self, owner: int, wanted: str) -> str:
        stem = self.stems.get(owner)
        if stem is None:
            stem = f"{wanted}.{owner}" if wanted.lower() in self._taken else wanted
            self.stems[owner] = self.new[owner] = stem
            self._taken.add(stem.lower())
        return stem


class CsvFiles:
    """The files of a folder, with how they were left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states: dict[str, FileState] = {}
        self.names = Names({})
        self._headers: dict[str, str] = {}
        self._connection: sqlite3.Connection | None = None
        self._descriptor: int | None = None
        self._unnoted: set[str] = set()  # marked, but not yet recorded
        self._changed: set[str] = set()  # appended to since the last `settle`
        self._recorded: set[str] = set()  # of which it is recorded how they were left, or that were made since

    def open(self) -> None:
        """Lock the folder and read how its files were left. UserError if another process writes them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._descriptor is None:
            self._descriptor = locked(self.folder / "csv.lock")
            if self._descriptor is None:
                raise UserError(
                    f"Another process writes the CSV files of {self.folder}: wait for it, name another CSV_FOLDER, or "
                    "leave them out (-s CSV=0)."
                )
        self._connection = self._opened()
        rows = self._connection.execute("SELECT path, bytes, crc, changed_ns, is_marked FROM files")
        self.states = {path: FileState(size, crc, changed, bool(mark)) for path, size, crc, changed, mark in rows}
        self._recorded = set(self.states)
        self.names = Names(dict(self._connection.execute("SELECT owner, stem FROM names")))
        self._headers = dict(self._connection.execute("SELECT pattern, header FROM headers"))

    def _opened(self) -> sqlite3.Connection:
        """The connection to csv_files.sqlite. One that cannot be read is made anew; all files are rebuilt then."""
        file = self.folder / STATE_FILE
        try:
            return _connected(file)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            logger.warning("%s cannot be read (%s); it is made anew, and the CSV files too.", file, error)
            file.unlink()
            return _connected(file)

    def belong_to(self, database_id: str) -> None:
        """Record the database to which the files belong. UserError if they belong to another one."""
        assert self._connection is not None
        held = self._connection.execute("SELECT database_id FROM store").fetchone()
        if held is None:
            self._connection.execute("INSERT INTO store VALUES (?)", (database_id,))
        elif held[0] != database_id:
            raise UserError(
                f"The CSV files of {self.folder} were written from another database: name another CSV_FOLDER, or leave "
                "them out (-s CSV=0)."
            )

    @property
    def is_new(self) -> bool:
        """Whether the files were never written completely."""
        return not self._headers

    # --- how files were left

    def differing(self, headers: Mapping[str, str]) -> list[str]:
        """The files that are not as they were left, or whose header is not that of `headers`, by pattern.

        What a person has changed is kept as FILE.edited.
        """
        found, edited = [], []
        other = {pattern for pattern, header in headers.items() if self._headers.get(pattern) != header}
        for path, state in self.states.items():
            if _pattern_of(path, headers) in other:
                found.append(path)
                continue
            match self._compared(path, state):
                case "left":
                    continue
                case "edited":
                    edited.append(self._put_aside(path))
            found.append(path)
        if edited:
            logger.warning(
                "%d CSV files of %s were changed by another program, and are made anew; what they held is in %s%s.",
                len(edited), self.folder, ", ".join(edited[:3]), " and others" if len(edited) > 3 else "",
            )  # fmt: skip
        return found

    @property
    def last_run(self) -> int:
        """The last crawl whose rows are in the files, or go to them now. Rows of later ones are missing."""
        assert self._connection is not None
        return int(self._connection.execute("SELECT coalesce(max(run_id), 0) FROM last_run").fetchone()[0])

    def note_run(self, run_id: int) -> None:
        """Record that the rows of all crawls up to this one are in the files."""
        if run_id > self.last_run:
            assert self._connection is not None
            self._connection.execute("INSERT OR REPLACE INTO last_run VALUES (1, ?)", (run_id,))

    def note_headers(self, headers: Mapping[str, str]) -> None:
        """Record the headers of the files of a pattern."""
        if headers != self._headers:
            assert self._connection is not None
            self._connection.executemany("INSERT OR REPLACE INTO headers VALUES (?, ?)", list(headers.items()))
            self._headers = dict(headers)

    def asked(self) -> list[str]:
        """The files that are to be written anew because somebody has asked for it. Each is returned once."""
        file, taken = self.folder / ASKED, self.folder / f".{ASKED}"
        if file.exists() and not taken.exists():
            file.rename(taken)
        if not taken.exists():
            return []
        paths = [path for path in taken.read_text(encoding="utf-8").splitlines() if path in self.states]
        self.mark(paths)  # so that they are also rebuilt after a crash
        taken.unlink()
        return paths

    def is_as_left(self, path: str) -> bool:
        """Whether a file is as this process left it."""
        state = self.states.get(path)
        try:
            status = (self.folder / path).stat()
        except OSError:
            return state is None or not state.bytes
        return state is not None and (status.st_size, status.st_mtime_ns) == (state.bytes, state.changed_ns)

    def _compared(self, path: str, state: FileState) -> str:
        """`left`: as it was left; `lacks`: it is gone or may lack rows; `edited`: a person has changed it."""
        file = self.folder / path
        try:
            status = file.stat()
        except FileNotFoundError:
            return "lacks"
        if not state.is_marked and (status.st_size, status.st_mtime_ns) == (state.bytes, state.changed_ns):
            return "left"
        is_begun_as_left = status.st_size >= state.bytes and _crc(file, state.bytes) == state.crc
        if state.is_marked:
            return "lacks" if is_begun_as_left else "edited"
        if is_begun_as_left and status.st_size == state.bytes:  # copied, or touched
            state.changed_ns = status.st_mtime_ns
            self.note([path])
            return "left"
        return "edited"

    def put_aside(self, path: str) -> None:
        """Keep a file that a person has changed as FILE.edited."""
        if (self.folder / path).exists():
            logger.warning("%s was changed by another program, and is made anew; what it held is in %s.",
                           self.folder / path, self._put_aside(path))  # fmt: skip

    def _put_aside(self, path: str) -> str:
        file = self.folder / path
        beside = file.with_name(f"{file.name}.edited")
        number = 1
        while beside.exists():
            number += 1
            beside = file.with_name(f"{file.name}.{number}.edited")
        file.rename(beside)
        return str(beside.relative_to(self.folder))

    def adopt(self, path: str, length: int) -> None:
        """Record a file as it is. Its first `length` bytes are its rows; an unfinished write behind them is cut off."""
        file = self.folder / path
        if not file.exists() or file.stat().st_size < length:
            return
        if file.stat().st_size > length:
            os.truncate(file, length)
        self.states[path] = FileState(length, _crc(file, length), file.stat().st_mtime_ns)
        self._recorded.add(path)
        self.note([path])

    def adopt_headers(self, headers: Mapping[str, str]) -> None:
        """Record the headers with which all files of a pattern begin."""
        others = {
            _pattern_of(path, headers)
            for path in self.states
            if _first_line(self.folder / path) != headers.get(_pattern_of(path, headers), "").encode()
        }
        self.note_headers({pattern: header for pattern, header in headers.items() if pattern not in others})

    # --- writing

    def mark(self, paths: Iterable[str]) -> None:
        """Record, durably, that rows for these files are about to be committed."""
        for path in paths:
            state = self.states.setdefault(path, FileState())
            if not state.is_marked:
                state.is_marked = True
                self._unnoted.add(path)
        if self._unnoted or self.names.new:
            self.note(self._unnoted)
            self._unnoted.clear()

    def append(self, path: str, header: bytes, text: bytes) -> None:
        """Append lines to a file; a new file begins with the header."""
        state = self.states[path]
        file = self.folder / path
        if not state.bytes:
            file.parent.mkdir(parents=True, exist_ok=True)
            text = header + text
        with file.open("ab") as stream:
            stream.write(text)
            stream.flush()
            status = os.fstat(stream.fileno())
        state.bytes, state.changed_ns = status.st_size, status.st_mtime_ns
        state.crc = zlib.crc32(text, state.crc)
        self._changed.add(path)
        self._recorded.add(path)

    def temporary(self, path: str) -> Path:
        """The place where a file is written anew, until `replace`."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.with_name(f".{file.name}.new")

    def replace(self, path: str) -> None:
        """Put a file that was written anew in its place. A file of which nothing is recorded is kept as FILE.edited."""
        new, file = self.temporary(path), self.folder / path
        if path not in self._recorded and file.exists():
            self.put_aside(path)
        sync(new)
        new.replace(file)
        status = file.stat()
        self.states[path] = FileState(status.st_size, _crc(file, status.st_size), status.st_mtime_ns, is_marked=True)
        self._changed.add(path)
        self._recorded.add(path)

    def gone(self, path: str) -> None:
        """Forget a file that has no rows any more, and remove it."""
        (self.folder / path).unlink(missing_ok=True)
        self.states.pop(path, None)
        stem = Path(path).stem
        self.names.stems = {owner: name for owner, name in self.names.stems.items() if name != stem}
        if self._connection is not None:
            self._connection.execute("DELETE FROM files WHERE path = ?", (path,))
            self._connection.execute("DELETE FROM names WHERE stem = ?", (stem,))

    def settle(self, behind: Iterable[str] = ()) -> None:
        """Sync the files that were not written to since the last call, and take away their marks, except for those that
        are `behind` the store."""
        busy = self._changed.union(behind)
        quiet = [path for path, state in self.states.items()
                 if state.is_marked and path not in busy and state.changed_ns is not None]  # fmt: skip
        for path in quiet:
            sync(self.folder / path)
        for folder in {(self.folder / path).parent for path in quiet}:
            sync_folder(folder)
        for path in quiet:
            self.states[path].is_marked = False
        self._changed.clear()
        self.note(quiet)

    def close(self, behind: Iterable[str] = ()) -> None:
        if self._connection is not None:
            self._changed.clear()
            self.settle(behind)
            self._connection.close()
            self._connection = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def note(self, paths: Iterable[str]) -> None:
        """Record, durably, how files were left."""
        assert self._connection is not None
        states = [(path, self.states[path]) for path in paths]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            NOTE, [(path, s.bytes, s.crc, s.changed_ns, int(s.is_marked)) for path, s in states]
        )
        self._connection.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", list(self.names.new.items()))
        self._connection.execute("COMMIT")
        self.names.new.clear()


def _connected(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.executescript(SCHEMA)
    return connection


def _crc(file: Path, length: int) -> int:
    """The checksum of the first `length` bytes of a file."""
    crc = 0
    with file.open("rb") as stream:
        while length and (part := stream.read(min(length, 1 << 20))):
            crc = zlib.crc32(part, crc)
            length -= len(part)
    return crc


def _pattern_of(path: str, patterns: Iterable[str]) -> str:
    """The most special pattern that a path matches; empty for none."""
    return max((pattern for pattern in patterns if fnmatchcase(path, pattern)), key=len, default="")


def _first_line(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.readline()
