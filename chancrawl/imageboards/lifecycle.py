"""What becomes of threads, and which lists of threads can be whole. Sans I/O.

The one set of rules of both ways of crawling: one pass (one_pass.py) and following (monitor.py). Nothing counts as gone
unless an answer says so itself: a list that is odd, empty or far too short says nothing of the threads that it leaves
out, and a thread is gone only when its own page is answered 404.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from chancrawl.imageboards.diff import Observation, StoredThread
from chancrawl.items import Board, Deletion, Thread

ARCHIVE_KEEPS = timedelta(days=2)
"""An archive keeps its threads for at least so long."""

IMPLAUSIBLE_FOR = timedelta(minutes=10)
"""A list with far fewer threads than before is ignored, unless it stays so short for so long, in several versions."""


def capacity(board: Board) -> int:
    """How many live threads a board keeps."""
    return (board.pages or 10) * (board.per_page or 15)


# --- lists of threads


def is_plausible(listed: int, expected: int) -> bool:
    """Whether a list of threads can be the whole one: an empty or truncated list never means that all are gone."""
    return 2 * listed >= expected


def tells_what_is_gone(entries: int, problems: int) -> bool:
    """Whether so few entries of a list could not be read that a thread that is not in it is likely gone.

    Its own page has to say so too.
    """
    return 10 * problems <= entries


class Plausibility:
    """Which lists of a board's threads are taken for whole ones."""

    def __init__(self) -> None:
        self._short: defaultdict[str, dict[str, datetime]] = defaultdict(dict)  # versions of files that were too short

    def accepts(self, file: str, listed: int, expected: int, seen_in: Observation) -> bool:
        """Whether a file with so many threads can be whole, where `expected` were stored."""
        versions = self._short[file]
        if is_plausible(listed, expected):
            versions.clear()
            return True
        versions[seen_in.body] = seen_in.at
        return len(versions) >= 3 and seen_in.at - min(versions.values()) >= IMPLAUSIBLE_FOR


# --- threads that are gone


def bumped_since(times: Iterable[float | None], since: float) -> int:
    """How many threads were made or bumped since a time, by the times of their last changes, in seconds since 1970."""
    return sum(time is not None and time >= since for time in times)


def fate(board: Board, position: int | None, bumped: int, live: int, unseen_for: timedelta) -> str:
    """Why a thread is gone that is neither in the index nor in the archive, and whose page is 404: pruned or deleted.

    On a board with an archive a thread that fell off the end is still there for days, so one that was seen lately was
    deleted. On others `bumped`, the number of threads that were made or bumped since the thread had that `position`,
    decides: each can have pushed it down by one place, and nothing else can. `live` is how many threads the board has;
    while it is not full, any of them can have been the last one.
    """
    if board.has_archive and unseen_for < ARCHIVE_KEEPS / 2:
        return "deleted"
    fell_off = position is None or position + bumped >= min(capacity(board), live)
    return "pruned" if fell_off else "deleted"


def left_archive(thread: Thread, listed: Collection[int], held: Mapping[int, Thread]) -> str:
    """Why an archived thread is in the archive no longer: pruned or deleted; "archived" if it is still listed.

    An archive drops the thread that was archived first. While one that was archived before this one is listed, this one
    has not expired: it was deleted, if its page says so too. `held` are the archived threads, by number. Where a time
    is not known, numbers tell the order, roughly.
    """
    if thread.no in listed:
        return "archived"
    for no in listed:
        other = held.get(no)
        if other is not None and other.archived_at is not None and thread.archived_at is not None:
            is_older = (other.archived_at, no) < (thread.archived_at, thread.no)
        else:
            is_older = no < thread.no
        if is_older:
            return "deleted"
    return "pruned"


def deletions_of_thread(held: StoredThread, now: datetime) -> list[Deletion]:
    """A deleted thread takes its posts with it: missed in the index, confirmed by its page."""
    if held.thread is None:
        return []
    thread = held.thread
    return [
        Deletion(thread.board, thread.no, no, held.seen_at or thread.last_seen_at, known.deleted_at or now, now)
        for no, known in held.posts.items()
        if not known.deletion_confirmed_at
    ]


def ended(
    stored: StoredThread, became: str, at: datetime, last_seen_at: datetime | None = None
) -> list[Deletion | Thread]:
    """The items that say of a stored thread what became of it. A deleted thread takes its posts with it."""
    if stored.thread is None:
        return []
    state = replace(stored.thread, fate=became, gone_at=at, last_seen_at=last_seen_at or stored.thread.last_seen_at)
    return [*(deletions_of_thread(stored, at) if became == "deleted" else ()), state]
