"""The state of a followed board: the server's clock, its pace, its index files and its threads. Sans I/O.

`now` is the local monotonic clock, which times the requests. `at` is the server's clock, which payloads use. Both are
in seconds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from chancrawl.imageboards.diff import Changes
from chancrawl.imageboards.lifecycle import ARCHIVE_KEEPS
from chancrawl.imageboards.pace import Rate

BYTES_PER_REQUEST = 25_000
"""The number of bytes that cost as much as one request."""

NEVER = -math.inf

COMPLETE = ("catalog", "threads")
"""The index files that list all live threads of a board."""

IMPLAUSIBLE = 10_000_000
"""Numbers this far above the others of a board are corrupt."""

HAZARD = 5e-4
"""The least probability that a new post is deleted within the next second. Moderation seen on a board can raise it."""

PROOF_HOLDS = 600.0
"""Seconds after which the crawl checks again how often the server rebuilds the index files, and whether all at once."""

FRESH = 60.0
"""Seconds for which a post counts as new: most early deletions happen within them. Also the horizon of a thread's
worth."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """Something that is requested repeatedly: when the last request was, and when the next one may be.

    All times are of the local clock.
    """

    asked_now: float = NEVER
    in_flight: bool = False
    failures: int = 0
    """Successive answers that could not be used."""
    not_before: float = NEVER

    def sent(self, now: float) -> None:
        """A request is sent."""
        self.asked_now, self.in_flight = now, True

    def answered(self, now: float) -> None:
        """The request has ended, with or without a result."""
        self.asked_now, self.in_flight = now, False

    def failed(self, now: float, shortest: float, longest: float) -> None:
        """The answer could not be used. The wait doubles each time, from `shortest` up to `longest` seconds."""
        self.failures += 1
        self.not_before = now + min(shortest * 2.0 ** min(self.failures - 1, 10), longest)


@dataclass(slots=True)
class IndexFile(Asked):
    """An index file of a board: its size, its age, and how many new posts it shows."""

    what: str
    size: float
    share: float
    """Estimated share of a board's posts that this file shows before any other file does."""
    found: Rate = field(default_factory=Rate)
    shown_at: float = NEVER
    """The server's time up to which its content is known."""
    modified: float = 0.0
    unchanged_at: float = NEVER
    """When the last 304 was received, by the server's clock."""
    proven_at: float = NEVER
    rebuilt_every: float = 0.0
    """Seconds between two versions, where the server rebuilds the file at intervals; 0 where it is always current."""

    def price(self) -> float:
        return 1 + self.size / BYTES_PER_REQUEST

    def unchanged(self, at: float, modified: float, margin: float) -> None:
        """The answer was 304. `margin` is the number of seconds by which the file can be newer than its header says."""
        self.in_flight, self.failures = False, 0
        self.unchanged_at = at
        if self.rebuilt_every:
            self.rebuilt_every = max(self.rebuilt_every, at - modified + margin)
        self._is_seen(at, modified)

    def changed(self, at: float, modified: float, size: int, oldest_change: float | None) -> None:
        """The answer was a new version of `size` bytes. `oldest_change` is the time of the first change in it."""
        self.in_flight, self.failures = False, 0
        self.size += 0.3 * (size - self.size) if self.shown_at != NEVER else size - self.size
        self._learn_rebuilding(modified, oldest_change)
        self._is_seen(at, modified)

    def _is_seen(self, at: float, modified: float) -> None:
        self.modified = modified
        self.shown_at = max(self.shown_at, modified if self.rebuilt_every else at)

    def _learn_rebuilding(self, modified: float, oldest_change: float | None) -> None:
        """Estimate how often the server rebuilds the file.

        If the file was unchanged although something new had been posted, the server does not rebuild it at each change.
        """
        age = modified - self.modified
        if self.shown_at == NEVER or age <= 0:
            return
        if self.unchanged_at > self.modified and oldest_change is not None:
            lagged = oldest_change < self.unchanged_at - 2
            self.rebuilt_every = min(self.rebuilt_every or age, age) if lagged else 0.0
            self.proven_at = modified
        elif self.rebuilt_every:
            self.rebuilt_every = min(self.rebuilt_every, age)
            if modified - self.proven_at > PROOF_HOLDS:
                self.rebuilt_every *= 0.95  # ask a little too early, so that the answer confirms the interval or not


