"""What an index of words is: the protocol of both stores' indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

from chancrawl.find.terms import Term
from chancrawl.find.texts import Texts

Words = Sequence[tuple[str, bool]]
"""Words as the index has them, and whether they are only the beginnings of words."""

Progress = Callable[[str, int], object]
"""Is told the table and the number of its rows that are indexed by now."""


class Index(Protocol):
    """An index of the words of posts. It is optional; the store keeps it in the transaction of each write."""

    def is_complete(self) -> bool:
        """Whether it exists and has all posts."""

    def size(self) -> int:
        """Its bytes."""

    def build(self, progress: Progress) -> None:
        """Build it, while crawls go on writing. An interrupted building is completed."""

    def drop(self) -> None: ...

    def tokens(self, text: str) -> list[str]:
        """The words of a text, as the index has them, in no order."""

    def rows(
        self, texts: Texts, words: Words, places: Sequence[str] | None, since: datetime | None, until: datetime | None
    ) -> Iterator[Any]:
        """The rows that have all words, newest first. Some may lie outside of the stretch."""


def words_of(index: Index, terms: Sequence[Term]) -> Words:
    """The words of all terms that an index can find."""
    parts = [part for term in terms if term.is_indexed for part in term.parts]
    return [(word, is_prefix) for text, is_prefix in parts if text for word in index.tokens(text)]
