"""Which threads one pass over a board has to ask for. Sans I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from chancrawl.http import http_time
from chancrawl.imageboards.pages import IndexEntry
from chancrawl.items import Thread


def changed(entry: IndexEntry, held: Thread | None) -> bool:
    """Whether the index shows something of a thread that is not held.

    Counts are compared besides times because `replies` can change while `last_modified` does not. The thread's own
    page may have been read after the index that led to it: then its header already has the time that the index shows
    now.
    """
    if held is None or held.fate != "live":
        return True
    if entry.replies is not None and entry.replies != held.replies:
        return True
    times = (held.last_modified, http_time(held.http_last_modified))
    return entry.last_modified not in {None if time is None else int(time.timestamp()) for time in times}


def live_threads_due(index: Mapping[int, IndexEntry], held: Mapping[int, Thread]) -> list[IndexEntry]:
    """The threads of an index to fetch, the one nearest to falling off the board first."""
    due = [entry for entry in index.values() if changed(entry, held.get(entry.no))]
    return sorted(due, key=lambda entry: entry.position, reverse=True)


def archived_threads_due(archive: Collection[int], held: Mapping[int, Thread]) -> list[int]:
    """The threads of an archive to fetch, newest first: those not read since they were archived."""
    due = [no for no in archive if no not in held or held[no].fate != "archived"]
    return sorted(due, reverse=True)


def missing_threads(index: Collection[int], archive: Collection[int], held: Mapping[int, Thread]) -> list[int]:
    """The live threads that are in neither list. An index can err: their own pages have the last word."""
    listed = {*index, *archive}
    return [no for no, thread in held.items() if thread.fate == "live" and no not in listed]
