"""Conditional requests (RFC 9110, section 13), as the API's server answers them. Sans I/O."""

from __future__ import annotations

from chancrawl.http import http_date, http_time
from chancrawl.imageboards.pages import IndexEntry
from chancrawl.items import Thread


def is_behind(thread: Thread, entry: IndexEntry) -> bool:
    """Whether a thread's page was an older copy than the index that led to it, as caches have them."""
    if entry.replies is None or entry.replies == thread.replies or entry.last_modified is None:
        return False
    read = http_time(thread.http_last_modified)
    return read is None or read.timestamp() < entry.last_modified


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
