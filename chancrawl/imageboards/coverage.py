"""How much of what was posted is held: per hour, from the numbers that a board gives its posts. Sans I/O.

Numbers are one sequence per board: every number between the first and the last one seen is a post that is held or one
that is missing (deleted before anybody looked, or not yet read).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import NamedTuple

from chancrawl.imageboards.board_state import IMPLAUSIBLE
from chancrawl.items import Poll

UNWATCHED = timedelta(minutes=10)
"""Between two looks at a board that are further apart than this, nobody was watching."""


class HeldPost(NamedTuple):
    """A post that is stored. Times are in seconds since 1970: of these there are millions."""

    no: int
    posted: int
    seen: int
    is_deleted: bool


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
    delays: Counter[int] = field(default_factory=Counter)
    """How many posts were seen so many seconds after they were made."""
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
        rank = max(ceil(share * self.delays.total()), 1)
        for seconds, number in sorted(self.delays.items()):
            rank -= number
            if rank <= 0:
                return float(seconds)
        return None


@dataclass(slots=True)
class Coverage:
    """The hours of a board in which somebody was watching, or posts are held; and when nobody was watching."""

    hours: list[Hour]
    pauses: list[tuple[datetime, datetime]]


def account(posts: Iterable[HeldPost], looks: Iterable[Look], after: int = 0) -> Coverage:
    """Posts by number and looks by time, each in order; either is gone through once, whatever its length.

    What was on the board before anybody looked does not count: only what was posted since, and above the number
    `after`.
    """
    hours: dict[int, Hour] = {}

    def hour_of(seconds: float) -> Hour:
        number = int(seconds // 3600)
        hour = hours.get(number)
        if hour is None:
            hour = hours[number] = Hour(datetime.fromtimestamp(number * 3600, UTC))
        return hour

    first: Look | None = None
    highest: Look | None = None
    pauses: list[tuple[datetime, datetime]] = []
    before: Look | None = None
    for look in looks:
        first = first or look
        if look.newest_no is not None and (highest is None or look.newest_no > (highest.newest_no or 0)):
            highest = look
        if before is not None:
            pauses += _pause(before, look)
        before = look
    last = first.newest_no if first else None
    if after:
        last = max(last or 0, after)
    began = first.polled_at.timestamp() if first else None
    for no, posted, seen, is_deleted in posts:
        began = began or seen  # a board that was only passed over has no looks: the oldest post tells
        if last is None and posted < began:
            continue
        if last is not None and not last < no < last + IMPLAUSIBLE:
            continue
        hour = hour_of(posted)
        if last is not None and no > last + 1:
            hour.missing.append((last + 1, no - 1))
        hour.held += 1
        hour.deleted += is_deleted
        delay = seen - posted
        hour.delays[delay if delay > 0 else 0] += 1
        last = no
    if highest is not None and highest.newest_no is not None and last is not None and highest.newest_no > last:
        hour_of(highest.polled_at.timestamp()).missing.append((last + 1, highest.newest_no))

    for start, end in pauses:
        while start < end:
            hour = hour_of(start.timestamp())
            until = min(end, hour.start + timedelta(hours=1))
            hour.unwatched += until - start
            start = until
    return Coverage(sorted(hours.values(), key=lambda hour: hour.start), pauses)


def _pause(before: Look, look: Look) -> list[tuple[datetime, datetime]]:
    """The time between two looks in which nobody was watching, if there is one."""
    start = look.polled_at
    if look.longest_gap is None:  # another crawl
        start = before.polled_at
    elif look.longest_gap > UNWATCHED.total_seconds():
        start = look.polled_at - timedelta(seconds=look.longest_gap)
    return [(start, look.polled_at)] if look.polled_at > start else []


def by_day(coverage: Coverage) -> Coverage:
    """The hours of each UTC day in one."""
    days: dict[datetime, Hour] = {}
    for hour in coverage.hours:
        start = hour.start.replace(hour=0)
        day = days.setdefault(start, Hour(start))
        day.held += hour.held
        day.deleted += hour.deleted
        day.missing += hour.missing
        day.delays += hour.delays
        day.unwatched += hour.unwatched
    return Coverage(list(days.values()), coverage.pauses)


THIN_AFTER = timedelta(days=7)
"""Looks so old are thinned."""

THIN_TO = timedelta(minutes=10)
"""Of old looks one in so long a time is kept, and each by which a pause is known."""


def thinned(looks: Sequence[Poll]) -> tuple[list[Poll], list[Poll]]:
    """Old looks of one board by time: those that are kept and change, and those that go. `account` says the same
    without them: the first look, the first one with the highest number, and both ends of each pause stay."""
    highest = max((look.newest_no or 0 for look in looks), default=0)
    changed: list[Poll] = []
    gone: list[Poll] = []
    waiting: list[Poll] = []  # that go into the next look that is kept
    for number, look in enumerate(looks):
        after = looks[number + 1] if number + 1 < len(looks) else None
        stays = (
            number == 0
            or after is None
            or look.longest_gap is None
            or after.longest_gap is None
            or _bucket(after) != _bucket(look)
            or max(look.longest_gap, after.longest_gap) > UNWATCHED.total_seconds()
            or (look.newest_no == highest and (looks[number - 1].newest_no or 0) < highest)
        )
        if not stays:
            waiting.append(look)
        elif waiting:
            gaps = [each.longest_gap for each in (*waiting, look) if each.longest_gap is not None]
            together = sum(each.looks for each in (*waiting, look))
            changed.append(
                replace(look, looks=together, longest_gap=max(gaps) if look.longest_gap is not None else None)
            )
            gone += waiting
            waiting = []
    return changed, gone


def _bucket(look: Poll) -> int:
    return int(look.polled_at.timestamp() // THIN_TO.total_seconds())


def between(coverage: Coverage, since: datetime | None, until: datetime | None) -> Coverage:
    """The part of a board's account that lies between two times; whole hours."""
    first, last = since or datetime.min.replace(tzinfo=UTC), until or datetime.max.replace(tzinfo=UTC)
    hours = [hour for hour in coverage.hours if hour.start < last and hour.start + timedelta(hours=1) > first]
    pauses = [(max(start, first), min(end, last)) for start, end in coverage.pauses if start < last and end > first]
    return Coverage(hours, pauses)
