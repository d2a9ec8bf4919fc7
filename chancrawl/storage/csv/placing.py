"""Which lines go to which CSV files. Sans I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chancrawl.storage.csv.files import Names
from chancrawl.storage.csv.lines import line_of, lines_of
from chancrawl.storage.kinds import CsvFile


@dataclass(slots=True)
class Part:
    """Lines for one file."""

    path: str
    columns: Sequence[str]
    lines: list[str]


def parts_of(
    file: CsvFile,
    items: Sequence[Any],
    names: Names,
    is_safe: bool,
    rebuilding: bool = False,
    filed: Sequence[Any] | None = None,
) -> Iterator[Part]:
    """The lines of items of one kind. `filed` are the items by which the files are chosen, if they are others."""
    by_path: defaultdict[str, list[Any]] = defaultdict(list)
    for item, place in zip(items, filed or items, strict=True):
        if (rebuilding or file.is_appended(item)) and (path := path_of(file, place, names)) is not None:
            by_path[path].append(item)
    for path, chosen in by_path.items():
        columns = file.columns
        if file.rows is None:
            yield Part(path, columns, lines_of(chosen, columns, is_safe))
        else:
            lines = [line_of(row, columns, is_safe) for item in chosen for row in file.rows(item)]
            if lines:
                yield Part(path, columns, lines)


def path_of(file: CsvFile, item: Any, names: Names) -> str | None:
    """The file of an item, relative to the folder."""
    if file.owner is None:
        return file.path(item)
    owner = file.owner(item)
    return file.path(item) if owner is None else file.path_of_owner(names.of(*owner))
