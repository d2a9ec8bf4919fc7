"""Rows as lines of CSV files: UTF-8, RFC 4180. Sans I/O.

Every text cell is quoted, so that programs that look at the first rows only guess the right types. Times are ISO 8601
in UTC, flags are true or false, lists and JSON are JSON. A value that the source did not send is an empty cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from types import NoneType
from typing import Any

from chancrawl.payload import dumps
from chancrawl.text import clean

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""With one of these, a spreadsheet takes a text for a formula. A text that begins with ' is guarded too, so that the
guard can be taken away exactly: a ' at the beginning of a cell never belongs to the text."""


def header_of(columns: Sequence[str]) -> str:
    return ",".join(columns) + "\r\n"


def lines_of(items: Sequence[Any], columns: Sequence[str], is_safe: bool) -> list[str]:
    """The lines of items whose attributes are the columns."""
    texts = [_cells(list(map(attrgetter(name), items)), is_safe) for name in columns]
    return [f"{','.join(cells)}\r\n" for cells in zip(*texts, strict=True)]


def line_of(values: Mapping[str, Any], columns: Sequence[str], is_safe: bool) -> str:
    """The line of a row that is given by its columns."""
    return f"{','.join(cell(values.get(name), is_safe) for name in columns)}\r\n"


def _cells(column: Sequence[Any], is_safe: bool) -> Sequence[str]:
    """The cells of a column. Their types are looked at once for the column, which is faster than for each."""
    kinds = set(map(type, column))
    if kinds == {NoneType}:
        return [""] * len(column)
    if kinds == {int}:
        return list(map(repr, column))
    if kinds == {datetime}:
        return list(map(time_text, column))
    if kinds == {str} and not is_safe and '"' not in "".join(column):
        return [f'"{value}"' for value in column]
    return [cell(value, is_safe) for value in column]


def cell(value: Any, is_safe: bool = False) -> str:
    """The cell of a value. `is_safe`: with a ' before a text that a spreadsheet would run as a formula.

    >>> cell(None), cell(True), cell(7), cell('a "b"'), cell([1, 2]), cell("=1+1", is_safe=True)
    ('', 'true', '7', '"a ""b\"""', '"[1,2]"', '"\\'=1+1"')
    """
    kind = type(value)
    if value is None:
        return ""
    if kind is str:
        if is_safe and value.startswith(FORMULA):
            value = f"'{value}"
        return f'"{value.replace(chr(34), chr(34) * 2)}"' if '"' in value else f'"{value}"'
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        return repr(value)
    if kind is datetime:
        return time_text(value)
    if kind is list or kind is dict:
        text: str = dumps(value)
        return '"' + text.replace('"', '""') + '"'
    return cell(str(value), is_safe)


@lru_cache(maxsize=4096)
def time_text(time: datetime) -> str:
    """
    >>> time_text(datetime(2026, 11, 26, 20, 37, 5, tzinfo=UTC))
    '2026-11-26T20:37:05Z'
    """
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def encoded(text: str) -> bytes:
    """UTF-8. A lone surrogate, which UTF-8 does not have, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return clean(text).encode()


def unguarded(text: str) -> str:
    """The text of a cell that was written with CSV_SAFE=1.

    >>> unguarded("'=1+1"), unguarded("''a"), unguarded("a")
    ('=1+1', "'a", 'a')
    """
    return text.removeprefix("'")
