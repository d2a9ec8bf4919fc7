"""Which thread is worth the next request. Pure.

This is the agenda of one pass over a board: whatever the index shows as changed, in the order in which it is in
danger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime

from chancrawl.fourchan import IndexEntry
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


def is_behind(thread: Thread, entry: IndexEntry) -> bool:
    """Whether a thread's page was an older copy than the index that led to it, as caches have them."""
    if entry.replies is None or entry.replies == thread.replies or entry.last_modified is None:
        return False
    read = http_time(thread.http_last_modified)
    return read is None or read.timestamp() < entry.last_modified


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


def if_modified_since(held: Thread | None, entry: IndexEntry | None) -> str | None:
    """The If-Modified-Since of a thread's next fetch.

    To the letter what the server sent last, for it compares for equality. One exception: Last-Modified counts in
    seconds, so a page read in the second of its last change can lack a reply and have the same time as the page that
    has it. The index then shows another count with the same time, and only another time brings the page.
    """
    if held is None or held.http_last_modified is None:
        return None
    sent = http_time(held.http_last_modified)
    if entry is None or sent is None or entry.replies in (None, held.replies):
        return held.http_last_modified
    if entry.last_modified is not None and entry.last_modified > sent.timestamp():
        return held.http_last_modified
    return http_date(sent.timestamp() - 1)


def strong_validator(last_modified: str | None, date: str | None) -> str | None:
    """The If-Modified-Since of an index file's next fetch, from the headers of this one.

    A file read in the second of its last change may have changed again in that second, with the same Last-Modified
    (RFC 9110, section 8.8.2.2). Another time then makes sure that the next fetch brings it.
    """
    modified, answered = http_time(last_modified), http_time(date)
    if modified is None or answered is None or (answered - modified).total_seconds() >= 1:
        return last_modified
    return http_date(modified.timestamp() - 1)


def http_time(value: str | None) -> datetime | None:
    """A Last-Modified or Date header as a time; None if there is none or it cannot be read."""
    if not value:
        return None
    try:
        time = parsedate_to_datetime(value)
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def http_date(seconds: float) -> str:
    """
    >>> http_date(0)
    'Thu, 01 Jan 1970 00:00:00 GMT'
    """
    return formatdate(seconds, usegmt=True)
