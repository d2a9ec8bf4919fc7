"""Compares the stored state of a thread with a page that was just read. Sans I/O.

This is the only comparison in the project. The stores only write the items that it returns.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from chancrawl.imageboards.pages import Page
from chancrawl.items import Deletion, Post, Thread


@dataclass(slots=True)
class StoredPost:
    """The stored fields of one post; see `Post`."""

    digest: int
    revision: int
    first_seen_at: datetime | None
    deleted_at: datetime | None = None
    deletion_confirmed_at: datetime | None = None


@dataclass(slots=True)
class StoredThread:
    """The stored state of one thread. `thread` is None if the thread was never read."""

    thread: Thread | None = None
    posts: dict[int, StoredPost] = field(default_factory=dict)
    as_of: datetime | None = None
    """The server's time up to which the thread is known. A body with an earlier Last-Modified is an older copy."""
    seen_at: datetime | None = None
    """When everything stored was last seen on the site."""
    missed_in: dict[int, str] = field(default_factory=dict)
    """By post number: the body in which the post was first missed; see `Observation`."""
    unaccounted: int = 0
    """How many more replies the own page counts than it shows. These cannot be read, or a sticky has dropped them."""

    @property
    def validator(self) -> str | None:
        return self.thread.http_last_modified if self.thread else None

    @property
    def last_seen_at(self) -> datetime | None:
        """When the thread was last seen on the site, in part or as a whole."""
        times = (self.seen_at, self.thread.last_seen_at if self.thread else None)
        return max((time for time in times if time is not None), default=None)

    def is_newer_than(self, seen_in: Observation) -> bool:
        """Whether the body of `seen_in` is an older copy than the stored state, by its Last-Modified."""
        return self.as_of is not None and seen_in.upto is not None and seen_in.upto < self.as_of

    def replies(self, no: int) -> int:
        """How many replies of thread `no` are stored and not known to be deleted."""
        return sum(1 for reply, known in self.posts.items() if known.deleted_at is None and reply != no)

    def apply(self, item: Post | Deletion | Thread) -> bool:
        """Apply an item that goes to the store. Returns False if it changes nothing."""
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
        self.posts[item.no] = StoredPost(item.digest, item.revision, item.first_seen_at)
        return True

    def reject(self, item: Post | Deletion | Thread) -> None:
        """The inverse of `apply`, for an item that could not be stored. The next comparison returns it again."""
        if isinstance(item, Deletion):
            known = self.posts.get(item.no)
            if known is not None:
                known.deleted_at = known.deletion_confirmed_at = None
        elif isinstance(item, Post):
            self.posts.pop(item.no, None)
        if self.thread is not None:  # otherwise each later request would be answered 304
            self.thread = replace(self.thread, http_last_modified=None)


@dataclass(slots=True, frozen=True)
class Observation:
    """When a page was read, and which file it was.

    `at` is the server's time of the answer. The page has all changes until `upto`, the Last-Modified of the file.
    `body` identifies the body, because a deletion needs two different bodies as proof. `is_own` is True for the own
    page of a thread, whose Last-Modified is `validator`, and False for its tail and for index files.
    """

    at: datetime
    upto: datetime | None
    body: str
    is_own: bool = False
    validator: str | None = None


@dataclass(slots=True)
class Changes:
    """The items that update the stored state to what a page shows, state last, and what is still missing after them."""

    items: list[Post | Deletion | Thread] = field(default_factory=list)
    missing: int = 0
    """Replies that exist and that the page did not show."""
    excess: int = 0
    """Replies that are stored and no longer exist; the page does not show which."""
    doubtful: bool = False
    """The counts match, but something can have changed unseen: none of the replies shown was stored before (so one can
    be missing and another one deleted), or the thread was modified and the page shows no change."""
    is_stale: bool = False
    """The page was an older copy. It can add posts, but a post that is not on it can still exist."""

    @property
    def new_posts(self) -> list[Post]:
        """The posts that were not stored before."""
        return [item for item in self.items if isinstance(item, Post) and item.revision == 1]

    @property
    def is_settled(self) -> bool:
        return not (self.missing or self.excess or self.doubtful or self.is_stale)


def compare(stored: StoredThread, page: Page, seen_in: Observation, even_if_older: bool = False) -> Changes:
    """New posts, changed posts (with the next revision number), posts missed, confirmed as missing, or returned.

    An older copy is recognised by its Last-Modified. `even_if_older` treats it as the current page.
    """
    if page.thread.last_modified is not None and page.thread.last_modified > seen_in.at + timedelta(days=1):
        page.thread.last_modified = None  # in the future: corrupt
    stale = stored.is_newer_than(seen_in) and page.thread.fate == "live" and not even_if_older
    changes = Changes(is_stale=stale)
    changes.items += _shown(stored, page, seen_in, stale)
    if not stale:
        if page.is_complete:
            changes.items += _missing(stored, page, seen_in)
        _balance(changes, stored, page, seen_in)
    state = None if stale and stored.thread else _state(stored, page, seen_in, changes)
    if state is not None:
        changes.items.append(state)
    if not stale:
        stored.as_of = max(time for time in (_modified(page, seen_in), stored.as_of) if time is not None)
        stored.seen_at = seen_in.at if changes.is_settled else stored.seen_at
    return changes


def _modified(page: Page, seen_in: Observation) -> datetime:
    """When the thread was last modified, as far as the page shows; not later than the answer."""
    modified = seen_in.upto if seen_in.is_own else page.thread.last_modified
    newest = max((raw["time"] for raw in page.posts.values()), default=0)
    return min(modified or datetime.fromtimestamp(newest, UTC), seen_in.at)


