"""What a crawl that follows boards knows of them: the server's clock, paces, index files, threads. Sans I/O.

`now` is our monotonic clock, by which politeness goes; `at` is the server's, of which payloads speak. Both are seconds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chancrawl.imageboards.diff import Changes
from chancrawl.imageboards.lifecycle import ARCHIVE_KEEPS

BYTES_PER_REQUEST = 25_000
"""As many bytes cost as much as one request."""

NEVER = -math.inf

COMPLETE = ("catalog", "threads")
"""The index files that list all live threads of a board."""

IMPLAUSIBLE = 10_000_000
"""So far ahead of the others no number of a board is."""

HAZARD = 5e-4
"""The chance that a fresh post is deleted within the next second, on a board that is not moderated harder."""

PROOF_HOLDS = 600.0
"""Seconds after which it is tried again how often the index files are made anew, and whether all at once."""

FRESH = 60.0
"""Seconds within which most of what is deleted young is deleted: how far ahead the worth of a thread looks."""


class Clock:
    """The server's clock, read off ours. It may run faster, and it may jump."""

    def __init__(self) -> None:
        self.speed = 1.0
        self.is_measured = False
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)

    def heard(self, now: float, at: float) -> float:
        """The Date of an answer that has just come; by how many seconds the clock has jumped."""
        jump = at - self.at(now) if self._first is not None else 0.0
        if abs(jump) <= (60 * max(self.speed, 1.0) if self.is_measured else 600):
            jump = 0.0
        if self._first is None or jump:
            self._first = now, at
        since, then = self._first
        if at - then >= 20 and now > since:  # Date counts in whole seconds
            self.speed = (at - then) / (now - since)
            self.is_measured = True
        self._last = now, at
        return jump

    def at(self, now: float) -> float:
        """The server's time."""
        return self._last[1] + (now - self._last[0]) * self.speed


@dataclass(slots=True)
class Rate:
    """Events a second, of late: older ones count less."""

    events: float = 0.0
    seconds: float = 0.0

    MEMORY = 900.0

    def count(self, events: float, seconds: float) -> None:
        if seconds > self.MEMORY:
            events, seconds = events * self.MEMORY / seconds, self.MEMORY
        keep = math.exp(-seconds / self.MEMORY)
        self.events = self.events * keep + events
        self.seconds = self.seconds * keep + seconds

    def __call__(self, prior: float, weight: float = 60.0) -> float:
        """The rate, beginning with a guess that weighs as much as so many seconds of looking."""
        return (self.events + prior * weight) / (self.seconds + weight)


@dataclass(slots=True, kw_only=True)
class Asked:
    """Something that is asked for again and again: when it was asked for last, and when it may be asked for next.

    All times are by our clock.
    """

    asked_now: float = NEVER
    in_flight: bool = False
    failures: int = 0
    """Answers in a row that could not be used."""
    not_before: float = NEVER

    def sent(self, now: float) -> None:
        """A request for it leaves."""
        self.asked_now, self.in_flight = now, True

    def answered(self, now: float) -> None:
        """The request has ended, whatever came of it."""
        self.asked_now, self.in_flight = now, False

    def failed(self, now: float, shortest: float, longest: float) -> None:
        """Its answer could not be used: it waits, twice as long each time, between two bounds in seconds."""
        self.failures += 1
        self.not_before = now + min(shortest * 2.0 ** min(self.failures - 1, 10), longest)


