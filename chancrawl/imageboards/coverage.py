"""How much of what was posted is stored, for each hour, computed from the numbers of a board's posts. Sans I/O.

The posts of a board are numbered without gaps. Each number between the first and the last one seen is a post that is
stored or a post that is missing (deleted before the crawl saw it, or not yet read).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import NamedTuple

from chancrawl.imageboards.board_state import IMPLAUSIBLE
from chancrawl.items import Poll

HOUR = timedelta(hours=1)

UNWATCHED = timedelta(minutes=10)
"""Between two observations of a board that are further apart than this, the board counts as unwatched."""


def hour_of(time: datetime) -> datetime:
    """The beginning of the hour of a time, in UTC."""
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hours_between(start: datetime, end: datetime) -> list[datetime]:
    """The hours from one that begins at `start` to that of `end`."""
    return [start + number * HOUR for number in range(int((end - start) / HOUR) + 1)]


class HeldPost(NamedTuple):
    """A stored post. Times are in seconds since 1970 instead of datetimes, because there are millions of posts."""

    no: int
    posted: int
    seen: int
    is_deleted: bool


@dataclass(slots=True, frozen=True)
class BoardPoll:
    """A row of board_polls. `longest_gap` is in seconds; None for the first row of a crawl."""

    polled_at: datetime
    newest_no: int | None
    longest_gap: float | None


@dataclass(slots=True)
class Hour:
    """The counts of one hour. `missing` are intervals of numbers, both ends included."""

    start: datetime
    held: int = 0
    deleted: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    delays: Counter[int] = field(default_factory=Counter)
    """Number of posts, by the seconds between posting and the first observation."""
    unwatched: timedelta = timedelta()
    removed: int = 0
    """Posts that were stored and removed since (`scrapy forget`)."""
    withheld: int = 0
    """Missing numbers that are not named in `missing`, because the numbers of removed posts are among them."""
    first_no: int = field(default=0, compare=False)
    """The lowest number of a stored post."""
    after_no: int = field(default=0, compare=False)
    """The number before it: up to it, no number is missing in this hour."""

    @property
    def missing_count(self) -> int:
        return sum(last - first + 1 for first, last in self.missing) + self.withheld

    @property
    def issued(self) -> int:
        """How many numbers the board gave to posts."""
        return self.held + self.missing_count + self.removed

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
    """The hours of a board that have posts or unwatched time, and the intervals in which it was not watched."""

    hours: list[Hour]
    pauses: list[tuple[datetime, datetime]]


@dataclass(slots=True)
class Watch:
    """When a board was watched: its first poll, the first one with the highest number, and the unwatched intervals."""

    first: BoardPoll | None = None
    highest: BoardPoll | None = None
    pauses: list[tuple[datetime, datetime]] = field(default_factory=list)

    @classmethod
    def of(cls, polls: Iterable[BoardPoll]) -> Watch:
        """`polls` are ordered by time."""
        watch = cls()
        before: BoardPoll | None = None
        for poll in polls:
            watch.first = watch.first or poll
            highest = watch.highest
            if poll.newest_no is not None and (highest is None or poll.newest_no > (highest.newest_no or 0)):
                watch.highest = poll
            if before is not None:
                watch.pauses += _pause(before, poll)
            before = poll
        return watch


class _Hours:
    """Hours by their number since 1970, made when they are asked for."""

    def __init__(self, hours: Iterable[Hour] = ()) -> None:
        self._hours = {int(hour.start.timestamp()) // 3600: hour for hour in hours}

    def at(self, seconds: float) -> Hour:
        number = int(seconds // 3600)
        hour = self._hours.get(number)
        if hour is None:
            hour = self._hours[number] = Hour(datetime.fromtimestamp(number * 3600, UTC))
        return hour

    def in_order(self) -> list[Hour]:
        return sorted(self._hours.values(), key=lambda hour: hour.start)


def account(posts: Iterable[HeldPost], polls: Iterable[BoardPoll], after: int = 0) -> Coverage:
    """The coverage of a board. `posts` are ordered by number and `polls` by time; each is iterated once.

    Only posts that were made after the first poll, and have a number above `after`, are counted.
    """
    watch = Watch.of(polls)
    return with_pauses(counted(posts, watch, after), watch)


def counted(posts: Iterable[HeldPost], watch: Watch, after: int = 0) -> list[Hour]:
    """The hours of a board's posts, which are ordered by number. Only those with a number above `after` are counted."""
    hours = _Hours()
    last = watch.first.newest_no if watch.first else None
    if after:
        last = max(last or 0, after)
    began = watch.first.polled_at.timestamp() if watch.first else None
    for no, posted, seen, is_deleted in posts:
        began = began or seen  # a board that was never followed has no polls: the first stored post is the beginning
        if last is None and posted < began:
            continue
        if last is not None and not last < no < last + IMPLAUSIBLE:
            continue
        hour = hours.at(posted)
        if not hour.held:
            hour.first_no, hour.after_no = no, last or 0
        if last is not None and no > last + 1:
            hour.missing.append((last + 1, no - 1))
        hour.held += 1
        hour.deleted += is_deleted
        delay = seen - posted
        hour.delays[delay if delay > 0 else 0] += 1
        last = no
    highest = watch.highest
    if highest is not None and highest.newest_no is not None and last is not None and highest.newest_no > last:
        hours.at(highest.polled_at.timestamp()).missing.append((last + 1, highest.newest_no))
    return hours.in_order()


