"""The columns of exported tables: their types, and the forms of their values in each format. Sans I/O.

A value comes from the store as an integer, a float, a flag (0 or 1 from SQLite), a text, or None. Times are ISO 8601
texts, lists and objects are JSON texts; see dialects.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

import orjson

from chancrawl.items import Quote, columns
from chancrawl.storage.csv.lines import cell


class Type(Enum):
    """The type of a column."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "flag"
    TIME = "time"
    TEXTS = "list of texts"
    INTEGERS = "list of integers"
    QUOTES = "list of quotes"
    COUNTS = "counts"
    JSON = "JSON"


AS_JSON = (Type.TEXTS, Type.INTEGERS, Type.QUOTES, Type.COUNTS, Type.JSON)
"""Types whose values are JSON texts."""

COUNTS = (
    "like_count", "retweet_count", "reply_count", "quote_count", "bookmark_count", "impression_count",
    "followers_count", "following_count", "tweet_count", "listed_count", "media_count",
)  # fmt: skip
"""The counts that X sends of posts and accounts: the fields of the structs in Parquet files.

https://docs.x.com/x-api/fundamentals/metrics
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an exported table. `source` is its SQL, if that is not its name; `about` what it means, if schema.sql
    does not say it."""

    name: str
    type: Type
    source: str = ""
    about: str = ""

    @property
    def sql(self) -> str:
        return self.source or self.name


def columns_of(item_class: type[Any], without: Sequence[str] = ()) -> list[Column]:
    """The columns of an item's table, in its order, with the types of its fields."""
    hints = get_type_hints(item_class)
    return [Column(name, _type_of(name, hints[name])) for name in columns(item_class) if name not in without]


def _type_of(name: str, hint: Any) -> Type:
    parts = [part for part in (get_args(hint) or (hint,)) if part is not type(None)]
    found = hint if get_origin(hint) in (list, dict) else parts[0]
    if name.endswith("metrics"):
        return Type.COUNTS
    if get_origin(found) is list:
        element = get_args(found)[0]
        return Type.QUOTES if element is Quote else Type.TEXTS if element is str else Type.INTEGERS
    if get_origin(found) is dict:
        return Type.JSON
    return {str: Type.TEXT, int: Type.INTEGER, float: Type.NUMBER, bool: Type.FLAG, datetime: Type.TIME}[found]


Convert = Callable[[Any], Any]


def in_json(column: Column) -> Convert | None:
    """A function that makes a value fit for orjson, or None if it already is."""
    if column.type in AS_JSON:
        return lambda text: None if text is None else orjson.Fragment(text)
    if column.type is Type.FLAG:
        return lambda flag: None if flag is None else bool(flag)
    return None


def in_csv(column: Column) -> Convert:
    """A function that makes the cell of a value. Every text is quoted; times and numbers are not."""
    if column.type is Type.TIME:
        return lambda text: text or ""
    if column.type is Type.FLAG:
        return lambda flag: "" if flag is None else "true" if flag else "false"
    return cell
