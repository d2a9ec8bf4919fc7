"""The fate of threads, and the plausibility of lists of threads. Sans I/O.

One pass (one_pass.py) and following (monitor.py) use the same rules. A list that is corrupt, empty or far too short
does not show that other threads are gone. A thread counts as gone only when its own page returns 404.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from chancrawl.imageboards.diff import Observation, StoredThread
from chancrawl.items import Board, Deletion, Thread

ARCHIVE_KEEPS = timedelta(days=2)
"""An archive keeps its threads for at least this long."""

IMPLAUSIBLE_FOR = timedelta(minutes=10)
"""A list with far fewer threads than before is ignored, unless it stays short for this long in several versions."""


def capacity(board: Board) -> int:
    """How many live threads a board keeps."""
    return (board.pages or 10) * (board.per_page or 15)


# --- lists of threads


def is_plausible(listed: int, expected: int) -> bool:
    """Whether a list of threads can be whole. An empty or truncated list does not mean that all threads are gone."""
    return 2 * listed >= expected


def tells_what_is_gone(entries: int, problems: int) -> bool:
    """Whether a thread that is not in a list is probably gone, because almost all entries could be read.

    Its own page has to return 404 too.
    """
    return 10 * problems <= entries


class Plausibility:
    """Decides which lists of a board's threads are accepted as whole."""

    def __init__(self) -> None:
        self._short: defaultdict[str, dict[str, datetime]] = defaultdict(dict)  # versions of files that were too short

    def accepts(self, file: str, listed: int, expected: int, seen_in: Observation) -> bool:
        """Whether a file with `listed` threads can be whole, if `expected` are stored."""
        versions = self._short[file]
        if is_plausible(listed, expected):
            versions.clear()
            return True
        versions[seen_in.body] = seen_in.at
        return len(versions) >= 3 and seen_in.at - min(versions.values()) >= IMPLAUSIBLE_FOR


# --- threads that are gone


def bumped_since(times: Iterable[float | None], since: float) -> int:
    """How many threads were made or bumped since a time. `times` are their last changes, in seconds since 1970."""
    return sum(time is not None and time >= since for time in times)


def fate(board: Board, position: int | None, bumped: int, live: int, unseen_for: timedelta) -> str:
    """The fate of a thread that is neither in the index nor in the archive, and whose page is 404: pruned or deleted.

    On a board with an archive, a thread that fell off the end stays in the archive for days. So a thread that was seen
    lately was deleted. On other boards `bumped` decides, the number of threads that were made or bumped since the
    thread had this `position`: each can have pushed it down by one place, and nothing else can. `live` is the number of
    threads on the board. While the board is not full, any of them can have been the last one.
    """
    if board.has_archive and unseen_for < ARCHIVE_KEEPS / 2:
        return "deleted"
    fell_off = position is None or position + bumped >= min(capacity(board), live)
    return "pruned" if fell_off else "deleted"


def left_archive(thread: Thread, listed: Collection[int], stored: Mapping[int, Thread]) -> str:
    """The fate of an archived thread: "archived" if the archive still lists it, otherwise pruned or deleted.

    An archive drops the thread that was archived first. While a thread that was archived before this one is listed,
    this one has not expired: it was deleted, if its page returns 404 too. `stored` are the archived threads, by number.
    If a time is not known, the order of the numbers is used, which is about the same.
    """
    if thread.no in listed:
        return "archived"
    for no in listed:
        other = stored.get(no)
        if other is not None and other.archived_at is not None and thread.archived_at is not None:
            is_older = (other.archived_at, no) < (thread.archived_at, thread.no)
        else:
            is_older = no < thread.no
        if is_older:
            return "deleted"
    return "pruned"


def deletions_of_thread(stored: StoredThread, now: datetime) -> list[Deletion]:
    """Deletions of all posts of a deleted thread. They are confirmed: index and page both show that it is gone."""
    if stored.thread is None:
        return []
    thread = stored.thread
    return [
        Deletion(thread.board, thread.no, no, stored.seen_at or thread.last_seen_at, known.deleted_at or now, now)
        for no, known in stored.posts.items()
        if not known.deletion_confirmed_at
    ]


def ended(
    stored: StoredThread, became: str, at: datetime, last_seen_at: datetime | None = None
) -> list[Deletion | Thread]:
    """The items that store the fate of a thread. If it was deleted, its posts are deleted too."""
    if stored.thread is None:
        return []
    state = replace(stored.thread, fate=became, gone_at=at, last_seen_at=last_seen_at or stored.thread.last_seen_at)
    return [*(deletions_of_thread(stored, at) if became == "deleted" else ()), state]