def with_removed(hours: Iterable[Hour], removed: Mapping[datetime, int]) -> list[Hour]:
    """Hours in which removed posts do not count as missing. `removed` are their numbers by the hour of their time.

    The number of a post can be missing in a later hour: in that of the next stored post. So neither of both names its
    missing numbers.
    """
    found = {hour.start: hour for hour in hours}
    left = 0
    is_near = False  # posts were removed since the stored hour before
    for start in sorted(found.keys() | removed.keys()):
        left += removed.get(start, 0)
        hour = found.get(start)
        if hour is not None:
            if left or is_near or start in removed:
                missing = hour.missing_count
                hour.removed = min(left, missing)
                hour.missing, hour.withheld = [], missing - hour.removed
                left -= hour.removed
            is_near = start in removed
        else:
            is_near = True
    return [found[start] for start in sorted(found)]


def with_pauses(counts: Iterable[Hour], watch: Watch) -> Coverage:
    """Hours with the time in which the board was not watched."""
    hours = _Hours(counts)
    for start, end in watch.pauses:
        while start < end:
            hour = hours.at(start.timestamp())
            until = min(end, hour.start + HOUR)
            hour.unwatched += until - start
            start = until
    return Coverage(hours.in_order(), watch.pauses)


def _pause(before: BoardPoll, poll: BoardPoll) -> list[tuple[datetime, datetime]]:
    """The unwatched interval between two polls: a list of one, or empty."""
    start = poll.polled_at
    if poll.longest_gap is None:  # another crawl
        start = before.polled_at
    elif poll.longest_gap > UNWATCHED.total_seconds():
        start = poll.polled_at - timedelta(seconds=poll.longest_gap)
    return [(start, poll.polled_at)] if poll.polled_at > start else []


def by_day(coverage: Coverage) -> Coverage:
    """The hours of each UTC day in one."""
    days: dict[datetime, Hour] = {}
    for hour in coverage.hours:
        start = hour.start.replace(hour=0)
        day = days.setdefault(start, Hour(start))
        day.held += hour.held
        day.deleted += hour.deleted
        day.missing += hour.missing
        day.removed += hour.removed
        day.withheld += hour.withheld
        day.delays += hour.delays
        day.unwatched += hour.unwatched
    return Coverage(list(days.values()), coverage.pauses)


THIN_AFTER = timedelta(days=7)
"""Polls older than this are thinned."""

THIN_TO = timedelta(minutes=10)
"""Of old polls, one per this interval is kept, and both ends of each pause."""


def thinned(polls: Sequence[Poll]) -> tuple[list[Poll], list[Poll]]:
    """The changed and the removed ones of a board's old polls, which are in order of time. `account` stays the same:
    the first poll, the first one with the highest number, and both ends of each pause are kept."""
    highest = max((poll.newest_no or 0 for poll in polls), default=0)
    changed: list[Poll] = []
    gone: list[Poll] = []
    waiting: list[Poll] = []  # to be merged into the next poll that is kept
    for number, poll in enumerate(polls):
        after = polls[number + 1] if number + 1 < len(polls) else None
        stays = (
            number == 0
            or after is None
            or poll.longest_gap is None
            or after.longest_gap is None
            or _bucket(after) != _bucket(poll)
            or max(poll.longest_gap, after.longest_gap) > UNWATCHED.total_seconds()
            or (poll.newest_no == highest and (polls[number - 1].newest_no or 0) < highest)
        )
        if not stays:
            waiting.append(poll)
        elif waiting:
            gaps = [each.longest_gap for each in (*waiting, poll) if each.longest_gap is not None]
            together = sum(each.looks for each in (*waiting, poll))
            changed.append(
                replace(poll, looks=together, longest_gap=max(gaps) if poll.longest_gap is not None else None)
            )
            gone += waiting
            waiting = []
    return changed, gone


def _bucket(poll: Poll) -> int:
    return int(poll.polled_at.timestamp() // THIN_TO.total_seconds())


def between(coverage: Coverage, since: datetime | None, until: datetime | None) -> Coverage:
    """The part of a board's coverage that lies between two times, in whole hours."""
    first, last = since or datetime.min.replace(tzinfo=UTC), until or datetime.max.replace(tzinfo=UTC)
    hours = [hour for hour in coverage.hours if hour.start < last and hour.start + HOUR > first]
    pauses = [(max(start, first), min(end, last)) for start, end in coverage.pauses if start < last and end > first]
    return Coverage(hours, pauses)
