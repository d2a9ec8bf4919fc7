"""What one reading of an imageboard shows: a thread of an index, or posts of a thread. Sans I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from chancrawl.items import Raw, Thread
from chancrawl.payload import fingerprint


class Stub(Exception):
    """A thread's page is a stub, which the site serves for some threads that are gone. It means the same as a 404.

    `{"posts": [{"resto": 0, "name": "Anonymous", "replies": 0, "images": 0, "unique_ips": 1, "semantic_url": null}]}`.
    """


@dataclass(slots=True, frozen=True)
class IndexEntry:
    """A thread as an index file lists it: threads.json, catalog.json, or a page of the board such as 1.json.

    `last_modified` is in seconds since 1970; pages do not have it, nor did the catalog of 2014. threads.json did not
    have `replies` before 2019. `raw` is the thread with its opening post and last replies, if the file has them.
    """

    no: int
    last_modified: int | None
    replies: int | None
    position: int
    raw: Raw | None = field(default=None, repr=False)

    @property
    def fingerprint(self) -> int:
        """A number that changes with everything that an index shows of a thread, except its position."""
        return fingerprint([self.last_modified, self.replies, self.raw])


@dataclass(slots=True)
class Page:
    """What one reading shows of a thread: its state, and its posts as they were sent, by number.

    The own page of a thread shows all replies. Its tail and the index files show only the last ones, from the number
    `since` on. `omitted` is the number of replies before that.
    """

    thread: Thread
    posts: dict[int, Raw]
    since: int = 0
    omitted: int = 0
    digests: dict[int, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """Posts that cannot be read. The page should be read again."""
    sticky_replies: int | None = None
    """Above this number of replies, a sticky of this site drops its oldest ones; None if stickies keep them."""
    oddities: list[str] = field(default_factory=list)
    """Keys of the thread with a wrong type. No post is lost by them."""

    @property
    def is_complete(self) -> bool:
        """Whether all replies that the opening post counts are shown or omitted.

        A truncated page, or one with unreadable posts, has fewer. A rolling sticky may have fewer.
        """
        replies = self.thread.replies
        if replies is None:
            # Without a count, an index entry or a thread without its opening post does not count as complete.
            return not self.since and self.thread.no in self.posts
        return self.shown + self.omitted >= replies or self.is_rolling_sticky

    @property
    def is_rolling_sticky(self) -> bool:
        """Whether the thread is a sticky with so many replies that the site removes its oldest ones."""
        return is_rolling_sticky(self.thread, self.sticky_replies)

    @property
    def reply_times(self) -> list[int]:
        """The times of the replies shown, in order, in seconds since 1970."""
        return sorted(raw["time"] for no, raw in self.posts.items() if no != self.thread.no)

    @property
    def shown(self) -> int:
        """How many replies are shown."""
        return len(self.posts) - (self.thread.no in self.posts)


def is_rolling_sticky(thread: Thread, sticky_replies: int | None) -> bool:
    """Whether a thread is a rolling sticky; `sticky_replies` is the site's bound, or None if it removes no replies."""
    return sticky_replies is not None and thread.sticky and (thread.replies or 0) > 0.9 * sticky_replies


def utc(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as an aware time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