def _shown(stored: StoredThread, page: Page, seen_in: Observation, stale: bool) -> list[Post | Deletion | Thread]:
    """Items for the posts that a page shows and that are new, changed or back."""
    thread = page.thread
    items: list[Post | Deletion | Thread] = []
    for no, raw in page.posts.items():
        known = stored.posts.get(no)
        version = page.digests[no]
        if known and stale:
            continue
        if known and known.deleted_at:
            items.append(Deletion(thread.board, thread.no, no, last_seen_at=seen_in.at, deleted_at=None))
            stored.missed_in.pop(no, None)
        if known is None or known.digest != version:
            items.append(
                Post(
                    board=thread.board,
                    no=no,
                    thread_no=thread.no,
                    posted_at=datetime.fromtimestamp(raw["time"], UTC),
                    revision=known.revision + 1 if known else 1,
                    first_seen_at=known.first_seen_at if known else seen_in.at,
                    last_seen_at=seen_in.at,
                    raw=raw,
                    digest=version,
                )
            )
    return items


def _missing(stored: StoredThread, page: Page, seen_in: Observation) -> list[Deletion]:
    if stored.thread is None:
        return []
    thread = page.thread
    since = page.since
    if (
        page.sticky_replies is not None and len(stored.posts) > 0.9 * page.sticky_replies
    ):  # it is or was a rolling sticky: its oldest replies were not deleted
        since = max(since, min((no for no in page.posts if no != thread.no), default=since))
    last_seen_at = max((time for time in (stored.thread.last_seen_at, stored.seen_at) if time), default=None)
    deletions = []
    for no, known in stored.posts.items():
        if no in page.posts or no < since or no == thread.no or known.deletion_confirmed_at:
            continue
        missed_in = stored.missed_in.setdefault(no, (seen_in.is_own and stored.validator) or seen_in.body)
        if known.deleted_at is None:
            deletions.append(Deletion(thread.board, thread.no, no, last_seen_at, deleted_at=seen_in.at))
            stored.missed_in[no] = seen_in.body
        elif seen_in.body != missed_in:  # a second, different body
            deletions.append(Deletion(thread.board, thread.no, no, None, known.deleted_at, seen_in.at))
            del stored.missed_in[no]
    return deletions


def _balance(changes: Changes, stored: StoredThread, page: Page, seen_in: Observation) -> None:
    """Compare the number of stored replies with the thread's count, and set `missing`, `excess` and `doubtful`."""
    thread = page.thread
    if thread.replies is None:
        changes.doubtful = not seen_in.is_own
        return
    alive = stored.replies(thread.no) + sum(post.no != thread.no for post in changes.new_posts)
    for item in changes.items:
        if isinstance(item, Deletion) and item.deletion_confirmed_at is None:
            alive += -1 if item.deleted_at else 1
    if seen_in.is_own:  # the own page is final: a difference that remains is not pending
        stored.unaccounted = thread.replies - alive
        return
    balance = thread.replies - stored.unaccounted - alive
    if not page.is_complete:
        changes.missing = max(1, balance)
    elif not page.is_rolling_sticky:
        changes.missing, changes.excess = max(0, balance), max(0, -balance)
    known = not page.since or any(no in stored.posts for no in page.posts if no != thread.no)
    # Modified, but no change is visible: a reply that is not shown has changed. (The two times can differ a little.)
    silent = (
        stored.as_of is not None
        and not changes.items
        and _modified(page, seen_in) > stored.as_of + timedelta(seconds=3)
    )
    changes.doubtful = not (changes.missing or changes.excess) and (silent or (not known and page.shown > 0))


def _state(stored: StoredThread, page: Page, seen_in: Observation, changes: Changes) -> Thread | None:
    """The state of the thread after `changes`, or None if it has not changed. It is never ahead of the posts: while
    posts are missing, the counts and times keep their earlier values."""
    before, thread = stored.thread, page.thread
    if seen_in.is_own:
        if before is not None and thread.no not in page.posts:
            thread = before  # the opening post cannot be read
        return replace(
            thread,
            position=thread.position if thread.position is not None or before is None else before.position,
            last_modified=thread.last_modified if thread.last_modified or before is None else before.last_modified,
            http_last_modified=seen_in.validator,
            first_seen_at=before.first_seen_at if before else seen_in.at,
            last_seen_at=seen_in.at,
        )
    if before is None:
        state = replace(thread, first_seen_at=seen_in.at, last_seen_at=seen_in.at)
        return (
            state
            if changes.is_settled and not page.since
            else replace(state, replies=None, images=None, last_modified=None)
        )
    if not changes.is_settled:
        return None
    if thread.no in page.posts:
        state = replace(
            thread,
            unique_ips=thread.unique_ips or before.unique_ips,
            position=thread.position if thread.position is not None else before.position,
            # The replies that were not shown can have changed: with the earlier time the thread is requested again.
            last_modified=before.last_modified if page.since else thread.last_modified or before.last_modified,
            http_last_modified=before.http_last_modified,
            first_seen_at=before.first_seen_at,
        )
    else:  # a tail has hardly anything of the opening post
        state = replace(before, replies=thread.replies, images=thread.images)
    has_changed = bool(changes.items) or state != replace(
        before, position=state.position, last_modified=state.last_modified, last_seen_at=state.last_seen_at
    )
    return replace(state, last_seen_at=seen_in.at) if has_changed else None
