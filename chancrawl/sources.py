"""The protocol of sources: a source is a site, or several sites with one API.

A source is a folder with its kinds of rows and a spider. The setting SOURCES lists the sources of a project; `Sources`
finds the source of an item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

from scrapy.crawler import Crawler

from chancrawl.engine import PerCrawl
from chancrawl.frames import BoardProgress
from chancrawl.storage.kinds import Kind, components
from chancrawl.storage.session import Session


class Source(Protocol):
    """The methods of a source. Each crawl has one object of it."""

    name: ClassVar[str]
    spiders: ClassVar[Sequence[str]]
    """The names of the spiders that read it."""

    kinds: ClassVar[Sequence[Kind]]
    """Its kinds of rows, in the order of writing: data before the state that describes it."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self: ...

    # --- items on their way to the store

    def accept(self, item: Any) -> str | None:
        """Record an item that goes to the store. Returns the name under which it is counted (`items/NAME`), or None if
        it changes nothing."""

    def committed(self, item: Any) -> None:
        """An item was stored."""

    def reject(self, item: Any) -> None:
        """The inverse of `accept`: an item could not be stored."""

    def describe(self, item: Any) -> None:
        """Fill the columns that are computed from `raw`. An exception affects only this item."""

    # --- messages for users

    def counts(self, spider: str) -> Mapping[str, str]:
        """The stats of what a crawl has collected, with the noun for what each counts: `{"items/post": "post"}`."""

    def cost(self) -> str:
        """The cost of a crawl besides requests and bytes, as a text; empty for none."""

    def numbers(self) -> Sequence[str]:
        """What it tells of a running crawl besides, one text for each kind of numbers."""

    def boards(self) -> Iterable[BoardProgress]:
        """The boards that the crawl follows, with their lag."""

    attention: ClassVar[Mapping[str, str]]
    """Stats for the lines "attention" of the summary, with what each counts."""


class BaseSource:
    """A source that does not record what is stored, so that each item counts as new."""

    spiders: ClassVar[Sequence[str]] = ()
    kinds: ClassVar[Sequence[Kind]] = ()
    attention: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls()

    def accept(self, item: Any) -> str | None:
        return type(item).__name__.lower()

    def committed(self, item: Any) -> None:
        pass

    def reject(self, item: Any) -> None:
        pass

    def describe(self, item: Any) -> None:
        pass

    def numbers(self) -> Sequence[str]:
        return ()

    def boards(self) -> Iterable[BoardProgress]:
        return ()

    def counts(self, spider: str) -> Mapping[str, str]:
        return {f"items/{kind.name}": kind.name for kind in self.kinds}

    def cost(self) -> str:
        return ""


class Sources(PerCrawl):
    """The extension that has the sources of a crawl."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.session = Session.of(crawler)
        self.all: list[Source] = [source.from_crawler(crawler) for source in components(crawler.settings, "SOURCES")]
        self._by_item = {kind.item: source for source in self.all for kind in source.kinds}

    def of_item(self, item: Any) -> Source:
        return self._by_item[type(item)]

    def of_spider(self, spider: str) -> Source | None:
        """The source that a spider reads; None for a spider that reads none of them."""
        return next((source for source in self.all if spider in source.spiders), None)

    def committed(self, batch: Sequence[Any]) -> None:
        """The items of a batch were stored."""
        sources = self._by_item
        for item in batch:
            sources[type(item)].committed(item)

    def reject(self, item: Any) -> None:
        """An item could not be stored. State that waits for it is held back; see storage/held_back.py."""
        self.session.held_back.missed(item)
        self.of_item(item).reject(item)
