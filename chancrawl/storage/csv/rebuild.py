"""Writes CSV files anew from the rows of a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from chancrawl.storage.base import Store, moment, restored
from chancrawl.storage.csv.files import CsvFiles
from chancrawl.storage.csv.lines import encoded, header_of
from chancrawl.storage.csv.placing import Part, parts_of
from chancrawl.storage.kinds import CsvFile, Kind

AT_ONCE = 5_000
"""Rows that are converted at a time."""


def rebuild(store: Store, files: CsvFiles, paths: Collection[str] | None, is_safe: bool) -> Counter[str]:
    """Write files anew, or all files if `paths` is None. Returns the number of rows of each file that was written.

    A file without rows in the store is removed. A file is replaced when it is complete.
    """
    written: Counter[str] = Counter()
    for kind in store.kinds:
        for file in kind.csv_files:
            if paths is None or any(map(file.may_be, paths)):
                written |= _rebuild_kind(store, files, kind, file, paths, is_safe)
    for path in files.states.keys() - written.keys():
        if paths is None or path in paths:
            files.gone(path)
    return written


def _rebuild_kind(
    store: Store, files: CsvFiles, kind: Kind, file: CsvFile, paths: Collection[str] | None, is_safe: bool
) -> Counter[str]:
    written: Counter[str] = Counter()
    try:
        rows = _stored(store, kind, file)
        while batch := list(islice(rows, AT_ONCE)):
            items, filed = zip(*batch, strict=True)
            for part in parts_of(file, items, files.names, is_safe, rebuilding=True, filed=filed):
                if paths is None or part.path in paths:
                    _write(files, part, is_first=part.path not in written)
                    written[part.path] += len(part.lines)
        files.mark(written)
        for path in written:
            files.replace(path)
        files.note(written)
    except BaseException:
        for path in written:
            files.temporary(path).unlink(missing_ok=True)
        raise
    return written


def _write(files: CsvFiles, part: Part, is_first: bool) -> None:
    """Opened for each part, because a process cannot have the files of years open at once."""
    with files.temporary(part.path).open("wb" if is_first else "ab") as stream:
        if is_first:
            stream.write(encoded(header_of(part.columns)))
        stream.write(encoded("".join(part.lines)))


def _stored(store: Store, kind: Kind, file: CsvFile) -> Iterator[tuple[Any, Any]]:
    """The stored items of a kind, each with the item by which its file is chosen."""
    names = kind.columns
    for row in store.stream(
        file.stored or f"SELECT {', '.join(names)} FROM {kind.table} ORDER BY {', '.join(kind.key)}"
    ):
        item = restored(kind.item, row[: len(names)])
        yield item, replace(item, **{file.filed_by: moment(row[-1])}) if file.filed_by else item
