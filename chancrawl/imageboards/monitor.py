"""Turns each answer about a followed board into items for the store and updates of the frontier. Sans I/O.

*Flow:* index file: `changed_threads` → `index` calls `_observe` for each of them (`Site.glimpse` → `compare`), counts
what the file gained, and marks the threads that it no longer lists (`_mark_gone`). Thread: `thread` → `compare` →
`TrackedThread.compared`; what is still missing is pending in the frontier. 404: `thread_gone` → `_fate` → `ended`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from chancrawl.imageboards.board_state import FRESH, IMPLAUSIBLE, NEVER, BoardState, TrackedThread
from chancrawl.imageboards.diff import Changes, Observation, StoredThread, compare
from chancrawl.imageboards.frontier import Fetch, Frontier
from chancrawl.imageboards.lifecycle import (
    Plausibility,
    bumped_since,
    capacity,
    ended,
    fate,
    left_archive,
    tells_what_is_gone,
)
from chancrawl.imageboards.pace import pace_of
from chancrawl.imageboards.pages import IndexEntry, Page, is_rolling_sticky, utc
from chancrawl.imageboards.pass_plan import archived_threads_due
from chancrawl.imageboards.polls import PollRows
from chancrawl.imageboards.site import Site
from chancrawl.items import Board, Deletion, Item, Thread
from chancrawl.payload import Malformed

FORGOTTEN = 600.0
"""Seconds for which an index that lists a thread that is gone counts as an older copy."""

PATIENCE = 3
"""After this many readings, posts that are still missing count as not on the site."""


@dataclass(slots=True)
class Found:
    """The result of an answer: items in the order in which to store them, and what could not be read."""

    items: list[Item] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_plausible: bool = True
    """False for an index with far fewer threads than before. It does not mean that the others are gone."""


class Monitor:
    """A board that is followed. `stored` returns the stored state of a thread, with items on their way to the store."""

    def __init__(self, site: Site, board: Board, frontier: Frontier, stored: Callable[[int], StoredThread]) -> None:
        self.site = site
        self.board = board
        self.frontier = frontier
        self.stored = stored
        self.state = BoardState(board.board, capacity(board), board.per_page or 15, board.has_archive)
        self.newest_thread = 0
        self._births_at = 0.0
        self.polls = PollRows(board.board)
        self.plausibility = Plausibility()
        self._shown: dict[str, dict[int, int]] = {}  # by file and thread: a fingerprint of what it showed last
        frontier.add(self.state)

    # --- index files

    def changed_threads(self, fetch: Fetch, entries: Mapping[int, IndexEntry]) -> list[int]:
        """The threads of which a file shows something new, apart from their positions."""
        shown = self._shown.get(fetch.what, {})
        return [no for no, e in entries.items() if no not in self.state.threads or shown.get(no) != e.fingerprint]

    def index(
        self,
        fetch: Fetch,
        entries: Mapping[int, IndexEntry],
        changed: Collection[int],
        seen_in: Observation,
        now: float,
        size: int,
        problems: Sequence[str] = (),
    ) -> Found:
        """Process threads.json, the catalog or a page. `changed`: threads to compare; `problems`: entries left out."""
        found = Found(problems=list(problems))
        self.frontier.synchronise(now, seen_in.at.timestamp())
        state, at = self.state, seen_in.at.timestamp()
        is_complete = fetch.what in ("catalog", "threads")
        is_first = state.shown_at(fetch.what) == NEVER
        before = state.file(fetch.what).modified
        upto = None if seen_in.upto is None else seen_in.upto.timestamp()
        seen: list[tuple[int, Changes, Page | None]] = []
        shown = self._shown.setdefault(fetch.what, {})
        for entry in entries.values():
            if now - state.forgotten.get(entry.no, NEVER) < FORGOTTEN / self.frontier.clock.speed:
                continue  # an older copy: it is gone
            if entry.no not in changed:
                self._still(entry, at, upto)
                continue
            try:
                seen.append((entry.position, *self._observe(entry, seen_in, found)))
                shown[entry.no] = entry.fingerprint
            except Malformed as error:
                found.problems.append(f"thread {entry.no}: {error}")
        self._count_gain(fetch, entries, seen, at, is_first)
        self._count_births(entries, at)
        self.frontier.read(fetch, now, at, upto, size, oldest_new_post(seen, before))
        if is_complete and tells_what_is_gone(len(entries), len(problems)):
            live = sum(thread.gone_at is None for thread in state.threads.values())
            found.is_plausible = self.plausibility.accepts("index", len(entries), min(live, state.capacity), seen_in)
            if found.is_plausible:
                self._mark_gone(entries, at)
        found.items += self._poll(seen_in)
        return found

    def unchanged(self, fetch: Fetch, seen_in: Observation, now: float) -> list[Item]:
        """An index file was answered 304."""
        at = seen_in.at.timestamp()
        upto = None if seen_in.upto is None else seen_in.upto.timestamp()
        file = self.state.file(fetch.what)
        if file.shown_at != NEVER:
            file.found.count(0, max(at - self.state.shown_at(fetch.what), 0.0))
        self.frontier.read(fetch, now, at, upto, None)
        return self._poll(seen_in)

    def _poll(self, seen_in: Observation) -> list[Item]:
        live = sum(thread.gone_at is None for thread in self.state.threads.values())
        return self.polls.observed(seen_in.at, self.state.newest_no or None, live)

    def _still(self, entry: IndexEntry, at: float, upto: float | None) -> None:
        """A thread is listed as before, apart from its position."""
        thread = self.state.threads[entry.no]
        thread.shown(at)
        if thread.listed(entry.position, at if upto is None else upto):
            self.frontier.mark_pending(self.state, thread)

    def _observe(self, entry: IndexEntry, seen_in: Observation, found: Found) -> tuple[Changes, Page | None]:
        stored = self.stored(entry.no)
        if entry.raw is None:
            changes, page = self._count(entry, stored, seen_in), None
        else:
            page = self.site.glimpse(entry, self.board.board)
            found.problems += page.problems
            page.thread.position = entry.position
            changes = compare(stored, page, seen_in)
            found.items += changes.items
        thread = self.state.threads.get(entry.no)
        if thread is None:
            thread = TrackedThread(entry.no, shown_at=seen_in.at.timestamp(), backlog=changes.missing)
            self.state.threads[entry.no] = thread
        elif entry.replies is not None and not changes.is_stale:
            self.state.grew(thread, entry.replies, seen_in.at.timestamp())
        thread.listed(entry.position, (seen_in.upto or seen_in.at).timestamp())
        thread.described(entry.replies, float(entry.last_modified or 0))
        if page is not None:
            modified = page.thread.last_modified
            thread.described(None, None if modified is None else modified.timestamp(), bool(page.thread.tail_size))
            self.state.replied(thread, page.reply_times, seen_in.at.timestamp())
        thread.compared(changes, seen_in.at.timestamp())
        self.frontier.mark_pending(self.state, thread)
        return changes, page

    def _count(self, entry: IndexEntry, stored: StoredThread, seen_in: Observation) -> Changes:
        """The changes from an entry of threads.json, which has the number of replies and not the replies."""
        changes = Changes(is_stale=stored.is_newer_than(seen_in))
        if stored.thread is None:
            changes.missing = 1 + (entry.replies or 0)
        elif entry.replies is None or is_rolling_sticky(stored.thread, self.site.sticky_replies):
            changes.is_stale = True  # the count proves nothing
        elif not changes.is_stale:
            balance = entry.replies - stored.unaccounted - stored.replies(entry.no)
            changes.missing, changes.excess = max(0, balance), max(0, -balance)
        return changes

    def archive(
        self,
        fetch: Fetch,
        listed: list[int],
        stored: Mapping[int, Thread],
        seen_in: Observation,
        now: float,
        size: int,
        problems: Sequence[str] = (),
    ) -> Found:
        """Process archive.json. `stored` are the live and archived threads of the board, by number."""
        old = {no: thread for no, thread in stored.items() if thread.fate == "archived"}
        if not self.plausibility.accepts("archive", len(listed), len(old), seen_in):
            self.frontier.failed(fetch, now)
            return Found(is_plausible=False)
        due = archived_threads_due(listed, stored)
        for no in listed:
            if no in self.state.threads:
                self.state.threads[no].is_archived = True
        found = Found()
        self.state.left_archive.clear()
        if tells_what_is_gone(len(listed), len(problems)):
            there = set(listed)
            for no, thread in old.items():
                if no in there:
                    continue
                if left_archive(thread, listed, old) == "deleted":
                    self.state.left_archive.add(no)  # if its own page is 404 too
                elif not problems:
                    found.items.append(replace(thread, fate="pruned", gone_at=seen_in.at))
        to_read = [*sorted(self.state.left_archive), *(no for no in reversed(due) if no not in self.state.threads)]
        self.frontier.archived(self.state, to_read, now)
        self.frontier.read(fetch, now, seen_in.at.timestamp(), None, size)
        return found

    # --- what the frontier learns from an index

    def _count_gain(
        self,
        fetch: Fetch,
        entries: Mapping[int, IndexEntry],
        seen: Iterable[tuple[int, Changes, Page | None]],
        at: float,
        is_first: bool,
    ) -> None:
        """Count the posts of each part of the board that no other file had shown before."""
        state = self.state
        parts = {"1": 0, "2": 0, "catalog": 0, "threads": 0}
        numbers: dict[int, int] = {}
        limit = sorted(entries)[len(entries) // 2] + IMPLAUSIBLE if entries else 0
        for position, changes, page in seen:
            if page is None:
                parts["threads"] += changes.missing + changes.excess
                continue
            numbers |= {no: raw["time"] for no, raw in page.posts.items() if no < limit}
            part = "1" if position < state.per_page else "2" if position < 2 * state.per_page else "catalog"
            if fetch.what in state.spare_pages:
                part = fetch.what
            parts[part] = parts.get(part, 0) + len(changes.new_posts)
        parts["catalog"] += parts["2"]
        for what in ("catalog", "1", "2") if fetch.what == "catalog" else (fetch.what,):
            if not is_first and state.shown_at(what) != NEVER:
                state.file(what).found.count(parts.get(what, 0), max(at - state.shown_at(what), 0.0))
        self._count_moderation(changes for _, changes, _ in seen)
        if numbers:
            if not state.newest_no:
                state.pace.count(*pace_of(numbers, at))
            state.numbered(max(numbers), at)

    def _count_moderation(self, seen: Iterable[Changes]) -> None:
        fresh = deleted = 0
        for changes in seen:
            for post in changes.new_posts:
                fresh += post.last_seen_at is not None and (post.last_seen_at - post.posted_at).total_seconds() < FRESH
            for item in changes.items:
                if isinstance(item, Deletion) and item.deleted_at is not None and item.deletion_confirmed_at is None:
                    since = self.stored(item.thread_no).posts[item.no].first_seen_at or item.deleted_at
                    deleted += (item.deleted_at - since).total_seconds() < FRESH
        self.state.moderated(fresh, deleted)

    def _count_births(self, entries: Mapping[int, IndexEntry], at: float) -> None:
        newest = max(entries, default=0)
        if self.newest_thread < newest < self.newest_thread + IMPLAUSIBLE or not self.newest_thread:
            if self.newest_thread:
                born = sum(no > self.newest_thread for no in entries)
                self.state.births.count(born, max(at - self._births_at, 0.0))
            self.newest_thread, self._births_at = newest, at

    def _mark_gone(self, entries: Mapping[int, IndexEntry], at: float) -> None:
        for no, thread in self.state.threads.items():
            if no not in entries and thread.unlisted(at):
                self.frontier.mark_pending(self.state, thread)
        for prints in self._shown.values():
            for no in [no for no in prints if no not in entries]:
                del prints[no]

    # --- threads

    def resume(self, threads: Iterable[Thread]) -> None:
        """Add the threads that were live when the last crawl ended. The first index shows which are gone."""
        for thread in threads:
            if thread.fate == "live":
                seen = (thread.last_seen_at or thread.first_seen_at or datetime.fromtimestamp(0, UTC)).timestamp()
                self.state.threads[thread.no] = TrackedThread(
                    thread.no, thread.position or 0, thread.replies or 0, placed_at=seen, shown_at=seen
                )

    def is_worth_another_try(self, fetch: Fetch) -> bool:
        """Whether to request a thread again that was read only in part: a truncated page is whole later."""
        thread = self.state.threads.get(fetch.no)
        return thread is not None and thread.in_part < PATIENCE

    def read_in_part(self, fetch: Fetch) -> None:
        """A thread's page was read, and something is still missing."""
        if fetch.no in self.state.threads:
            self.state.threads[fetch.no].in_part += 1

    def thread(self, fetch: Fetch, page: Page, seen_in: Observation, now: float) -> Found:
        """Process a thread's own page, or its tail."""
        found = Found(problems=list(page.problems))
        self.frontier.synchronise(now, seen_in.at.timestamp())
        stored = self.stored(fetch.no)
        thread = self.state.threads.get(fetch.no)
        if thread is not None:
            page.thread.position = thread.position
        changes = compare(stored, page, seen_in, even_if_older=not self.is_worth_another_try(fetch))
        self._count_moderation([changes])
        found.items = list(changes.items)
        self.frontier.answered(fetch, now, seen_in.at.timestamp())
        self.frontier.settled(fetch)
        self.state.left_archive.discard(fetch.no)
        if thread is None:
            return found
        if page.thread.fate == "archived":
            self._forget(fetch.no)
            return found
        if page.thread.replies is not None and not changes.is_stale:
            self.state.grew(thread, page.thread.replies, seen_in.at.timestamp())
            thread.described(page.thread.replies, None)
            self.state.replied(thread, page.reply_times, seen_in.at.timestamp())
        if fetch.what == "tail" and not changes.is_settled:
            thread.tail_failed()
        thread.compared(changes, seen_in.at.timestamp(), is_own=True)
        self.frontier.mark_pending(self.state, thread)
        if thread.is_pending:  # an older copy, or the index does not list it but its page exists
            self.read_in_part(fetch)
            self.frontier.failed(fetch, now)
        return found

    def thread_unchanged(self, fetch: Fetch, seen_in: Observation, now: float) -> list[Item]:
        """A thread's page, or its tail, was answered 304."""
        self.frontier.answered(fetch, now, seen_in.at.timestamp())
        self.frontier.settled(fetch)
        self.state.left_archive.discard(fetch.no)
        thread = self.state.threads.get(fetch.no)
        stored = self.stored(fetch.no)
        if stored.thread is None:
            return []
        if thread is None or (thread.gone_at is not None and (thread.is_archived or stored.thread.archived_at)):
            self._forget(fetch.no)
            return [] if stored.thread.fate == "archived" else [replace(stored.thread, fate="archived")]
        thread.shown(seen_in.at.timestamp())
        if thread.is_pending:
            is_late = seen_in.at.timestamp() - thread.pending_since > 60
            if fetch.what == "thread" and thread.gone_at is None and is_late and thread.in_part >= PATIENCE:
                stored.unaccounted += thread.settle()
            else:  # a copy older than the index, or the index does not list it but its page exists
                if fetch.what == "tail":
                    thread.tail_failed()
                self.read_in_part(fetch)
                self.frontier.failed(fetch, now)
        self.frontier.mark_pending(self.state, thread)
        return []

    def thread_gone(self, fetch: Fetch, seen_in: Observation, now: float) -> list[Item]:
        """A thread's page was answered 404, or with a stub. It is gone, unless an index or the archive lists it."""
        self.frontier.answered(fetch, now, seen_in.at.timestamp())
        thread = self.state.threads.get(fetch.no)
        stored = self.stored(fetch.no)
        if thread is not None and thread.gone_at is None:
            if fetch.what == "tail":
                thread.tail_failed()
            self.frontier.failed(fetch, now)
            return []
        if fetch.no in self.state.left_archive:
            self.frontier.settled(fetch)
            self.state.left_archive.discard(fetch.no)
            return ended(stored, "deleted", seen_in.at, stored.last_seen_at or seen_in.at)
        if thread is None and self.frontier.not_there(fetch):
            return []
        self._forget(fetch.no)
        if thread is None or stored.thread is None or stored.thread.fate in ("pruned", "deleted"):
            return []  # if the archive lists it, the next archive list decides
        last_seen_at = max(time for time in (stored.last_seen_at, utc(thread.shown_at)) if time is not None)
        became = "pruned"  # it was in the archive
        if not thread.is_archived and stored.thread.fate != "archived":
            became = self._fate(thread, seen_in.at.timestamp())
        return ended(stored, became, seen_in.at, last_seen_at)

    def _fate(self, thread: TrackedThread, at: float) -> str:
        """The fate of a thread that is gone: pruned or deleted; see `lifecycle.fate`."""
        others = self.state.threads.values()
        bumped = bumped_since((other.modified for other in others), thread.placed_at)
        return fate(self.board, thread.position, bumped, len(others), timedelta(seconds=at - thread.shown_at))

    def _forget(self, no: int) -> None:
        thread = self.state.threads.pop(no, None)
        if thread is not None:
            oldest = thread.asked_now - FORGOTTEN / self.frontier.clock.speed
            self.state.forgotten = {n: asked for n, asked in self.state.forgotten.items() if asked > oldest}
            self.state.forgotten[no] = thread.asked_now
            thread.close()
            self.frontier.mark_pending(self.state, thread)


def oldest_new_post(seen: Iterable[tuple[int, Changes, Page | None]], after: float) -> float | None:
    """The time of the first new post after `after`, the time of a file's last version."""
    times = (post.posted_at.timestamp() for _, changes, _ in seen for post in changes.new_posts)
    return min((time for time in times if time > after), default=None)
