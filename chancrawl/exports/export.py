"""Exports tables of a store to a file, or to a folder that explains itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from chancrawl.errors import UserError
from chancrawl.exports import coverage
from chancrawl.exports.columns import Column
from chancrawl.exports.dialects import Dialect, PostgresDialect, SqliteDialect
from chancrawl.exports.pseudonyms import Pseudonyms
from chancrawl.exports.shapes import Shape
from chancrawl.exports.tables import TABLES, Filters, Table, check
from chancrawl.exports.writers import COMPRESSIONS, FORMATS, File
from chancrawl.storage.base import Store
from chancrawl.storage.sqlite.store import SqliteStore

AT_ONCE = 5_000
"""Rows that are converted at a time."""

NAMES = (*TABLES, "coverage")
SPLIT = ("posts", "revisions")
"""Tables that have a file for each board and month in a folder."""

Progress = Callable[[str, int], object]
"""Is told the table and the number of its rows so far."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an export goes. `folder` is None for a single file."""

    path: Path
    format: str
    compression: str = ""
    is_folder: bool = False
    is_packed: bool = False
    """Whether a table has one file in a folder, and not one for each board and month."""

    @property
    def under_way(self) -> Target:
        """The folder in which the files are until all of them are complete."""
        return replace(self, path=self.path.with_name(f".{self.path.name}.part"))

    @classmethod
    def of(cls, path: Path, format: str | None, compression: str | None, names: Sequence[str]) -> Target:
        """The target of a path: a folder, unless the path ends as a file of one of the formats. UserError if it cannot
        be written to as it is."""
        endings = path.name.lower().split(".")[1:]
        packed = endings[-1] if endings and endings[-1] in COMPRESSIONS else ""
        kind = next(iter(endings[-2:] if packed else endings[-1:]), "")
        kind = {"ndjson": "jsonl", "json": "jsonl"}.get(kind, kind)
        if "parquet" in (kind, format) and (packed or compression):
            raise UserError("Parquet files are compressed already (zstd); leave the compression out.")
        if kind not in FORMATS or path.is_dir():
            if odd := [ending for ending in endings[:-1] if ending in FORMATS]:
                raise UserError(
                    f"{path.name} ends as no file that can be written: end it with .{odd[-1]}, also with .gz or .zst."
                )
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise UserError(f"{path} exists and is not an empty folder; name another one.")
            return cls(path, format or "csv", compression or "", is_folder=True)
        if format not in (None, kind) or compression not in (None, packed):
            raise UserError(f"{path.name} ends as a file of another format; leave --format and --compress out.")
        if len(names) != 1:
            raise UserError(f"{path.name} is one file, and {len(names)} tables were named; name a folder.")
        if path.exists():
            raise UserError(f"{path} exists; name another file, or move it away.")
        if not path.absolute().parent.is_dir():
            raise UserError(f"There is no folder {path.absolute().parent} for {path.name}.")
        return cls(path, kind, packed)

    def file_of(self, name: str) -> Path:
        """A written file, by its key in `Exported.files`."""
        return self.path / name if self.is_folder else self.path

    def file(self, name: str, board: str = "", month: str = "") -> Path:
        if not self.is_folder:
            return self.path
        ending = ".".join(filter(None, (self.format, self.compression)))
        return self.path / (f"{name}/{board}/{month}.{ending}" if board else f"{name}.{ending}")


@dataclass(slots=True)
class Exported:
    """What an export has written: the files by their path relative to the folder, and the rows and columns of each
    table."""

    files: dict[str, File] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    columns: dict[str, list[Column]] = field(default_factory=dict)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0


def dialect_of(store: Store) -> Dialect:
    return SqliteDialect() if isinstance(store, SqliteStore) else PostgresDialect()


def columns_of(name: str) -> list[Column]:
    return coverage.COLUMNS if name == "coverage" else TABLES[name].columns


def about(name: str) -> str:
    """What a row of a table is."""
    return coverage.ABOUT if name == "coverage" else TABLES[name].about


def check_filters(names: Sequence[str], filters: Filters) -> None:
    """UserError for a filter that a table does not take. Coverage is that of the boards, whatever posts are chosen."""
    for name in names:
        if name == "coverage":
            others = {"thread", "only-deleted", "match"} if len(names) > 1 else set()
            if odd := filters.given().keys() - coverage.TAKES - others:
                raise UserError(f"--{min(odd)} does not apply to coverage; coverage takes --board, --since, --until.")
        else:
            check(name, TABLES[name], filters)


