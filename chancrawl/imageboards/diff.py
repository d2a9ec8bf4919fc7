"""What has changed between what is held of a thread and what was just read of it. Sans I/O.

The one comparison of the project: the stores only apply what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from chancrawl.imageboards.pages import Page
from chancrawl.items import Deletion, Post, Thread


@dataclass(slots=True)
class StoredPost:
    """What is held of one post; see `Post` for the fields."""

    digest: int
    revision: int
    first_seen_at: datetime | None
    deleted_at: datetime | None = None
    deletion_confirmed_at: datetime | None = None


@dataclass(slots=True)
class StoredThread:
    """What is held of one thread. `thread` is None as long as nothing of it was ever read."""

    thread: Thread | None = None
    posts: dict[int, StoredPost] = field(default_factory=dict)
    as_of: datetime | None = None
    """The thread is known as it was then, by the server's clock: what shows it as it was before is an older copy."""
    seen_at: datetime | None = None
    """When everything held was last seen to be there."""
    missed_in: dict[int, str] = field(default_factory=dict)
    """The bodies in which posts were first missed; see `Observation`."""
    unaccounted: int = 0
    """How many replies more the thread's own page said than it showed, for ever: some cannot be read, or were shed."""

    @property
    def validator(self) -> str | None:
        return self.thread.http_last_modified if self.thread else None

    @property
    def last_seen_at(self) -> datetime | None:
        """When it was last seen to be there, in part or as a whole."""
        times = (self.seen_at, self.thread.last_seen_at if self.thread else None)
        return max((time for time in times if time is not None), default=None)

    def is_newer_than(self, seen_in: Observation) -> bool:
        """Whether a body is an older copy, by its Last-Modified, than what is known of the thread."""
        return self.as_of is not None and seen_in.upto is not None and seen_in.upto < self.as_of

    def replies(self, no: int) -> int:
        """How many replies of thread `no` are held that are not deleted, as far as is known."""
        return sum(1 for reply, known in self.posts.items() if known.deleted_at is None and reply != no)

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
        self.posts[item.no] = StoredPost(item.digest, item.revision, item.first_seen_at)
        return True

    def reject(self, item: Post | Deletion | Thread) -> None:
        """The inverse of `apply`, for an item that does not come to the store: what it says is to be read again."""
        if isinstance(item, Deletion):
            known = self.posts.get(item.no)
            if known is not None:
                known.deleted_at = known.deletion_confirmed_at = None
        elif isinstance(item, Post):
            self.posts.pop(item.no, None)
        if self.thread is not None:  # else its page would be answered 304, for ever
            self.thread = replace(self.thread, http_last_modified=None)


@dataclass(slots=True, frozen=True)
class Observation:
    """When and where a page was read.

    `at` is the server's time at the answer. Whatever happened until `upto`, the file's Last-Modified, is in it. `body`
    tells one body from another: one alone does not prove a deletion. `is_own` tells a thread's own page, whose
    Last-Modified is `validator`, from its tail and from what the index files show of it.
    """

    at: datetime
    upto: datetime | None
    body: str
    is_own: bool = False
    validator: str | None = None


@dataclass(slots=True)
class Changes:
    """The items that bring what is held to what a page shows, state last; and what is still owed after them."""

    items: list[Post | Deletion | Thread] = field(default_factory=list)
    missing: int = 0
    """Replies that are there, and that the page did not show."""
    excess: int = 0
    """Replies that are held and no longer there; the page does not tell which."""
    doubtful: bool = False
    """The counts add up, but no reply shown was known before (one more can be missing, and another one gone), or the
    thread was modified in a way that does not show."""
    is_stale: bool = False
    """The page was an older copy: it can bring posts, and says nothing of what is not on it."""

    @property
    def new_posts(self) -> list[Post]:
        """The posts that were not held before."""
        return [item for item in self.items if isinstance(item, Post) and item.revision == 1]

    @property
    def is_settled(self) -> bool:
        return not (self.missing or self.excess or self.doubtful or self.is_stale)


def compare(held: StoredThread, page: Page, seen_in: Observation, believe: bool = False) -> Changes:
    """New posts, changed posts (with the next revision number), posts missed, confirmed as missing, or returned.

    An older copy is recognised by its Last-Modified; `believe` takes it for what there is now.
    """
    if page.thread.last_modified is not None and page.thread.last_modified > seen_in.at + timedelta(days=1):
        page.thread.last_modified = None  # no such time
    stale = held.is_newer_than(seen_in) and page.thread.fate == "live" and not believe
    changes = Changes(is_stale=stale)
    changes.items += _shown(held, page, seen_in, stale)
    if not stale:
        if page.is_complete:
            changes.items += _missing(held, page, seen_in)
        _balance(changes, held, page, seen_in)
    state = None if stale and held.thread else _state(held, page, seen_in, changes)
    if state is not None:
        changes.items.append(state)
    if not stale:
        held.as_of = max(time for time in (_modified(page, seen_in), held.as_of) if time is not None)
        held.seen_at = seen_in.at if changes.is_settled else held.seen_at
    return changes


