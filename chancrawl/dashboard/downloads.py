"""Tables as files, by the code of `scrapy export`, and the commands that make the same files."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from chancrawl.arguments import board_names, moment_of
from chancrawl.dashboard.queries import Desk
from chancrawl.errors import UserError
from chancrawl.exports import coverage
from chancrawl.exports.columns import Column, Type
from chancrawl.exports.export import AT_ONCE, NAMES, check_filters, columns_of, dialect_of
from chancrawl.exports.tables import TABLES, Filters
from chancrawl.exports.writers import CsvWriter, JsonLinesWriter
from chancrawl.find.texts import Hit
from chancrawl.imageboards.stored_coverage import stored_boards
from chancrawl.storage.base import Store
from chancrawl.storage.sqlite.values import time_text
from chancrawl.text import LARGEST_NO

MOST = 50_000
"""Rows of a file. Larger ones are for the command, which writes them to a disk."""

SECONDS = 20.0
"""The time in which a file has to be read."""

FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}

FILTERS = ("board", "thread", "account", "query", "since", "until", "only-deleted", "match")

HITS = [
    Column("key", Type.TEXT), Column("posted_at", Type.TIME), Column("author", Type.TEXT), Column("text", Type.TEXT),
    Column("url", Type.TEXT), Column("deleted_at", Type.TIME),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Download:
    """A table of a page as files: its addresses, and the command."""

    name: str
    filters: Mapping[str, str]

    def url(self, format: str) -> str:
        query = urlencode(self.filters)
        return f"/table/{self.name}.{format}{'?' if query else ''}{query}"

    @property
    def command(self) -> str:
        words = ["scrapy", "export", self.name]
        for name, value in self.filters.items():
            words += [f"--{name}"] if name == "only-deleted" else [f"--{name}", value]
        return " ".join([*map(shlex.quote, words), "-o", f"{self.name}.csv"])


def download(name: str, **filters: Any) -> Download:
    """`filters` are those of the command, with _ for -. None leaves one out."""
    given = {key.replace("_", "-"): str(value) for key, value in filters.items() if value is not None}
    return Download(name, given)


def filters_of(query: Mapping[str, str]) -> Filters:
    """The filters of a request. UserError for one that cannot be read."""
    if odd := query.keys() - set(FILTERS):
        raise UserError(f"{min(odd)} is no filter.")
    return Filters(
        boards=tuple(board_names("board", query.get("board", ""))) or None,
        threads=_numbers("thread", query.get("thread", "")),
        accounts=_numbers("account", query.get("account", "").removeprefix("id:")),
        query=query.get("query"),
        since=moment_of("since", query.get("since", "")),
        until=moment_of("until", query.get("until", "")),
        only_deleted="only-deleted" in query,
        match=query.get("match"),
    )


def _numbers(name: str, text: str) -> tuple[int, ...] | None:
    return (number_of(name, text),) if text else None


def number_of(name: str, text: str) -> int:
    """A number of a request, of 19 digits at most. UserError if it is none."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > LARGEST_NO:
        raise UserError(f"{name} is no number.")
    return int(text)


def table(desk: Desk, name: str, format: str, filters: Filters) -> bytes:
    """The rows of a table as a file. UserError for a table or a filter that does not exist, or too many rows."""
    if name not in NAMES:
        raise UserError(f"There is no table {name}; there are {', '.join(NAMES)}.")
    check_filters([name], filters)
    stored_boards(desk.store, filters.boards or ())
    return written(columns_of(name), _rows(desk.store, name, filters), format)


def _rows(store: Store, name: str, filters: Filters) -> Iterable[Sequence[Any]]:
    if name == "coverage":
        return coverage.rows(store, filters)
    sql, parameters = TABLES[name].query(filters, dialect_of(store))
    return store.stream(f"{sql} LIMIT {MOST + 1}", *parameters)


def written(columns: Sequence[Column], rows: Iterable[Sequence[Any]], format: str) -> bytes:
    """Rows in a format. UserError if there are more than MOST."""
    stream = io.BytesIO()
    writer = CsvWriter(stream, columns) if format == "csv" else JsonLinesWriter(stream, columns)
    number = 0
    left = iter(rows)
    while chunk := list(islice(left, AT_ONCE)):
        number += len(chunk)
        if number > MOST:
            raise UserError(f"The table has more than {MOST:,} rows: write it with scrapy export.")
        writer.write(chunk)
    writer.close()
    if format == "csv":
        return stream.getvalue()
    lines = stream.getvalue().rstrip(b"\n")
    return b"[" + lines.replace(b"\n", b",\n") + b"]\n"  # JSON has no raw line break within a line


def hits(found: Iterable[Hit], format: str) -> bytes:
    """What a search has found, as a file."""
    rows = ((hit.key, hit.at and time_text(hit.at), hit.author, hit.text, hit.url,
             hit.deleted_at and time_text(hit.deleted_at)) for hit in found)  # fmt: skip
    return written(HITS, rows, format)
