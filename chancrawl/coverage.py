"""How much of what was posted is held: per hour, from the numbers that a board gives its posts. Pure.

Numbers are one sequence per board: every number between the first and the last one seen is a post that is held or one
that is missing (deleted before anybody looked, or not yet read).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil

from chancrawl.known import IMPLAUSIBLE

UNWATCHED = timedelta(minutes=10)
"""Between two looks at a board that are further apart than this, nobody was watching."""


@dataclass(slots=True, frozen=True)
class HeldPost:
    no: int
    posted_at: datetime
    first_seen_at: datetime
    deleted_at: datetime | None


@dataclass(slots=True, frozen=True)
class Look:
    """A row of board_polls. `longest_gap` is in seconds; None for the first look of a crawl."""

    polled_at: datetime
    newest_no: int | None
    longest_gap: float | None


@dataclass(slots=True)
class Hour:
    """What is known of the posts of one hour. `missing` are intervals of numbers, both ends included."""

    start: datetime
    held: int = 0
    deleted: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    unwatched: timedelta = timedelta()

    @property
    def missing_count(self) -> int:
        return sum(last - first + 1 for first, last in self.missing)

    @property
    def issued(self) -> int:
        """How many numbers were given."""
        return self.held + self.missing_count

    def delay(self, share: float) -> float | None:
        """Seconds from a post's time until it was seen; 0.5 is the median, 0.95 the 95th percentile (nearest rank)."""
        if not self.delays:
            return None
        return sorted(self.delays)[max(ceil(share * len(self.delays)) - 1, 0)]


@dataclass(slots=True)
class Coverage:
    """The hours of a board in which somebody was watching, or posts are held; and when nobody was watching."""

    hours: list[Hour]
    pauses: list[tuple[datetime, datetime]]


def account(posts: Iterable[HeldPost], looks: Sequence[Look]) -> Coverage:
    """Posts by number and looks by time, each in order.

    What was on the board before anybody looked does not count: only what was posted since.
    """
    hours: dict[datetime, Hour] = {}

    def hour_of(time: datetime) -> Hour:
        start = time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return hours.setdefault(start, Hour(start))

    last = looks[0].newest_no if looks else None
    began = looks[0].polled_at if looks else None
    for post in posts:
        began = began or post.first_seen_at  # a board that was only passed over has no looks: the oldest post tells
        if last is None and post.posted_at < began:
            continue
        if last is not None and not last < post.no < last + IMPLAUSIBLE:
            continue
        hour = hour_of(post.posted_at)
        if last is not None and post.no > last + 1:
            hour.missing.append((last + 1, post.no - 1))
        hour.held += 1
        hour.deleted += post.deleted_at is not None
        hour.delays.append(max((post.first_seen_at - post.posted_at).total_seconds(), 0.0))
        last = post.no
    newest = max((look.newest_no for look in looks if look.newest_no is not None), default=None)
    if newest is not None and last is not None and newest > last:
        seen = next(look for look in looks if look.newest_no == newest)
        hour_of(seen.polled_at).missing.append((last + 1, newest))

    pauses = _pauses(looks)
    for start, end in pauses:
        while start < end:
            hour = hour_of(start)
            until = min(end, hour.start + timedelta(hours=1))
            hour.unwatched += until - start
            start = until
    return Coverage(sorted(hours.values(), key=lambda hour: hour.start), pauses)


def _pauses(looks: Sequence[Look]) -> list[tuple[datetime, datetime]]:
    pauses = []
    for before, look in pairwise(looks):
        if look.longest_gap is None:  # another crawl
            pauses.append((before.polled_at, look.polled_at))
        elif look.longest_gap > UNWATCHED.total_seconds():
            pauses.append((look.polled_at - timedelta(seconds=look.longest_gap), look.polled_at))
    return [(start, end) for start, end in pauses if end > start]
