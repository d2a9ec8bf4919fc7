"""State that waits because a row it speaks of did not arrive. Sans I/O.

State is never ahead of the data, whatever the reason that a row did not arrive: rejected by the store, dropped by a
trigger, or set aside because of an exception. So the state of its thread, board or feed is not stored, and the next run
asks again for what is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from threading import Lock

from chancrawl.items import STATE, Account, Board, Deletion, Feed, Gap, Handle, Item, Post, Thread, Tweet, Validator

Key = tuple[Hashable, ...]


class HeldBack:
    """Which rows did not arrive, and what state must wait for them."""

    def __init__(self) -> None:
        self._lock = Lock()  # the reactor's thread and the store's
        self._missing: defaultdict[Key, set[Key]] = defaultdict(set)  # by what waits: the rows it waits for

    def __bool__(self) -> bool:
        return bool(self._missing)

    def missed(self, item: Item, is_kept: bool = False) -> None:
        """A row did not arrive. `is_kept`: it was in the quarantine before this reading.

        A feed of X does not wait for a post that is kept there: each time that it is read again costs more.
        """
        if is_kept and isinstance(item, Tweet):
            self.arrived([item])
            return
        with self._lock:
            for waiting in _waiting_for(item):
                self._missing[waiting].add(_key_of(item))

    def arrived(self, items: Iterable[Item]) -> None:
        """Rows are stored: some of them may have been missing."""
        if not self._missing:
            return
        with self._lock:
            for item in items:
                for waiting in _waiting_for(item):
                    if waiting in self._missing:
                        self._missing[waiting].discard(_key_of(item))
                        if not self._missing[waiting]:
                            del self._missing[waiting]

    def waits(self, item: Item) -> bool:
        """Whether an item is state that must not be stored yet."""
        return bool(self._missing) and type(item) in STATE and any(key in self._missing for key in _of_state(item))


def _key_of(item: Item) -> Key:
    match item:
        case Post():
            return "post", item.board, item.no  # any version of it that is stored will do
        case Deletion():
            return "deletion", item.board, item.no
        case Thread():
            return "thread", item.board, item.no
        case Board():
            return "board", item.board
        case Tweet() | Account():
            return type(item).__name__, item.id
        case Gap():
            return "gap", item.feed, item.before_id
    return (repr(item),)


def _waiting_for(item: Item) -> list[Key]:
    """What must wait while an item has not arrived."""
    match item:
        case Post() | Deletion():
            return [("thread", item.board, item.thread_no), ("index", item.board)]
        case Thread():
            return [("index", item.board)]
        case Board():
            return [("index", "boards.json")]
        case Tweet():
            return [("feed", feed) for feed in item.found_in]
        case Account():
            return [("account", item.id), ("feed", f"timeline:{item.id}")]
        case Gap():
            return [("feed", item.feed)]
    return []


def _of_state(item: Item) -> list[Key]:
    """The names under which state is waited for."""
    match item:
        case Thread():
            return [("thread", item.board, item.no)]
        case Validator():
            return [("index", item.path.strip("/").partition("/")[0])]
        case Handle():
            return [("account", item.account_id)]
        case Feed():
            return [("feed", item.feed)]
    return []