@dataclass(slots=True)
class IndexFile(Asked):
    """An index file of a board, and what is known of it."""

    what: str
    size: float
    share: float
    """Part of a board's posts that the file is guessed to show before any other file does."""
    found: Rate = field(default_factory=Rate)
    shown_at: float = NEVER
    """The server's time up to which it has been seen."""
    modified: float = 0.0
    unchanged_at: float = NEVER
    """When it was answered 304 last, by the server's clock."""
    proven_at: float = NEVER
    rebuilt_every: float = 0.0
    """Seconds, where the server makes the file anew only so often; 0 where it is always new."""

    def price(self) -> float:
        return 1 + self.size / BYTES_PER_REQUEST

    def unchanged(self, at: float, modified: float, margin: float) -> None:
        """It was answered 304. `margin` are seconds by which it can be newer than it says."""
        self.in_flight, self.failures = False, 0
        self.unchanged_at = at
        if self.rebuilt_every:
            self.rebuilt_every = max(self.rebuilt_every, at - modified + margin)
        self._is_seen(at, modified)

    def changed(self, at: float, modified: float, size: int, oldest_news: float | None) -> None:
        """It was answered with so many bytes. `oldest_news` is the time of its first change since its last version."""
        self.in_flight, self.failures = False, 0
        self.size += 0.3 * (size - self.size) if self.shown_at != NEVER else size - self.size
        self._learn_rebuilding(modified, oldest_news)
        self._is_seen(at, modified)

    def _is_seen(self, at: float, modified: float) -> None:
        self.modified = modified
        self.shown_at = max(self.shown_at, modified if self.rebuilt_every else at)

    def _learn_rebuilding(self, modified: float, oldest_news: float | None) -> None:
        """How often the server makes the file anew.

        If it was unchanged at a time when there already was something new, it is not made anew with every change.
        """
        age = modified - self.modified
        if self.shown_at == NEVER or age <= 0:
            return
        if self.unchanged_at > self.modified and oldest_news is not None:
            lagged = oldest_news < self.unchanged_at - 2
            self.rebuilt_every = min(self.rebuilt_every or age, age) if lagged else 0.0
            self.proven_at = modified
        elif self.rebuilt_every:
            self.rebuilt_every = min(self.rebuilt_every, age)
            if modified - self.proven_at > PROOF_HOLDS:
                self.rebuilt_every *= 0.95  # a little too early: then its answer proves it again, or not


@dataclass(slots=True)
class TrackedThread(Asked):
    """A thread of an index: what is pending of it, and where it stands."""

    no: int
    position: int = 0
    replies: int = 0
    missing: int = 0
    backlog: int = 0
    """How many of the missing were so when the thread was first seen."""
    excess: int = 0
    doubtful: bool = False
    pending_since: float = 0.0
    """Since when posts are missing or in excess."""
    recent: Rate = field(default_factory=Rate)
    """Its last replies, and the seconds in which they came."""
    modified: float = 0.0
    placed_at: float = 0.0
    """The time of which `position` tells: that of the index's Last-Modified."""
    shown_at: float = 0.0
    in_part: int = 0
    """How many readings of its page in a row have left something pending."""
    gone_at: float | None = None
    """Since when it is in no index."""
    is_archived: bool = False
    """The archive lists it."""
    has_tail: bool = False

    @property
    def is_pending(self) -> bool:
        return bool(self.missing or self.excess or self.doubtful or self.gone_at is not None)

    # --- what an index says

    def listed(self, position: int, placed_at: float) -> bool:
        """An index lists it at this place of the bump order; whether it was in none before."""
        was_gone = self.gone_at is not None
        self.position, self.placed_at, self.gone_at = position, placed_at, None
        return was_gone

    def unlisted(self, at: float) -> bool:
        """An index that lists all threads does not list it; whether that is news."""
        is_news = self.gone_at is None
        if is_news:
            self.gone_at = at
        return is_news

    # --- what was read of it

    def compared(self, changes: Changes, at: float, is_own: bool = False) -> None:
        """Take note of what is pending after a comparison with what is stored; `is_own` for its own page."""
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
        """Nothing is pending any more, because its page says that there is no more. Returns the replies missing."""
        missing = self.missing - self.excess
        self.missing = self.backlog = self.excess = self.failures = self.in_part = 0
        self.doubtful = False
        return missing

    def close(self) -> None:
        """It is archived or gone: nothing of it is asked for any more."""
        self.settle()
        self.gone_at = None


