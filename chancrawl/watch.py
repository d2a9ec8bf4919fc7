"""What an answer means to a crawl that follows boards: items for the store, and news for the agenda. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from chancrawl import fourchan
from chancrawl.agenda import ARCHIVE_KEEPS, NEVER, Agenda, Ask, BoardWatch, Rate, Watched, place
from chancrawl.changes import Changes, Held, Look, compare, deletions_of_thread, fate
from chancrawl.fourchan import IndexEntry, Malformed, Page
from chancrawl.items import Board, Item, Poll, Post, Thread
from chancrawl.passing import archived_threads_due

POLLS_EVERY = 30.0
"""Seconds between two rows of board_polls, at the least."""


@dataclass(slots=True)
class Found:
    """What an answer brought: items in the order in which they are to be stored, and what in it could not be read."""

    items: list[Item] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_believed: bool = True
    """False for an index with far fewer threads than it had: it never means that the others are gone."""


class Watch:
    """A board being followed. `held` gives what is held of a thread, items on their way to the store included."""

    def __init__(self, board: Board, agenda: Agenda, held: Callable[[int], Held]) -> None:
        self.board = board
        self.agenda = agenda
        self.held = held
        capacity = (board.pages or 10) * (board.per_page or 15)
        self.state = BoardWatch(board.board, capacity, board.per_page or 15, board.has_archive)
        self.newest_thread = 0
        self._births_at = 0.0
        self._poll = Poll(board.board, datetime.fromtimestamp(0, UTC), None, 0, 0, None)  # the row that is gathering
        self._looked_at: datetime | None = None
        self._shown: dict[str, dict[int, int]] = {}  # by file: a fingerprint of what it showed last of each thread
        agenda.add(self.state)

    # --- index files

    def news(self, ask: Ask, entries: Mapping[int, IndexEntry]) -> list[int]:
        """The threads of which a file shows something that it did not show before, apart from their places."""
        shown = self._shown.get(ask.what, {})
        return [no for no, e in entries.items() if no not in self.state.threads or shown.get(no) != fingerprint(e)]

    def index(
        self, ask: Ask, entries: Mapping[int, IndexEntry], news: Collection[int], look: Look, now: float, size: int
    ) -> Found:
        """Of threads.json, the catalog or a page; `news` are the threads to look at."""
        found = Found()
        state, at = self.state, look.at.timestamp()
        is_complete = ask.what in ("catalog", "threads")
        is_first = state.shown_at(ask.what) == NEVER
        if is_complete and 2 * len(entries) < min(len(state.threads), state.capacity):
            found.is_believed = False
            self.agenda.failed(ask, now)
            return found
        seen: list[tuple[int, Changes, Page | None]] = []
        shown = self._shown.setdefault(ask.what, {})
        for entry in entries.values():
            if entry.no not in news:
                self._still(entry, at)
                continue
            try:
                seen.append((entry.position, *self._look(entry, look, found)))
                shown[entry.no] = fingerprint(entry)
            except Malformed as error:
                found.problems.append(f"thread {entry.no}: {error}")
        self._tell_gain(ask, seen, at, is_first)
        self._tell_births(entries, at)
        upto = None if look.upto is None else look.upto.timestamp()
        self.agenda.read(ask, now, at, upto, size)
        if is_complete:
            self._tell_gone(entries, at)
        found.items += self._look_noted(look)
        return found

    def unchanged(self, ask: Ask, look: Look, now: float) -> list[Item]:
        """An index file was answered 304."""
        at = look.at.timestamp()
        upto = None if look.upto is None else look.upto.timestamp()
        file = self.state.files[ask.what]
        if file.shown_at != NEVER:
            self.agenda.gained(ask, 0, max(at - self.state.shown_at(ask.what), 0.0))
        self.agenda.read(ask, now, at, upto, None)
        return self._look_noted(look)

    def _look_noted(self, look: Look) -> list[Item]:
        """A `Poll` now and then: the account of when somebody was watching."""
        before, poll = self._looked_at, self._poll
        self._looked_at = look.at
        poll.looks += 1
        if before is not None:
            poll.longest_gap = max(poll.longest_gap or 0.0, (look.at - before).total_seconds())
            if (look.at - poll.polled_at).total_seconds() < POLLS_EVERY:
                return []
        live = sum(thread.gone_at is None for thread in self.state.threads.values())
        newest = self.state.newest_no or None
        self._poll = Poll(self.board.board, look.at, None, 0, 0, None)
        return [replace(poll, polled_at=look.at, newest_no=newest, threads=live)]

    def _still(self, entry: IndexEntry, at: float) -> None:
        """A thread is shown just as before."""
        thread = self.state.threads[entry.no]
        thread.position, thread.shown_at = entry.position, at
        if thread.gone_at is not None:
            thread.gone_at = None
            self.agenda.owe(self.state, thread)

    def _look(self, entry: IndexEntry, look: Look, found: Found) -> tuple[Changes, Page | None]:
        held = self.held(entry.no)
        if entry.raw is None:
            changes, page = self._count(entry, held, look), None
        else:
            page = fourchan.glimpse(entry, self.board.board)
            found.problems += page.problems
            page.thread.position = entry.position
            changes = compare(held, page, look)
            found.items += changes.items
        thread = self.state.threads.get(entry.no)
        if thread is None:
            thread = self.state.threads[entry.no] = Watched(entry.no)
            thread.backlog = changes.missing
        elif entry.replies is not None and not changes.is_stale:
            grown = max(entry.replies - thread.replies, 0)
            self.state.profile[place(thread.position)].count(grown, max(look.at.timestamp() - thread.shown_at, 0.0))
        thread.position = entry.position
        thread.replies = entry.replies or thread.replies
        thread.gone_at = None
        thread.modified = float(entry.last_modified or 0)
        if page is not None:
            if page.thread.last_modified is not None:
                thread.modified = page.thread.last_modified.timestamp()
            thread.has_tail = bool(page.thread.tail_size)
            times = [raw["time"] for no, raw in page.posts.items() if no != entry.no]
            seconds = max(look.at.timestamp() - min(times), 1.0) if times else 0.0
            thread.rate = Rate(len(times), seconds)(prior=self.state.profile[place(entry.position)](0.0))
        self._owe(thread, changes, look)
        return changes, page

    def _count(self, entry: IndexEntry, held: Held, look: Look) -> Changes:
        """threads.json tells how many replies there are, not which."""
        changes = Changes(is_stale=held.as_of is not None and look.upto is not None and look.upto < held.as_of)
        if held.thread is None:
            changes.missing = 1 + (entry.replies or 0)
        elif entry.replies is not None and not changes.is_stale and not fourchan.sheds(held.thread):
            changes.missing = max(0, entry.replies - held.replies())
            changes.excess = max(0, held.replies() - entry.replies)
        return changes

    def _owe(self, thread: Watched, changes: Changes, look: Look, is_read: bool = False) -> None:
        """What is owed of a thread after a look at it; `is_read` if it was asked for itself."""
        at = look.at.timestamp()
        if changes.is_stale:
            new = sum(isinstance(item, Post) and item.revision == 1 for item in changes.items)
            thread.missing = max(0, thread.missing - new)
        else:
            if not (thread.missing or thread.excess or thread.doubtful):
                thread.owed_at = at
            thread.missing, thread.excess = changes.missing, changes.excess
            thread.doubtful = changes.doubtful or (thread.doubtful and not is_read)
            thread.shown_at = at
        thread.backlog = min(thread.backlog, thread.missing)
        self.agenda.owe(self.state, thread)

    def archive(
        self, ask: Ask, listed: list[int], held: Mapping[int, Thread], look: Look, now: float, size: int
    ) -> list[Item]:
        """Of archive.json; `held` are the live and archived threads of the board, by number."""
        old = {no: thread for no, thread in held.items() if thread.fate == "archived"}
        if 2 * len(listed) < len(old):
            self.agenda.failed(ask, now)
            return []
        due = archived_threads_due(listed, held)
        self.agenda.archived(self.state, [no for no in reversed(due) if no not in self.state.threads], now)
        self.agenda.read(ask, now, look.at.timestamp(), None, size)
        return [replace(thread, fate="pruned", gone_at=look.at) for no, thread in old.items() if no not in set(listed)]

    # --- what the agenda learns from an index

    def _tell_gain(self, ask: Ask, seen: Iterable[tuple[int, Changes, Page | None]], at: float, is_first: bool) -> None:
        """How many posts each part of the board had that no other file had shown before."""
        state = self.state
        parts = {"1": 0, "2": 0, "catalog": 0, "threads": 0}
        numbers: dict[int, int] = {}
        for position, changes, page in seen:
            new = sum(isinstance(item, Post) and item.revision == 1 for item in changes.items)
            if page is None:
                parts["threads"] += changes.missing + changes.excess
                continue
            numbers |= {no: raw["time"] for no, raw in page.posts.items()}
            parts["1" if position < state.per_page else "2" if position < 2 * state.per_page else "catalog"] += new
        parts["catalog"] += parts["2"]
        for what in ("catalog", "1", "2") if ask.what == "catalog" else (ask.what,):
            if not is_first and state.shown_at(what) != NEVER:
                file = Ask(ask.board, what)
                self.agenda.gained(file, parts[what], max(at - state.shown_at(what), 0.0))
        if numbers:
            if not state.newest_no:
                state.pace.count(*pace_of(numbers, at))
            self.agenda.numbered(state, max(numbers), at)

    def _tell_births(self, entries: Mapping[int, IndexEntry], at: float) -> None:
        newest = max(entries, default=0)
        if newest > self.newest_thread:
            if self.newest_thread:
                born = sum(no > self.newest_thread for no in entries)
                self.state.births.count(born, max(at - self._births_at, 0.0))
            self.newest_thread, self._births_at = newest, at

    def _tell_gone(self, entries: Mapping[int, IndexEntry], at: float) -> None:
        for no, thread in self.state.threads.items():
            if no not in entries and thread.gone_at is None:
                thread.gone_at = at
                self.agenda.owe(self.state, thread)
        for prints in self._shown.values():
            for no in [no for no in prints if no not in entries]:
                del prints[no]

    # --- threads

    def resume(self, threads: Iterable[Thread]) -> None:
        """Threads that were live when the crawl ended; those that the first index does not have are gone."""
        for thread in threads:
            if thread.fate == "live":
                watched = self.state.threads[thread.no] = Watched(thread.no, replies=thread.replies or 0)
                watched.position = thread.position or 0

    def is_worth_another_try(self, ask: Ask, most: int) -> bool:
        """Whether a thread read only in part is to be asked for again: a torn page is whole later."""
        thread = self.state.threads.get(ask.no)
        return thread is not None and thread.failures < most

    def thread(self, ask: Ask, page: Page, look: Look, now: float) -> Found:
        """Of a thread's own page, or its tail."""
        found = Found(problems=list(page.problems))
        held = self.held(ask.no)
        thread = self.state.threads.get(ask.no)
        if thread is not None:
            page.thread.position = thread.position
        changes = compare(held, page, look)
        found.items = list(changes.items)
        self.agenda.answered(ask, now, look.at.timestamp())
        if thread is None:
            return found
        if page.thread.fate == "archived":
            self._forget(ask.no)
            return found
        thread.replies = page.thread.replies or thread.replies
        thread.gone_at = None
        if ask.what == "tail":
            thread.has_tail = changes.is_settled  # else the whole page has to tell
        self._owe(thread, changes, look, is_read=True)
        return found

    def thread_unchanged(self, ask: Ask, look: Look, now: float) -> list[Item]:
        """A thread's page, or its tail, was answered 304."""
        self.agenda.answered(ask, now, look.at.timestamp())
        thread = self.state.threads.get(ask.no)
        held = self.held(ask.no).thread
        if thread is None or held is None:
            return [] if held is None or held.fate == "archived" else [replace(held, fate="archived")]
        if thread.gone_at is not None and held.archived_at is not None:
            self._forget(ask.no)
            return [replace(held, fate="archived")]
        if thread.is_owed:  # the copy is older than the index that spoke of news
            self.agenda.failed(ask, now)
        thread.gone_at = None
        thread.shown_at = look.at.timestamp()
        self.agenda.owe(self.state, thread)
        return []

    def thread_gone(self, ask: Ask, look: Look, now: float) -> list[Item]:
        """A thread's page was answered 404: gone, unless an index still lists it."""
        self.agenda.answered(ask, now, look.at.timestamp())
        thread = self.state.threads.get(ask.no)
        held = self.held(ask.no)
        if thread is not None and thread.gone_at is None:
            if ask.what == "tail":
                thread.has_tail = False
            else:
                self.agenda.failed(ask, now)
            return []
        self._forget(ask.no)
        if held.thread is None or held.thread.fate in ("pruned", "deleted"):
            return []
        items: list[Item] = []
        if thread is None or held.thread.fate == "archived":
            became = "pruned"  # it was in the archive
        else:
            became = self._fate(replace(held.thread, position=thread.position), held, look.at)
        if became == "deleted":
            items += deletions_of_thread(held, look.at)
        last_seen_at = held.seen_at or held.thread.last_seen_at
        return [*items, replace(held.thread, fate=became, gone_at=look.at, last_seen_at=last_seen_at)]

    def _fate(self, thread: Thread, held: Held, at: datetime) -> str:
        seen = (held.seen_at or thread.last_seen_at or at).timestamp()
        if self.state.has_archive and at.timestamp() - seen < ARCHIVE_KEEPS / 2:
            return "deleted"  # had it fallen off, it would be in the archive
        bumped = sum(other.modified > seen for other in self.state.threads.values())
        return fate(thread, bumped, min(self.state.capacity, len(self.state.threads)))

    def _forget(self, no: int) -> None:
        thread = self.state.threads.pop(no, None)
        if thread is not None:
            thread.missing = thread.excess = 0
            thread.doubtful, thread.gone_at = False, None
            self.agenda.owe(self.state, thread)


def fingerprint(entry: IndexEntry) -> int:
    """A number that changes with whatever an index shows of a thread, except its place."""
    return fourchan.fingerprint([entry.last_modified, entry.replies, entry.raw])


def pace_of(numbers: Mapping[int, int], at: float) -> tuple[int, float]:
    """How many posts were made in how many seconds of late, from the numbers and times of some of them."""
    newest = max(numbers)
    recent = {no: time for no, time in numbers.items() if at - 600 <= time <= at}
    first = min(recent or {newest: numbers[newest]})
    if first == newest:
        first = max((no for no in numbers if no != newest), default=newest)
    return newest - first, max(at - numbers[first], 1.0)