def _modified(page: Page, seen_in: Observation) -> datetime:
    """When the thread was modified last, for all that a page tells; never later than now."""
    modified = seen_in.upto if seen_in.is_own else page.thread.last_modified
    newest = max((raw["time"] for raw in page.posts.values()), default=0)
    return min(modified or datetime.fromtimestamp(newest, UTC), seen_in.at)


def _shown(held: StoredThread, page: Page, seen_in: Observation, stale: bool) -> list[Post | Deletion | Thread]:
    """What is new in the posts that a page shows."""
    thread = page.thread
    items: list[Post | Deletion | Thread] = []
    for no, raw in page.posts.items():
        known = held.posts.get(no)
        version = page.digests[no]
        if known and stale:
            continue
        if known and known.deleted_at:
            items.append(Deletion(thread.board, thread.no, no, last_seen_at=seen_in.at, deleted_at=None))
            held.missed_in.pop(no, None)
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


def _missing(held: StoredThread, page: Page, seen_in: Observation) -> list[Deletion]:
    if held.thread is None:
        return []
    thread = page.thread
    since = page.since
    if (
        page.sticky_replies is not None and len(held.posts) > 0.9 * page.sticky_replies
    ):  # a sticky, now or before: its oldest replies were not deleted
        since = max(since, min((no for no in page.posts if no != thread.no), default=since))
    last_seen_at = max((time for time in (held.thread.last_seen_at, held.seen_at) if time), default=None)
    deletions = []
    for no, known in held.posts.items():
        if no in page.posts or no < since or no == thread.no or known.deletion_confirmed_at:
            continue
        missed_in = held.missed_in.setdefault(no, (seen_in.is_own and held.validator) or seen_in.body)
        if known.deleted_at is None:
            deletions.append(Deletion(thread.board, thread.no, no, last_seen_at, deleted_at=seen_in.at))
            held.missed_in[no] = seen_in.body
        elif seen_in.body != missed_in:  # a second, different body
            deletions.append(Deletion(thread.board, thread.no, no, None, known.deleted_at, seen_in.at))
            del held.missed_in[no]
    return deletions


def _balance(changes: Changes, held: StoredThread, page: Page, seen_in: Observation) -> None:
    """Whether what is held now accounts for as many replies as the thread has."""
    thread = page.thread
    if thread.replies is None:
        changes.doubtful = not seen_in.is_own
        return
    alive = held.replies(thread.no) + sum(post.no != thread.no for post in changes.new_posts)
    for item in changes.items:
        if isinstance(item, Deletion) and item.deletion_confirmed_at is None:
            alive += -1 if item.deleted_at else 1
    if seen_in.is_own:  # it has the last word
        held.unaccounted = thread.replies - alive
        return
    balance = thread.replies - held.unaccounted - alive
    if not page.is_complete:
        changes.missing = max(1, balance)
    elif not page.is_rolling_sticky:
        changes.missing, changes.excess = max(0, balance), max(0, -balance)
    known = not page.since or any(no in held.posts for no in page.posts if no != thread.no)
    # Modified since, and nothing to see: a reply that is not shown has changed. (The two times can differ a little.)
    silent = (
        held.as_of is not None and not changes.items and _modified(page, seen_in) > held.as_of + timedelta(seconds=3)
    )
    changes.doubtful = not (changes.missing or changes.excess) and (silent or (not known and page.shown > 0))


def _state(held: StoredThread, page: Page, seen_in: Observation, changes: Changes) -> Thread | None:
    """The state of the thread after `changes`, if it is news. It is never ahead of the posts: while some are owed, the
    counts and times stay what they were."""
    before, thread = held.thread, page.thread
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
            # What may have changed among the replies that were not shown is still to be asked for.
            last_modified=before.last_modified if page.since else thread.last_modified or before.last_modified,
            http_last_modified=before.http_last_modified,
            first_seen_at=before.first_seen_at,
        )
    else:  # a tail has no opening post to speak of
        state = replace(before, replies=thread.replies, images=thread.images)
    is_news = bool(changes.items) or state != replace(
        before, position=state.position, last_modified=state.last_modified, last_seen_at=state.last_seen_at
    )
    return replace(state, last_seen_at=seen_in.at) if is_news else None
