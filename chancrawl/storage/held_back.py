"""State that is held back, because a row that it describes was not stored. Sans I/O.

State is never ahead of the data. If a row was not stored (rejected by the store, dropped by a trigger, or set aside
because of an exception), the state of its thread, board or feed is not stored either. Then the next run requests the
missing data again. Each `Kind` declares which state describes which rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from threading import Lock
from typing import Any

from chancrawl.storage.kinds import Key, Kinds


class HeldBack:
    """The rows that are missing, and the state that waits for them."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self._lock = Lock()  # the reactor's thread and the store's thread both use it
        self._missing: defaultdict[Key, set[Key]] = defaultdict(set)  # by waiting state: the rows that it waits for

    def __bool__(self) -> bool:
        return bool(self._missing)

    def missed(self, item: Any, is_kept: bool = False) -> None:
        """A row was not stored. `is_kept`: it was in the quarantine before this reading.

        State that costs money to read again does not wait for a row that is kept there.
        """
        kind = self.kinds.of(item)
        if is_kept and kind.is_paid:
            self.arrived([item])
            return
        with self._lock:
            for waiting in kind.keeps_waiting(item):
                self._missing[waiting].add(kind.key_of(item))

    def arrived(self, items: Iterable[Any]) -> None:
        """Rows were stored. State no longer waits for them."""
        if not self._missing:
            return
        with self._lock:
            for item in items:
                kind = self.kinds.of(item)
                for waiting in kind.keeps_waiting(item):
                    if waiting in self._missing:
                        self._missing[waiting].discard(kind.key_of(item))
                        if not self._missing[waiting]:
                            del self._missing[waiting]

    def waits(self, item: Any) -> bool:
        """Whether an item is state that must not be stored yet."""
        if not self._missing or type(item) not in self.kinds.state:
            return False
        return any(key in self._missing for key in self.kinds.of(item).waits_as(item))
