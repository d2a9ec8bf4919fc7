"""What has changed between what is held of a thread and what was just read of it. Pure.

The one comparison of the project: the stores only apply what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from chancrawl.fourchan import Page
from chancrawl.items import Deletion, Post, Thread


@dataclass(slots=True)
class Known:
    """What is held of one post; see `Post` for the fields."""

    digest: int
    revision: int
    first_seen_at: datetime | None
    deleted_at: datetime | None = None
    deletion_confirmed_at: datetime | None = None


@dataclass(slots=True)
class Held:
    """What is held of one thread. `thread` is None as long as its own page was never read."""

    thread: Thread | None = None
    posts: dict[int, Known] = field(default_factory=dict)

    @property
    def validator(self) -> str | None:
        return self.thread.http_last_modified if self.thread else None

    def apply(self, item: Post | Deletion | Thread) -> bool:
        """Take note of an item on its way to the store. False if it says nothing that is not held already."""
        if isinstance(item, Thread):
            if self.thread == item:
                return False
            self.thread = item
            return True
        known = self.posts.get(item.no)
        if isinstance(item, Deletion):
            deletion = (item.deleted_at, item.deletion_confirmed_at)
            if known is None or (known.deleted_at, known.deletion_confirmed_at) == deletion:
                return False
            known.deleted_at, known.deletion_confirmed_at = deletion
            return True
        if known is not None and known.digest == item.digest:
            return False
        self.posts[item.no] = Known(item.digest, item.revision, item.first_seen_at)
        return True


def compare(held: Held, page: Page, now: datetime, http_last_modified: str | None) -> list[Post | Deletion | Thread]:
    """The items that bring `held` to what `page` shows, its state last.

    New posts, changed posts (with the next revision number), posts missed, confirmed as missing, or returned.
    """
    thread = page.thread
    items: list[Post | Deletion | Thread] = []
    for no, raw in page.posts.items():
        known = held.posts.get(no)
        version = page.digests[no]
        if known and known.deleted_at:
            items.append(Deletion(thread.board, thread.no, no, last_seen_at=now, deleted_at=None))
        if known is None or known.digest != version:
            items.append(
                Post(
                    board=thread.board,
                    no=no,
                    thread_no=thread.no,
                    posted_at=datetime.fromtimestamp(raw["time"], now.tzinfo),
                    revision=known.revision + 1 if known else 1,
                    first_seen_at=known.first_seen_at if known else now,
                    last_seen_at=now,
                    raw=raw,
                    digest=version,
                )
            )
    items += _missing(held, page, now, http_last_modified)
    items.append(_state(held.thread, thread, now, http_last_modified))
    return items


def _missing(held: Held, page: Page, now: datetime, http_last_modified: str | None) -> list[Deletion]:
    if held.thread is None or not page.is_whole:
        return []
    thread = page.thread
    oldest_kept = 0
    if page.has_shed:
        oldest_kept = min(no for no in page.posts if no != thread.no)
    last_seen_at = held.thread.last_seen_at
    deletions = []
    for no, known in held.posts.items():
        if no in page.posts or no < oldest_kept or known.deletion_confirmed_at:
            continue
        if known.deleted_at is None:
            deletions.append(Deletion(thread.board, thread.no, no, last_seen_at, deleted_at=now))
        elif http_last_modified != held.thread.http_last_modified:  # a second, different body
            deletions.append(Deletion(thread.board, thread.no, no, None, known.deleted_at, now))
    return deletions


def _state(held: Thread | None, thread: Thread, now: datetime, http_last_modified: str | None) -> Thread:
    return replace(
        thread,
        position=thread.position if thread.position is not None or held is None else held.position,
        last_modified=thread.last_modified if thread.last_modified or held is None else held.last_modified,
        http_last_modified=http_last_modified,
        first_seen_at=held.first_seen_at if held else now,
        last_seen_at=now,
    )


def fate(thread: Thread, bumped: int, capacity: int) -> str:
    """Why a thread is gone that is neither in the index nor in the archive, and whose page is 404: pruned or deleted.

    `bumped` is how many threads of today's index were made or bumped since the thread was last read: each can have
    pushed it down by one place, and nothing else can; it can have fallen off the end only if they were enough.
    `capacity` is how many threads the board keeps (or has, if it is not full: then anything may have turned over).
    """
    fell_off = thread.position is None or thread.position + bumped >= capacity
    return "pruned" if fell_off else "deleted"


def deletions_of_thread(held: Held, now: datetime) -> list[Deletion]:
    """A deleted thread takes its posts with it: missed in the index, confirmed by its page."""
    if held.thread is None:
        return []
    thread = held.thread
    return [
        Deletion(thread.board, thread.no, no, thread.last_seen_at, known.deleted_at or now, now)
        for no, known in held.posts.items()
        if not known.deletion_confirmed_at
    ]