@dataclass(slots=True)
class TrackedThread(Asked):
    """A thread of an index: what is pending of it, and its position."""

    no: int
    position: int = 0
    replies: int = 0
    missing: int = 0
    backlog: int = 0
    """How many of the missing replies were missing when the thread was first seen."""
    excess: int = 0
    doubtful: bool = False
    pending_since: float = 0.0
    """The time since which posts are missing or in excess."""
    recent: Rate = field(default_factory=Rate)
    """The rate of its last replies."""
    modified: float = 0.0
    placed_at: float = 0.0
    """The time at which it had this `position`: the Last-Modified of the index."""
    shown_at: float = 0.0
    in_part: int = 0
    """How many successive readings of its page have left something pending."""
    gone_at: float | None = None
    """The time since which it is in no index."""
    is_archived: bool = False
    """The archive lists it."""
    has_tail: bool = False

    @property
    def is_pending(self) -> bool:
        return bool(self.missing or self.excess or self.doubtful or self.gone_at is not None)

    # --- what an index shows

    def listed(self, position: int, placed_at: float) -> bool:
        """An index lists the thread at this position of the bump order. Returns whether no index listed it before."""
        was_gone = self.gone_at is not None
        self.position, self.placed_at, self.gone_at = position, placed_at, None
        return was_gone

    def unlisted(self, at: float) -> bool:
        """An index of all threads does not list this one. Returns whether it is the first such index."""
        is_first = self.gone_at is None
        if is_first:
            self.gone_at = at
        return is_first

    # --- what a page shows

    def shown(self, at: float) -> None:
        """An answer shows it as it was."""
        self.shown_at = at

    def described(self, replies: int | None, modified: float | None, has_tail: bool | None = None) -> None:
        """An answer tells its replies, its last change, and whether it has a tail; None where it does not."""
        self.replies = replies or self.replies
        self.modified = self.modified if modified is None else modified
        self.has_tail = self.has_tail if has_tail is None else has_tail

    def tail_failed(self) -> None:
        """Its tail does not show what is pending: its whole page is asked for next."""
        self.has_tail = False

    def compared(self, changes: Changes, at: float, is_own: bool = False) -> None:
        """Record what is pending after a comparison with what is stored. `is_own`: it was the thread's own page."""
        if changes.is_stale:
            self.missing = max(0, self.missing - len(changes.new_posts))
        else:
            if not (self.missing or self.excess or self.doubtful):
                self.pending_since = at
                self.failures = self.in_part = 0
            self.missing, self.excess = changes.missing, changes.excess
            self.doubtful = changes.doubtful or (self.doubtful and not is_own)
            self.shown_at = at
            if is_own and changes.is_settled:
                self.failures = self.in_part = 0
        self.backlog = min(self.backlog, self.missing)

    def settle(self) -> int:
        """Mark nothing as pending, because the thread's page has no more. Returns the number of missing replies."""
        missing = self.missing - self.excess
        self.missing = self.backlog = self.excess = self.failures = self.in_part = 0
        self.doubtful = False
        return missing

    def close(self) -> None:
        """The thread is archived or gone: it is not requested any more."""
        self.settle()
        self.gone_at = None


