"""What one reading of an imageboard shows: a thread of an index, or posts of a thread. Sans I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from chancrawl.items import Raw, Thread
from chancrawl.payload import fingerprint


class Stub(Exception):
    """A thread's page is what the site serves for some threads that are gone: one post without a number, nothing else.

    `{"posts": [{"resto": 0, "name": "Anonymous", "replies": 0, "images": 0, "unique_ips": 1, "semantic_url": null}]}`.
    It means what a 404 means.
    """


@dataclass(slots=True, frozen=True)
class IndexEntry:
    """A thread as an index file lists it: threads.json, catalog.json, or a page of the board such as 1.json.

    `last_modified` is in seconds since 1970; pages have none, nor had the catalog of 2014. `replies` was not in
    threads.json before 2019. `raw` is the thread with its opening post and last replies, where the file has them.
    """

    no: int
    last_modified: int | None
    replies: int | None
    position: int
    raw: Raw | None = field(default=None, repr=False)

    @property
    def fingerprint(self) -> int:
        """A number that changes with whatever an index shows of a thread, except its place."""
        return fingerprint([self.last_modified, self.replies, self.raw])


@dataclass(slots=True)
class Page:
    """What one reading shows of a thread: its state, and its posts as they were sent, by number.

    A thread's own page shows all replies, its tail and the index files only the last ones: all from the number `since`
    on, and `omitted` before that.
    """

    thread: Thread
    posts: dict[int, Raw]
    since: int = 0
    omitted: int = 0
    digests: dict[int, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """Posts that cannot be read: the page is worth another look."""
    sticky_replies: int | None = None
    """Above so many replies a sticky of this site sheds its oldest ones; None where stickies keep them."""
    oddities: list[str] = field(default_factory=list)
    """Keys of the thread that have another type than they should; no post is lost by them."""

    @property
    def is_complete(self) -> bool:
        """Whether the replies are as many as the opening post says: a truncated page, or one with odd posts, has fewer.

        So may a sticky that has shed its oldest replies.
        """
        replies = self.thread.replies
        if replies is None:
            # An index that does not say how many there are shows some of them; a thread without its opening post, too.
            return not self.since and self.thread.no in self.posts
        return self.shown + self.omitted >= replies or self.is_rolling_sticky

    @property
    def is_rolling_sticky(self) -> bool:
        """Whether the thread is a sticky so long that it loses its oldest replies."""
        return is_rolling_sticky(self.thread, self.sticky_replies)

    @property
    def reply_times(self) -> list[int]:
        """The times of its replies, in order."""
        return sorted(raw["time"] for no, raw in self.posts.items() if no != self.thread.no)

    @property
    def shown(self) -> int:
        """How many replies are shown."""
        return len(self.posts) - (self.thread.no in self.posts)


def is_rolling_sticky(thread: Thread, sticky_replies: int | None) -> bool:
    """Whether a thread is a sticky so long that it loses its oldest replies; `sticky_replies` is the site's bound."""
    return sticky_replies is not None and thread.sticky and (thread.replies or 0) > 0.9 * sticky_replies


def utc(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as an aware time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
