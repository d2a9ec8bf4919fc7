"""Kinds of rows: how each class of items is stored. Sans I/O.

A source declares one `Kind` for each class of items that it yields. The order of writing, the upserts of both stores,
the CSV files and the privileges on tables are derived from it. Only versions of posts, marks of deletions and merged
tweets need their own SQL (storage/postgres/versioned.py, storage/sqlite/tables.py), selected by the class of the item.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from scrapy.settings import BaseSettings
from scrapy.utils.conf import build_component_list
from scrapy.utils.misc import load_object

from chancrawl.errors import UserError
from chancrawl.items import columns

Key = tuple[Hashable, ...]
"""The name of a row, or of a state that waits for rows: `("post", "po", 570368)`."""


Query = Callable[..., list[Any]]
"""Executes a query with its parameters, and returns the rows."""

Subject = tuple[str, str]
"""Something that can be removed: its kind and its name, `("post", "po/570368")`, `("account", "783214")`."""

IsForgotten = Callable[[Subject], bool]
"""Whether something was removed, and must not be stored again."""


def no_keys(item: Any) -> list[Key]:
    return []


def no_subjects(item: Any) -> Iterable[Subject]:
    return ()


def as_it_is(item: Any, is_forgotten: IsForgotten) -> Any:
    return item


def nothing_odd(item: Any) -> Sequence[str]:
    return ()


def always(item: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file of a kind, or the files of a kind, one for each day, board, account.

    `path` returns the file of an item, relative to CSV_FOLDER, or None for no file. `columns` are the columns of the
    header; empty means all columns of the item. `pattern` is what all paths match, as in shell patterns.
    """

    path: Callable[[Any], str | None]
    columns: Sequence[str] = ()
    pattern: str = "*"
    rows: Callable[[Any], Iterable[Mapping[str, Any]]] | None = None
    """The rows of an item by column, if they are not its values."""
    is_appended: Callable[[Any], bool] = always
    """Whether an item that was just committed gets a line. When the file is rebuilt, each stored item does."""
    is_announced: bool = True
    """Whether the file is marked before the commit of each of its items. False if hardly any of them gets a line."""
    owner: Callable[[Any], tuple[int, str] | None] | None = None
    """For files that belong to a number, such as an account: the number, and the name that is wanted for the file."""
    path_of_owner: Callable[[str], str] = str
    """The path of the file with the name that the owner has got."""
    settled: Callable[[Sequence[Any], Query], Sequence[Any]] | None = None
    """What of the committed items is written, and with which values, if that depends on what is stored."""
    stored: str = ""
    """The query for the stored rows, if they are not those of the table. A column behind those of the item replaces the
    value of `filed_by`, by which the file is chosen."""
    filed_by: str = ""

    def may_be(self, path: str) -> bool:
        """Whether a path may be one of these files."""
        return fnmatchcase(path, self.pattern)


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
    """CREATE TABLE IF NOT EXISTS … in PostgreSQL's dialect, if schema.sql does not have the table."""
    lock: Callable[[Any], str] | None = None
    """The name of the lock under which a row is written, for example that of its board. None: that of the table."""
    csv: CsvFile | Sequence[CsvFile] = ()
    from_older: Callable[[Mapping[str, str]], Any] | None = None
    """An item from a row of its CSV file, as versions before the embedded database wrote it."""
    is_state: bool = False
    is_paid: bool = False
    """Whether each reading costs money; see `HeldBack.missed`."""
    waits_as: Callable[[Any], list[Key]] = no_keys
    keeps_waiting: Callable[[Any], list[Key]] = no_keys
    about: Sequence[str] = ()
    """The kinds of subjects that its items can be about, or say something of."""
    subjects: Callable[[Any], Iterable[Subject]] = no_subjects
    """What an item is about: if one of these was removed, the item is not stored."""
    without: Callable[[Any, IsForgotten], Any] = as_it_is
    """An item without what it says of others that were removed. The same object if nothing changes."""
    describe: Callable[[Any], Sequence[str]] = nothing_odd
    """Fills the columns of an item that are computed from `raw`. Returns texts about what could not be read."""

    @property
    def name(self) -> str:
        """Its name in stats, in the quarantine and in the spool, for example `post`."""
        return self.item.__name__.lower()

    @property
    def csv_files(self) -> list[CsvFile]:
        """Its CSV files. Without columns of their own, they have those of the item."""
        files = [self.csv] if isinstance(self.csv, CsvFile) else self.csv
        return [file if file.columns else replace(file, columns=self.columns) for file in files]

    @property
    def columns(self) -> list[str]:
        return columns(self.item)

    def left(self, item: Any, is_forgotten: IsForgotten) -> Any:
        """An item without what was removed; None if it is about that."""
        return None if any(map(is_forgotten, self.subjects(item))) else self.without(item, is_forgotten)

    def lock_of(self, item: Any) -> str:
        """The name of the lock under which a row is written. Rows with one key have one lock."""
        return self.table if self.lock is None else self.lock(item)

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
