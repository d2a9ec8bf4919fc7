"""What was removed and must not be stored again: the tombstones, and what they keep out of a batch.

A tombstone is a keyed hash. A number, a tripcode or a name could be found from a plain hash within minutes, by trying
them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from secrets import token_hex
from typing import Any

from chancrawl.storage.kinds import Kinds, Subject

KEYS = "SELECT key, changes FROM tombstone_keys ORDER BY key"
ACTIVE = "SELECT mark, kind FROM tombstones WHERE NOT is_lifted"
CHANGED = "UPDATE tombstone_keys SET changes = changes + 1"
"""Lets everybody read the tombstones again."""

MOST_KNOWN = 200_000
"""Subjects whose answer is remembered."""


def new_key() -> str:
    return token_hex(32)


def mark_of(key: str, subject: Subject) -> str:
    """The tombstone of something.

    >>> mark_of("00" * 32, ("post", "po/570368")) == mark_of("01" * 32, ("post", "po/570368"))
    False
    """
    return blake2b("\n".join(subject).encode(), key=bytes.fromhex(key), digest_size=16).hexdigest()


class Left:
    """What is left of a batch: `items` as they may be stored, `given` as they were, and the `removed` ones."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.batch = items
        self.items: Sequence[Any] = items
        self.given: dict[int, Any] = {}
        self.removed: list[Any] = []

    @property
    def is_all(self) -> bool:
        return self.items is self.batch


class Forgotten:
    """The tombstones of a store, as they were read last."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.keys: list[str] = []
        self.marks: frozenset[str] = frozenset()
        self._of: frozenset[str] = frozenset()  # the kinds of subjects
        self._changes: list[Any] | None = None
        self._known: dict[Subject, bool] = {}
        self._last: Left | None = None

    def refresh(self, query: Callable[[str], list[Any]]) -> None:
        """Read the tombstones, if they have changed. `query` returns the rows of a query."""
        changes = query(KEYS)
        if changes != self._changes:
            rows = query(ACTIVE) if changes else []
            self.keys = [key for key, _ in changes]
            self.marks, self._of = frozenset(mark for mark, _ in rows), frozenset(kind for _, kind in rows)
            self._changes, self._known, self._last = changes, {}, None

    def has(self, subject: Subject) -> bool:
        """Whether it was removed."""
        if subject[0] not in self._of:
            return False
        found = self._known.get(subject)
        if found is None:
            if len(self._known) > MOST_KNOWN:
                self._known = {}
            found = self._known[subject] = bool(self.marks_of(subject))
        return found

    def marks_of(self, subject: Subject) -> list[str]:
        """Its tombstones."""
        return [mark for key in self.keys if (mark := mark_of(key, subject)) in self.marks]

    def left_of(self, items: Sequence[Any]) -> Left:
        """What is left of a batch without what was removed, and without what it says of that."""
        last = self._last
        if last is not None and last.batch is items:
            return last
        left = Left(items)
        if self.marks:
            found = []
            for item in items:
                kind = self.kinds.of(item)
                if self._of.isdisjoint(kind.about):
                    found.append(item)
                elif (new := kind.left(item, self.has)) is None:
                    left.removed.append(item)
                else:
                    found.append(new)
                    if new is not item:
                        left.given[id(new)] = item
            if left.removed or left.given:
                left.items = found
        self._last = left
        return left

    def left(self, items: Sequence[Any]) -> Sequence[Any]:
        """The items that are left of a batch. The same object if all stays."""
        return self.left_of(items).items
