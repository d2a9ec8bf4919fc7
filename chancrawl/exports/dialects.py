"""The SQL of exports, where it differs between the stores. Sans I/O.

Both give the same values: times as texts of one width, lists and objects as JSON texts without escapes of NUL and of
lone surrogates, on which other programs fail.
"""

from __future__ import annotations

from typing import Protocol

from chancrawl.exports.columns import Column, Type
from chancrawl.storage.sqlite.views import safe_json


class Dialect(Protocol):
    """What a query of an export needs."""

    quotes: str
    """FROM … for the elements of posts.quotes: `quote` has their JSON."""

    def value(self, column: Column) -> str:
        """SQL for the value of a column."""

    def part(self, json: str, key: str, type: Type) -> str:
        """SQL for a value in a JSON object."""

    def contains(self, column: str) -> str:
        """SQL for whether a list of texts has an element; one parameter."""

    def matches(self, column: str, words: str) -> tuple[str, str]:
        """SQL for whether a text contains words, in any case, and its parameter."""


class PostgresDialect:
    quotes = "posts CROSS JOIN LATERAL jsonb_array_elements(quotes) AS quote"

    def value(self, column: Column) -> str:
        if column.type is Type.TIME:
            return f"to_char({column.sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        if column.type in (Type.TEXTS, Type.INTEGERS):
            return f"array_to_json({column.sql})::text"
        if column.type is Type.JSON:
            return f"safe_json({column.sql})::text"
        if column.type in (Type.QUOTES, Type.COUNTS):
            return f"{column.sql}::text"
        if column.type is Type.NUMBER:
            return f"{column.sql}::double precision"
        return column.sql

    def part(self, json: str, key: str, type: Type) -> str:
        cast = {Type.INTEGER: "::bigint", Type.FLAG: "::boolean"}.get(type, "")
        return f"({json} ->> '{key}'){cast}"

    def contains(self, column: str) -> str:
        return f"{column} @> ARRAY[?]"

    def matches(self, column: str, words: str) -> tuple[str, str]:
        words = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return f"{column} ILIKE ?", f"%{words}%"


class SqliteDialect:
    quotes = "posts, json_each(posts.quotes) AS each"

    def value(self, column: Column) -> str:
        return safe_json(column.sql) if column.type is Type.JSON else column.sql

    def part(self, json: str, key: str, type: Type) -> str:
        return f"json_extract(each.value, '$.{key}')" if json == "quote" else f"json_extract({json}, '$.{key}')"

    def contains(self, column: str) -> str:
        return f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value = ?)"

    def matches(self, column: str, words: str) -> tuple[str, str]:
        # LIKE knows cases of ASCII letters only.
        return f"contains_words({column}, ?)", words.casefold()
