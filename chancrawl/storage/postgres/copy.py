"""Writes items into a PostgreSQL staging table by COPY. A statement then merges them into the table."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from chancrawl.items import Item, columns
from chancrawl.payload import dumps
from chancrawl.text import list_text

JSON_LISTS = ("quotes",)
"""The columns whose lists are JSON. All other lists are arrays."""


@dataclass(slots=True, frozen=True)
class Rows:
    """Items of one kind in COPY's text format: https://www.postgresql.org/docs/current/sql-copy.html.

    `names` are the columns in which at least one item has a value.
    """

    names: list[str]
    lines: list[str]


def rows_of(items: Sequence[Item]) -> Rows:
    kind = columns(type(items[0]))
    names, texts = [], []
    for name, column in zip(kind, zip(*map(attrgetter(*kind), items), strict=True), strict=True):
        if column.count(None) < len(column):
            names.append(name)
            texts.append(_texts(column, json_text if name in JSON_LISTS else text))
    return Rows(names, list(map("\t".join, zip(*texts, strict=True))))


def _texts(column: Sequence[Any], text: Callable[[Any], str]) -> Sequence[str]:
    """The texts of a column's values. Their types are checked once for the column, which is faster than for each."""
    kinds = set(map(type, column))
    if kinds == {str} and _is_plain("".join(column)):
        return column
    if kinds <= {int, bool}:
        return list(map(repr, column))
    return ["\\N" if value is None else text(value) for value in column]


def stage(cursor: Any, table: str, names: Sequence[str], rows: Rows, like: str = "") -> None:
    """Replace the content of the temporary table `staged_TABLE` by rows.

    It has the columns `names` of TABLE (or `like`, in the syntax of CREATE TABLE), without constraints and without
    columns that the owner of the database has added to TABLE. It is dropped at the end of the transaction.
    """
    columns = f"({like}) ON COMMIT DROP"
    if not like:
        columns = f"ON COMMIT DROP AS SELECT {', '.join(names)} FROM {table} WITH NO DATA"
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS staged_{table} {columns}; DELETE FROM staged_{table}")
    text = io.BytesIO("\n".join(rows.lines).encode())
    cursor.copy_expert(f"COPY staged_{table} ({', '.join(rows.names)}) FROM STDIN", text, 1 << 20)


def text(value: Any) -> str:
    """A value in COPY's text format.

    >>> text(["a", "b c"]), text("tab\\there"), text(True)
    ('{a,"b c"}', 'tab\\\\there', 'True')
    """
    kind = type(value)
    if kind is str:
        return _escaped(value)
    if kind is int or kind is bool:
        return repr(value)
    if kind is datetime:
        return _time(value)
    if kind is dict:
        return _escaped(dumps(value)) if value else "{}"
    if kind is list:
        return _escaped(list_text(value) or "") if value else "{}"
    return str(value)


def json_text(value: Any) -> str:
    return _escaped(dumps(value)) if value else "[]"


@lru_cache(maxsize=1024)
def _time(time: datetime) -> str:
    """A time in ISO 8601. It is cached, because the posts of a page have the same `last_seen_at`."""
    return time.isoformat()


def _is_plain(text: str) -> bool:
    return "\\" not in text and text.isprintable()


def _escaped(text: str) -> str:
    """The text with backslashes and control characters escaped for COPY; much faster than str.translate."""
    if _is_plain(text):
        return text
    text = text.replace("\\", "\\\\")
    for sign, escape in (("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        if sign in text:
            text = text.replace(sign, escape)
    return text
