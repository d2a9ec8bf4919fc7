"""What was removed and must not be stored again: the tombstones, and what they keep out of a batch.

A tombstone is a keyed hash. A number, a tripcode or a name could be found from a plain hash within minutes, by trying
them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from secrets import token_hex
from typing import Any

from chancrawl.storage.kinds import Kinds, Subject

KEY = "SELECT key, changes FROM tombstone_keys"
MARKS = "SELECT mark FROM tombstones"


def new_key() -> str:
    return token_hex(32)


def mark_of(key: str, subject: Subject) -> str:
    """The tombstone of something.

    >>> mark_of("00" * 32, ("post", "po/570368")) == mark_of("01" * 32, ("post", "po/570368"))
    False
    """
    return blake2b("\n".join(subject).encode(), key=bytes.fromhex(key), digest_size=16).hexdigest()


class Forgotten:
    """The tombstones of a store, as they were read last."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.key = ""
        self.changes = 0
        self.marks: frozenset[str] = frozenset()

    def refresh(self, query: Callable[[str], list[Any]]) -> None:
        """Read the tombstones, if they have changed. `query` returns the rows of a query."""
        rows = query(KEY)
        key, changes = rows[0] if rows else ("", 0)
        if (key, changes) != (self.key, self.changes):
            self.marks = frozenset(mark for (mark,) in query(MARKS))
            self.key, self.changes = key, changes

    def has(self, subject: Subject) -> bool:
        """Whether it was removed."""
        return bool(self.marks) and mark_of(self.key, subject) in self.marks

    def left(self, items: Sequence[Any]) -> Sequence[Any]:
        """Items without those that were removed, and without what they say of others. The same object if all stays."""
        if not self.marks:
            return items
        found = [new for new, _ in self.pairs(items)]
        is_same = len(found) == len(items) and all(new is old for new, old in zip(found, items, strict=True))
        return items if is_same else found

    def pairs(self, items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Each item that is left, as it may be stored and as it was."""
        for item in items:
            kind = self.kinds.of(item)
            if not any(map(self.has, kind.subjects(item))):
                yield kind.without(item, self.has), item
