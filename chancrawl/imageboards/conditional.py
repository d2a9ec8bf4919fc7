"""The validators of conditional requests (RFC 9110, section 13), as the API's server compares them. Sans I/O."""

from __future__ import annotations

from chancrawl.http import http_date, http_time
from chancrawl.imageboards.pages import IndexEntry
from chancrawl.items import Thread


def is_behind(thread: Thread, entry: IndexEntry) -> bool:
    """Whether a thread's page came from a cache and is older than the index that listed the thread."""
    if entry.replies is None or entry.replies == thread.replies or entry.last_modified is None:
        return False
    read = http_time(thread.http_last_modified)
    return read is None or read.timestamp() < entry.last_modified


def if_modified_since(stored: Thread | None, entry: IndexEntry | None) -> str | None:
    """The If-Modified-Since for the next request of a thread, or None.

    It is exactly the header that the server sent last, because the server compares for equality. There is one
    exception. Last-Modified is in seconds, so a page read in the second of its last change can lack a reply although it
    has the same header as the complete page. Then the index shows another count at the same time, and the request sends
    an earlier time to get the page.
    """
    if stored is None or stored.http_last_modified is None:
        return None
    sent = http_time(stored.http_last_modified)
    if entry is None or sent is None or entry.replies in (None, stored.replies):
        return stored.http_last_modified
    if entry.last_modified is not None and entry.last_modified > sent.timestamp():
        return stored.http_last_modified
    return http_date(sent.timestamp() - 1)


def strong_validator(last_modified: str | None, date: str | None) -> str | None:
    """The If-Modified-Since for the next request of an index file, from the headers of this answer.

    A file read in the second of its last change can have changed again in that second, with the same Last-Modified
    (RFC 9110, section 8.8.2.2). In this case an earlier time is sent, so that the next answer is the file and not 304.
    """
    modified, answered = http_time(last_modified), http_time(date)
    if modified is None or answered is None or (answered - modified).total_seconds() >= 1:
        return last_modified
    return http_date(modified.timestamp() - 1)