class BoardState:
    """The state of a followed board: its pace, its index files, its threads."""

    def __init__(self, name: str, capacity: int = 150, per_page: int = 15, has_archive: bool = False) -> None:
        self.name = name
        self.capacity = capacity
        self.per_page = per_page
        self.has_archive = has_archive
        self.pace = Rate()  # posts
        self.births = Rate()  # threads
        self.profile: defaultdict[int, Rate] = defaultdict(Rate)  # replies of a thread, by `quiet`
        self.newest_no = 0
        self.newest_at = 0.0
        self.is_lagging = False
        self.exposed = 0.0  # post-seconds: for how long posts were new and watched
        self.deleted = 0  # posts that were deleted within these seconds
        self.files = {
            "catalog": IndexFile("catalog", 100_000, share=0.06),
            "1": IndexFile("1", 15_000, share=0.9),
            "2": IndexFile("2", 15_000, share=0.01),
            "threads": IndexFile("threads", 5_000, share=0.003),
        }
        # Requested only while neither the catalog nor threads.json can be read.
        self.spare_pages: dict[str, IndexFile] = {}
        if has_archive:
            self.files["archive"] = IndexFile("archive", 10_000, share=0.0)
        self.threads: dict[int, TrackedThread] = {}
        self.pending: dict[int, TrackedThread] = {}
        self.forgotten: dict[int, float] = {}  # threads that are gone, and when they were requested last
        self.archived: dict[int, int] = {}
        """Threads of the archive to read, the next one first, and how often each was tried."""
        self.archived_tries: dict[int, int] = {}  # the same for those that were requested
        self.left_archive: set[int] = set()  # deleted, if their own pages are 404 too
        self.archived_now = NEVER

    # --- what happens on it

    def moderated(self, fresh: int, deleted: int) -> None:
        """Count `fresh` new posts that were seen, and `deleted` posts that were deleted while new."""
        self.exposed += fresh * FRESH
        self.deleted += deleted

    def numbered(self, newest_no: int, at: float) -> None:
        """Update its pace from its newest post number."""
        if newest_no > self.newest_no:
            if self.newest_no:
                self.pace.count(newest_no - self.newest_no, max(at - self.newest_at, 0.0))
            self.newest_no, self.newest_at = newest_no, at
        elif at - self.newest_at > 60:
            self.pace.count(0, at - self.newest_at)
            self.newest_at = at

    def mark_pending(self, thread: TrackedThread) -> None:
        """Note whether something is pending of a thread."""
        if thread.is_pending:
            self.pending[thread.no] = thread
        else:
            self.pending.pop(thread.no, None)

    def begin_archive(self, nos: Iterable[int]) -> None:
        """These threads of the archive are to be read, the first to expire first."""
        self.archived = dict.fromkeys(nos, 0)
        self.archived_tries = {}

    def archived_sent(self, no: int, now: float) -> None:
        """A request for a thread of the archive leaves."""
        self.archived_tries[no] = self.archived.pop(no) + 1
        self.archived_now = now

    def index_read(self) -> None:
        """An index file was read: whether the server rebuilds these files only every so many seconds."""
        self.is_lagging = any(self.files[what].rebuilt_every > 0 for what in ("catalog", "1"))

    # --- how much is to be expected of it

    def hazard(self) -> float:
        """The probability that a new post is deleted within the next second.

        Estimated from the moderation seen so far, but at least HAZARD, because the fastest deletions are never seen.
        """
        guess = 30.0
        return max(HAZARD, (self.deleted + guess) / (self.exposed + guess / HAZARD))

    def posts_a_second(self) -> float:
        return self.pace(prior=0.01)

    def threads_a_second(self) -> float:
        return self.births(prior=0.01 * self.posts_a_second(), weight=600)

    def time_left(self, thread: TrackedThread) -> float:
        """Seconds until a thread is gone for good, if it is not bumped."""
        places = max(self.capacity - thread.position, 1) - 0.5
        return places / self.threads_a_second() + (ARCHIVE_KEEPS.total_seconds() if self.has_archive else 0.0)

    def quiet(self, thread: TrackedThread, at: float) -> int:
        """How long a thread has been quiet, as a class: the log of the posts on the board since its last reply.

        It is taken halfway between the last observation and `at`, so that it stands for the whole interval.
        """
        posts = max((thread.shown_at + at) / 2 - thread.modified, 0.0) * self.posts_a_second()
        return int(2 * math.log2(posts / 2 + 1))

    def grew(self, thread: TrackedThread, replies: int, at: float) -> None:
        """A thread has `replies` now. Adds them to the profile of threads that were quiet for as long."""
        seconds = max(at - thread.shown_at, 0.0)
        self.profile[self.quiet(thread, at)].count(max(replies - thread.replies, 0), seconds)

    def replied(self, thread: TrackedThread, times: Sequence[int], at: float) -> None:
        """Record the times of a thread's last replies, which are in order."""
        last = times[-5:]
        if last:
            thread.modified = max(thread.modified, float(last[-1]))
            thread.recent = Rate(len(last), max(at - last[0], 1.0))

    def rate(self, thread: TrackedThread, at: float) -> float:
        """Replies a second that a thread may have had since its last observation."""
        return thread.recent(prior=self.profile[self.quiet(thread, at)](prior=0.0))

    @property
    def is_listed(self) -> bool:
        """Whether a file that lists all live threads has been read."""
        return any(self.files[what].shown_at != NEVER for what in COMPLETE)

    def is_down(self, *names: str) -> bool:
        """Whether the last request for each of these index files failed."""
        return all(self.files[what].failures for what in names)

    def file(self, what: str) -> IndexFile:
        """An index file. The answer for a further page can arrive when such pages are not requested any more."""
        return self.files.get(what) or self.spare_pages.setdefault(what, IndexFile(what, 15_000, share=0.005))

    def files_to_ask_for(self) -> Iterable[IndexFile]:
        """The index files. While no file that lists all threads can be read, also the further pages."""
        if not self.is_down(*COMPLETE):
            self.spare_pages.clear()
            return self.files.values()
        for number in range(3, -(-self.capacity // self.per_page) + 2):  # one more, for stickies
            self.file(str(number))
        return [*self.files.values(), *self.spare_pages.values()]

    def gain(self, file: IndexFile) -> float:
        """Posts per second that a file is expected to show before any other file does."""
        return file.found(prior=file.share * self.posts_a_second(), weight=120)

    def shift(self, seconds: float) -> None:
        """The server's clock has jumped. Shifts the recorded times, so that each stays as long ago as it was."""
        self.newest_at += seconds
        for file in (*self.files.values(), *self.spare_pages.values()):
            file.shown_at += seconds
            file.modified += seconds
            file.unchanged_at += seconds
        for thread in self.threads.values():
            thread.pending_since += seconds
            thread.shown_at += seconds
            thread.gone_at = None if thread.gone_at is None else thread.gone_at + seconds

    def shown_at(self, what: str) -> float:
        """The time up to which a file's content is known, from itself or from the catalog, which has all of it."""
        own = self.file(what).shown_at
        return own if what == "archive" else max(own, self.files["catalog"].shown_at)