def check_columns(names: Sequence[str], chosen: Collection[str]) -> None:
    """UserError for a column that none of the tables has, or a table that has none of the columns."""
    there = {name: {column.name for column in columns_of(name)} for name in names}
    for column in chosen:
        if not any(column in columns for columns in there.values()):
            raise UserError(f"--columns {column}: {' and '.join(names)} have no such column.")
    for name in names:
        if chosen and name != "coverage" and not there[name] & set(chosen):
            raise UserError(f"--columns names no column of {name}.")


def check_shape(name: str, shape: Shape, names: Sequence[str], filters: Filters, target: Target) -> None:
    """UserError if tables cannot be written in the form of another tool as they were asked for."""
    if len(names) != 1 or names[0] not in shape.tables:
        raise UserError(f"--as {name} is for one of {', '.join(shape.tables)}.")
    if target.is_folder or target.format != shape.ending:
        raise UserError(f"--as {name} writes one file; name it with -o FILE.{shape.ending}.")
    if shape.one_board and names[0] == "posts" and len(filters.boards or ()) != 1:
        raise UserError(f"--as {name} names a post by its number alone: name one board (--board po).")
    check(names[0], shape.tables[names[0]], filters)


def export(
    store: Store,
    names: Sequence[str],
    filters: Filters,
    target: Target,
    progress: Progress = lambda name, rows: None,
    shape: Shape | None = None,
    chosen: Collection[str] = (),
    pseudonyms: Pseudonyms | None = None,
) -> Exported:
    """Write tables, in the form of another tool if `shape` is given. Returns what was written. In `store.snapshot`, all
    tables are of one moment. `chosen` are the columns; empty means all."""
    done = Exported()
    began = time.monotonic()
    open_rows: list[Any] = []
    try:
        for name in names:
            table = shape.tables[name] if shape else TABLES.get(name)
            columns = coverage.COLUMNS if table is None else table.columns
            if table is None:
                rows = coverage.rows(store, filters)
            else:
                columns = [column for column in columns if column.name in chosen] if chosen else columns
                columns = pseudonyms.columns(name, columns) if pseudonyms else columns
                rows = store.stream(*_query(store, replace(table, columns=columns), filters))
            open_rows.append(rows)
            done.columns[name] = columns
            if pseudonyms is not None and table is not None:
                rows = map(pseudonyms.change(name, columns), rows)
            make = partial(
                File,
                columns=columns,
                writer=shape.writer if shape else FORMATS[target.format],
                compression=target.compression,
            )
            for place, some in _places(name, columns, rows, target):
                _write(done, name, make(place), some, target, progress)
            if target.is_folder and not done.rows[name] and target.file(name).name not in done.files and name in SPLIT:
                _write(done, name, make(target.file(name)), iter(()), target, progress)
    except BaseException:
        for rows in open_rows:
            rows.close()
        for file in done.files.values():
            file.path.unlink(missing_ok=True)
        raise
    done.seconds = time.monotonic() - began
    return done


def _query(store: Store, table: Table, filters: Filters) -> tuple[Any, ...]:
    sql, parameters = table.query(filters, dialect_of(store))
    return sql, *parameters


def _places(
    name: str, columns: Sequence[Column], rows: Iterator[Any], target: Target
) -> Iterator[tuple[Path, Iterator[Any]]]:
    """The rows by the file to which they go."""
    names = [column.name for column in columns]
    if not target.is_folder or name not in SPLIT or target.is_packed or not {"board", "posted_at"} <= set(names):
        yield target.file(name), rows
        return
    board, time_ = names.index("board"), names.index("posted_at")
    for (of_board, month), some in groupby(rows, lambda row: (row[board], row[time_][:7])):
        yield target.file(name, of_board, month), some


def _write(done: Exported, name: str, file: File, rows: Iterator[Any], target: Target, progress: Progress) -> None:
    try:
        while chunk := list(islice(rows, AT_ONCE)):
            file.write(chunk)
            done.rows[name] += len(chunk)
            progress(name, done.rows[name])
        file.complete()
        done.rows[name] = getattr(file.writer, "lines", done.rows[name])  # a line can have several rows
    except BaseException:
        file.discard()
        raise
    done.files[file.path.relative_to(target.path).as_posix() if target.is_folder else file.path.name] = file
