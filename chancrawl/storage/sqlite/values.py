"""Values of items as SQLite stores them. Sans I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import orjson

from chancrawl.items import Form, columns, forms
from chancrawl.payload import dumps

SORTED = frozenset({"metrics", "first_metrics"})
"""The columns with objects that are jsonb in PostgreSQL: their keys are sorted, so that equal ones are equal texts."""


def rows_of(items: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Items of one class as rows, in the order of its columns. ValueError if SQLite cannot store a value."""
    item_class = type(items[0])
    names = columns(item_class)
    found = list(zip(*map(attrgetter(*names), items), strict=True))
    for place, name in enumerate(names):
        if (convert := _CONVERT.get(forms(item_class)[name])) is not None:
            convert = sorted_json if name in SORTED else convert
            found[place] = tuple([None if value is None else convert(value) for value in found[place]])
    return list(zip(*found, strict=True))


@lru_cache(maxsize=4096)
def time_text(time: datetime) -> str:
    """A time as ISO 8601 text in UTC, always with six decimals. Cached, because the posts of a page share times.

    >>> time_text(datetime(2026, 11, 26, 20, 37, 5, tzinfo=UTC))
    '2026-11-26T20:37:05.000000Z'
    """
    text = time.astimezone(UTC).isoformat(timespec="microseconds")
    return f"{text[:-6]}Z"


def sorted_json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return dumps(value)


def parameter(value: Any) -> Any:
    """A parameter of a query: times become texts, all else stays."""
    return time_text(value) if isinstance(value, datetime) else value


_CONVERT: dict[Form, Callable[[Any], Any]] = {Form.TIME: time_text, Form.FLAG: int, Form.JSON: dumps}
