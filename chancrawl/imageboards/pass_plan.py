"""Chooses the threads that one pass over a board requests. Sans I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from chancrawl.http import http_time
from chancrawl.imageboards.pages import IndexEntry
from chancrawl.items import Thread


def changed(entry: IndexEntry, stored: Thread | None) -> bool:
    """Whether the index shows something of a thread that is not stored.

    Counts are compared as well as times, because `replies` can change while `last_modified` does not. The thread's own
    page may have been read after the last index. Then its Last-Modified is already the time that the index shows now.
    """
    if stored is None or stored.fate != "live":
        return True
    if entry.replies is not None and entry.replies != stored.replies:
        return True
    times = (stored.last_modified, http_time(stored.http_last_modified))
    return entry.last_modified not in {None if time is None else int(time.timestamp()) for time in times}


def live_threads_due(index: Mapping[int, IndexEntry], stored: Mapping[int, Thread]) -> list[IndexEntry]:
    """The threads of an index to fetch. The last one of the board is first, because it is pruned next."""
    due = [entry for entry in index.values() if changed(entry, stored.get(entry.no))]
    return sorted(due, key=lambda entry: entry.position, reverse=True)


def archived_threads_due(archive: Collection[int], stored: Mapping[int, Thread]) -> list[int]:
    """The threads of an archive to fetch, newest first: those not read since they were archived."""
    due = [no for no in archive if no not in stored or stored[no].fate != "archived"]
    return sorted(due, reverse=True)


def missing_threads(index: Collection[int], archive: Collection[int], stored: Mapping[int, Thread]) -> list[int]:
    """The live threads that are in neither list. They count as gone only when their own pages return 404."""
    listed = {*index, *archive}
    return [no for no, thread in stored.items() if thread.fate == "live" and no not in listed]
