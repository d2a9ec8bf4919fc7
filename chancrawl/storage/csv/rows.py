"""Items as rows of CSV files: UTF-8, RFC 4180, a header in each file.

CSV cannot replace a row, so each row is an appended event: a version of a post (counted by `revision`), a state of a
thread (its last row is current), a deletion that was seen, confirmed or taken back. Times are ISO 8601 in UTC, flags
are true or false, lists and `raw` are JSON. A value that the source did not send is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chancrawl.payload import dumps
from chancrawl.storage.kinds import Kind, Kinds


@dataclass(slots=True)
class Line:
    """An item in the form in which it is written.

    `values` are the texts of its line in the file `path` (None for no file), by column. `columns` are the columns of
    the file's header. `row` is its row in the ledger, empty for none. `before` is a statement with its parameters that
    is executed before all rows of a batch.
    """

    item: Any
    path: str | None
    columns: Sequence[str]
    values: Mapping[str, str]
    row: tuple[Any, ...] = ()
    before: tuple[str, tuple[Any, ...]] | None = None

    def text(self, names: Sequence[str] | None = None) -> str:
        """The line for a file with the columns `names`; None for `columns`."""
        if names is None:
            return csv_text(self.values.values())
        return csv_text([self.values.get(name, "") for name in names])


@dataclass(slots=True)
class Prepared:
    """A batch in the form in which it is written, and the items that cannot be written, with the reasons."""

    lines: list[Line] = field(default_factory=list)
    rejected: list[tuple[Any, str]] = field(default_factory=list)


def prepared(kinds: Kinds, batch: Sequence[Any], statements: Mapping[type[Any], tuple[str, Sequence[str]]]) -> Prepared:
    """Convert a batch to lines. An item that cannot be converted is rejected alone. `statements` are the ledger's."""
    result = Prepared()
    for item in batch:
        try:
            line = line_of(kinds.of(item), item, statements[type(item)][1])
            "".join(line.values.values()).encode()
        except Exception as error:  # an unforeseen error must affect only this row
            result.rejected.append((item, f"{type(error).__name__}: {error}"))
        else:
            result.lines.append(line)
    return result


def line_of(kind: Kind, item: Any, ledger_columns: Sequence[str]) -> Line:
    """Convert an item to a line. ValueError if SQLite cannot store a value."""
    row = tuple(_ledger_value(getattr(item, name)) for name in ledger_columns)
    file = kind.csv
    if file is None:
        return Line(item, None, (), {}, row)
    names = file.columns or kind.columns
    values = {name: text_of(getattr(item, name)) for name in names} if file.values is None else file.values(item)
    return Line(item, file.path(item), names, values, row)


def csv_text(row: Iterable[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(row)
    return text.getvalue()


def text_of(value: Any) -> str:
    """The text of a value in a CSV file.

    >>> text_of(None), text_of(True), text_of([1, 2])
    ('', 'true', '[1,2]')
    """
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case list() | dict():
            return dumps(value)
    return str(value)


def _ledger_value(value: Any) -> Any:
    """A value in a type that SQLite has. ValueError if SQLite cannot store it."""
    if isinstance(value, datetime | dict | list):
        value = text_of(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} is out of range")
    if isinstance(value, str):
        value.encode()
    return value