class BoardState:
    """What is known of a board that is followed: its pace, its index files, its threads."""

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
        self.exposed = 0.0  # seconds that posts were fresh and watched
        self.deleted = 0  # posts that were deleted in these seconds
        self.files = {
            "catalog": IndexFile("catalog", 100_000, share=0.06),
            "1": IndexFile("1", 15_000, share=0.9),
            "2": IndexFile("2", 15_000, share=0.01),
            "threads": IndexFile("threads", 5_000, share=0.003),
        }
        # Only asked for while neither the catalog nor threads.json can be had.
        self.spare_pages: dict[str, IndexFile] = {}
        if has_archive:
            self.files["archive"] = IndexFile("archive", 10_000, share=0.0)
        self.threads: dict[int, TrackedThread] = {}
        self.pending: dict[int, TrackedThread] = {}
        self.forgotten: dict[int, float] = {}  # threads that are gone, and when they were asked for
        self.archived: dict[int, int] = {}
        """Threads of the archive that are to be read, the next one in front, and how often that failed."""
        self.archived_tries: dict[int, int] = {}  # of those under way
        self.left_archive: set[int] = set()  # deleted, if their pages say so too
        self.archived_now = NEVER

    def hazard(self) -> float:
        """The chance that a fresh post is deleted within the next second.

        From the moderation seen so far, but never less than HAZARD: what is deleted fastest is not seen at all.
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
        """How long a thread has been quiet, in classes: by how many posts were made on the board since its last reply.

        Halfway through the time since it was looked at last, so that this counts all of that time.
        """
        posts = max((thread.shown_at + at) / 2 - thread.modified, 0.0) * self.posts_a_second()
        return int(2 * math.log2(posts / 2 + 1))

    def grew(self, thread: TrackedThread, replies: int, at: float) -> None:
        """A thread has so many replies now: what that says of threads that were quiet for as long."""
        seconds = max(at - thread.shown_at, 0.0)
        self.profile[self.quiet(thread, at)].count(max(replies - thread.replies, 0), seconds)

    def replied(self, thread: TrackedThread, times: Sequence[int], at: float) -> None:
        """The times of a thread's last replies, in order."""
        last = times[-5:]
        if last:
            thread.modified = max(thread.modified, float(last[-1]))
            thread.recent = Rate(len(last), max(at - last[0], 1.0))

    def rate(self, thread: TrackedThread, at: float) -> float:
        """Replies a second that a thread may have had since it was looked at last."""
        return thread.recent(prior=self.profile[self.quiet(thread, at)](prior=0.0))

    @property
    def is_listed(self) -> bool:
        """Whether a file has been read that lists all live threads."""
        return any(self.files[what].shown_at != NEVER for what in COMPLETE)

    def is_down(self, *names: str) -> bool:
        """Whether index files could not be had or read when they were asked for last."""
        return all(self.files[what].failures for what in names)

    def file(self, what: str) -> IndexFile:
        """An index file; a further page may be answered when it is not asked for any more."""
        return self.files.get(what) or self.spare_pages.setdefault(what, IndexFile(what, 15_000, share=0.005))

    def files_to_ask_for(self) -> Iterable[IndexFile]:
        """The index files; the further pages too, while no file can be had that lists all threads."""
        if not self.is_down(*COMPLETE):
            self.spare_pages.clear()
            return self.files.values()
        for number in range(3, -(-self.capacity // self.per_page) + 2):  # a sticky takes no place from the others
            self.file(str(number))
        return [*self.files.values(), *self.spare_pages.values()]

    def gain(self, file: IndexFile) -> float:
        """Posts a second that a file is expected to show and no other one has shown before."""
        return file.found(prior=file.share * self.posts_a_second(), weight=120)

    def shift(self, seconds: float) -> None:
        """The server's clock has jumped: what was so long ago by our clock is as long ago as before."""
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
        """Up to when a file's news are known, from itself or from the catalog, which has all of them."""
        own = self.file(what).shown_at
        return own if what == "archive" else max(own, self.files["catalog"].shown_at)


def pace_of(numbers: Mapping[int, int], at: float) -> tuple[int, float]:
    """How many posts were made in how many seconds of late, from the numbers and times of some of them."""
    newest = max(numbers)
    recent = {no: time for no, time in numbers.items() if at - 600 <= time <= at}
    first = min(recent or {newest: numbers[newest]})
    if first == newest:
        first = max((no for no in numbers if no != newest), default=newest)
    return newest - first, max(at - numbers[first], 1.0)
