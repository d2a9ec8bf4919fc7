"""Kinds of rows: how each class of items is stored. Sans I/O.

A source declares one `Kind` for each class of items that it yields. The order of writing, the upserts of both stores,
the headers of CSV files and the privileges on tables are derived from it. Only versions of posts, marks of deletions
and merged tweets need their own SQL (storage/postgres/versioned.py), which is selected by the class of the item.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scrapy.settings import BaseSettings
from scrapy.utils.conf import build_component_list
from scrapy.utils.misc import load_object

from chancrawl.errors import UserError
from chancrawl.items import columns

Key = tuple[Hashable, ...]
"""The name of a row, or of a state that waits for rows: `("post", "po", 570368)`."""


def no_keys(item: Any) -> list[Key]:
    return []


def nothing_odd(item: Any) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class CsvFile:
    """The CSV file of a kind.

    `path` returns the file of an item, relative to CSV_FOLDER, or None for no file. `columns` are the columns of the
    header; empty means all columns of the item. `values` returns their texts, if they differ from the item's values.
    `placed` changes rows that depend on what is stored: it gets the `CsvStore` and the `Line`s of a batch, and returns
    the lines to write.
    """

    path: Callable[[Any], str | None]
    columns: Sequence[str] = ()
    values: Callable[[Any], dict[str, str]] | None = None
    placed: Callable[[Any, Sequence[Any]], list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class EmbeddedTable:
    """The table of a kind in the SQLite ledger, if it does not have exactly the item's columns.

    `columns` are the parameters of `statement`, in order.
    """

    schema: str
    columns: Sequence[str]
    statement: str


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of rows.

    `later` is the SQL condition under which a staged row (`new`) may replace the stored one (`held`). `merged` has SQL
    for the columns that are not copied from the new row. `compared` are the columns whose change makes the new row
    replace the stored one (None: all). `order` is a column by which the rows of a batch are sorted first.

    `is_state`: the rows describe what has been read. They are not stored before the rows that they describe:
    `waits_as` returns the keys under which a state waits, `keeps_waiting` the keys that a missing row keeps waiting.
    """

    item: type[Any]
    table: str
    key: tuple[str, ...]
    later: str = "true"
    merged: Mapping[str, str] = field(default_factory=dict)
    compared: Sequence[str] | None = None
    order: str | None = None
    schema: str = ""
    """CREATE TABLE IF NOT EXISTS … for PostgreSQL, if schema.sql does not have the table."""
    embedded_later: str = ""
    """The condition of the ledger's upsert, for example `feeds.pages <= excluded.pages`."""
    csv: CsvFile | None = None
    embedded: EmbeddedTable | None = None
    is_state: bool = False
    is_paid: bool = False
    """Whether each reading costs money; see `HeldBack.missed`."""
    waits_as: Callable[[Any], list[Key]] = no_keys
    keeps_waiting: Callable[[Any], list[Key]] = no_keys
    describe: Callable[[Any], Sequence[str]] = nothing_odd
    """Fills the columns of an item that are computed from `raw`. Returns texts about what could not be read."""

    @property
    def name(self) -> str:
        """Its name in stats, in the quarantine and in the spool, for example `post`."""
        return self.item.__name__.lower()

    @property
    def has_table(self) -> bool:
        """Whether the ledger has a table for it. Deletions have none, because they are marks on rows of posts."""
        return self.embedded is None or bool(self.embedded.schema)

    @property
    def columns(self) -> list[str]:
        return columns(self.item)

    def key_of(self, item: Any) -> Key:
        """The key of a row. All its versions have the same key."""
        return self.name, *(getattr(item, name) for name in self.key)


class Kinds:
    """The kinds of all sources, in the order of writing: data before the state that describes it."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = {kind.item: kind for kind in kinds}
        self._by_name = {kind.item.__name__: kind for kind in self._kinds.values()}
        self.state = frozenset(kind.item for kind in self if kind.is_state)

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Kinds:
        """The kinds of SOURCES, in the order of that setting. UserError if it names something that is no source."""
        return _kinds_of(tuple(components(settings, "SOURCES")))

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def __getitem__(self, item_class: type[Any]) -> Kind:
        return self._kinds[item_class]

    def of(self, item: Any) -> Kind:
        return self._kinds[type(item)]

    def named(self, name: str) -> Kind:
        """The kind whose item class has this name, for example `Post`. KeyError if there is none."""
        return self._by_name[name]

    def sorted(self, batch: Iterable[Any]) -> dict[Kind, list[Any]]:
        """The items of a batch by their kind, in the order of writing."""
        found: dict[type[Any], list[Any]] = {item_class: [] for item_class in self._kinds}
        for item in batch:
            found[type(item)].append(item)
        return {self._kinds[item_class]: items for item_class, items in found.items() if items}


@functools.cache
def _kinds_of(sources: tuple[Any, ...]) -> Kinds:
    return Kinds(kind for source in sources for kind in source.kinds)


def components(settings: BaseSettings, name: str) -> list[Any]:
    """The classes of a setting such as SOURCES, `{"package.Class": 100}`, in the order of its numbers.

    Those of NAME_BASE are among them. UserError, in one sentence, for what cannot be found.
    """
    try:
        paths = build_component_list(settings.getwithbase(name))
    except (ValueError, TypeError) as error:
        raise UserError(f'{name} is {settings.get(name)}; write {{"package.Class": 100}} ({error}).') from None
    found = []
    for path in paths:
        try:
            found.append(load_object(path))
        except (ImportError, NameError, ValueError, TypeError) as error:
            raise UserError(f"{name} names {path}, which cannot be loaded ({error}).") from None
    return found
