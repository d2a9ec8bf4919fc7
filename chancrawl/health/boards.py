"""How well boards are followed, from the sums of hours and the kept coverage: no posts are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import nlargest

from chancrawl.imageboards.coverage import HOUR, UNWATCHED, Hour, hour_of, with_removed
from chancrawl.imageboards.stored_coverage import EPOCH, FIRST_POLL, KEPT, LAST, NEVER, REMOVED
from chancrawl.storage.base import Store, from_json, time_of

SUMS = "SELECT hour, posts, deleted, delay_seconds FROM board_hours WHERE board = ? AND hour >= ? ORDER BY hour"
LAST_POLL = "SELECT polled_at, newest_no FROM board_polls WHERE board = ? ORDER BY polled_at DESC LIMIT 1"
BREAKS = f"""
SELECT polled_at, longest_gap FROM board_polls WHERE board = ? AND polled_at > ?
    AND (longest_gap IS NULL OR longest_gap > {UNWATCHED.total_seconds():g}) ORDER BY polled_at
"""
POLL_BEFORE = "SELECT polled_at FROM board_polls WHERE board = ? AND polled_at < ? ORDER BY polled_at DESC LIMIT 1"

NEWEST = "SELECT posted_at FROM posts WHERE board = ? ORDER BY posted_at DESC LIMIT 1"
LOWER_POLL = "SELECT polled_at FROM board_polls WHERE board = ? AND newest_no < ? ORDER BY polled_at DESC LIMIT 1"
POLL_AFTER = "SELECT polled_at FROM board_polls WHERE board = ? AND polled_at > ? ORDER BY polled_at LIMIT 1"

MOST_INTERVALS = 20
"""Rows of missing numbers of one hour that are held in memory."""

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class HourSums:
    """The sums of an hour. `missing` and the delays are None where they are not known: before the board was followed,
    and `p95_seconds` until the hour has been over for two hours."""

    start: datetime
    posts: int = 0
    deleted: int = 0
    missing: int | None = None
    removed: int = 0
    mean_seconds: float | None = None
    p95_seconds: float | None = None
    intervals: tuple[tuple[int, int], ...] = ()
    """The longest rows of missing numbers, both ends included, as far as they are kept."""

    @property
    def issued(self) -> int | None:
        return None if self.missing is None else self.posts + self.missing + self.removed


@dataclass(slots=True)
class BoardNumbers:
    """The hours of a board, without those that have nothing, and when it was read."""

    board: str
    hours: list[HourSums] = field(default_factory=list)
    first_polled_at: datetime | None = None
    polled_at: datetime | None = None
    posted_at: datetime | None = None
    """When its newest stored post was made."""
    pauses: list[Interval] = field(default_factory=list)
    """When it was not watched."""

    def since(self, start: datetime) -> list[HourSums]:
        return [hour for hour in self.hours if hour.start >= start]


def coverage(hours: list[HourSums]) -> float | None:
    """The share of the posts that is stored; None if it is not known.

    >>> coverage([HourSums(EPOCH, posts=9, missing=1), HourSums(EPOCH, posts=5)])
    0.9
    """
    known = [hour for hour in hours if hour.missing is not None]
    issued = sum(hour.issued or 0 for hour in known)
    return (issued - sum(hour.missing or 0 for hour in known)) / issued if issued else None


def delay(hours: list[HourSums]) -> float | None:
    """The mean time in seconds from a post until it was seen."""
    known = [(hour.mean_seconds, hour.posts) for hour in hours if hour.mean_seconds is not None]
    posts = sum(posts for _, posts in known)
    return sum(seconds * posts for seconds, posts in known) / posts if posts else None


@dataclass(frozen=True, slots=True)
class _Settled:
    """What is kept of an hour. It is right as long as the hour has as many posts."""

    posts: int
    missing: int
    intervals: tuple[tuple[int, int], ...]
    p95_seconds: float | None


class BoardReader:
    """Reads the numbers of boards again and again. What is settled is read once, and held in memory."""

    def __init__(self) -> None:
        self._settled: dict[str, dict[datetime, _Settled]] = {}
        self._pauses: dict[str, list[Interval]] = {}
        self._looked_at: dict[str, datetime] = {}
        self._began: dict[str, datetime] = {}
        self._first_no: dict[str, int] = {}

    def read(self, store: Store, board: str, since: datetime) -> BoardNumbers:
        """The numbers of a board from the beginning of an hour on."""
        numbers = BoardNumbers(board, first_polled_at=self._first_poll(store, board))
        newest = None
        for polled_at, newest_no in store.rows(LAST_POLL, board):
            numbers.polled_at, newest = time_of(polled_at), newest_no
        numbers.posted_at = next((time_of(at) for (at,) in store.rows(NEWEST, board)), None)
        self._read_pauses(store, board, since, numbers)
        numbers.hours = self._hours(store, board, since, numbers, newest)
        return numbers

    def _first_poll(self, store: Store, board: str) -> datetime | None:
        if board not in self._began:
            for polled_at, newest_no, _ in store.rows(FIRST_POLL, board):
                self._began[board], self._first_no[board] = time_of(polled_at), newest_no or 0
        return self._began.get(board)

    def _read_pauses(self, store: Store, board: str, since: datetime, numbers: BoardNumbers) -> None:
        pauses = self._pauses.setdefault(board, [])
        looked_at = self._looked_at.get(board, since)
        if looked_at < since or hour_of(looked_at) != hour_of(numbers.polled_at or looked_at):
            pauses, looked_at = [], since  # once an hour from the beginning: a spool can bring polls that are older
        for polled_at, gap in store.rows(BREAKS, board, looked_at):
            end = time_of(polled_at)
            start = end - timedelta(seconds=gap or 0)
            if gap is None:  # the first row of a crawl
                start = next((time_of(at) for (at,) in store.rows(POLL_BEFORE, board, end)), end)
            if end > start:
                pauses.append((start, end))
        if numbers.polled_at is not None:
            self._looked_at[board] = numbers.polled_at
        self._pauses[board] = numbers.pauses = [pause for pause in pauses if pause[1] > since]

    def _hours(
        self, store: Store, board: str, since: datetime, numbers: BoardNumbers, newest: int | None
    ) -> list[HourSums]:
        """The hours, each from what is kept of it, or else from its sums and the numbers at its ends."""
        began = numbers.first_polled_at
        settled = self._read_settled(store, board, since)
        sums = {time_of(hour): rest for hour, *rest in store.rows(SUMS, board, since) if rest[0]}
        trailing, last_hour = _trailing(store, board, newest)
        if trailing and last_hour is not None and last_hour >= since:
            sums.setdefault(last_hour, [0, 0, 0])
        hours, means, known = [], {}, set()
        last: int | None = None  # the highest number before the hour, if it is known
        for start in sorted(sums):
            posts, deleted, seconds = sums[start]
            hour = Hour(start, posts, deleted)
            if began is not None and start > hour_of(began):
                known.add(start)
                means[start] = seconds / posts if posts else None
                kept = settled.get(start)
                if kept is not None and kept.posts == posts:
                    last = None
                    hour.missing = list(kept.intervals)
                    hour.withheld = kept.missing - hour.missing_count
                else:
                    first = max(_last_no(store, board, start) if last is None else last, self._first_no[board])
                    last = _last_no(store, board, start + HOUR)
                    after_all = trailing if start == last_hour else 0
                    hour.withheld = max(last - first + after_all - posts, 0)
            hours.append(hour)
        before = [hour for hour in hours if hour.start not in known]
        followed = [hour for hour in hours if hour.start in known]
        removed = {time_of(hour): posts for hour, posts in store.rows(REMOVED, board)}
        return [
            HourSums(
                hour.start, hour.held, hour.deleted, hour.missing_count if hour.start in known else None, hour.removed,
                means.get(hour.start), settled[hour.start].p95_seconds if hour.start in settled else None,
                tuple(hour.missing),
            )
            for hour in (*before, *with_removed(followed, removed))
        ]  # fmt: skip

    def _read_settled(self, store: Store, board: str, since: datetime) -> dict[datetime, _Settled]:
        """The hours whose coverage is kept, those that are new by now among them."""
        known = self._settled.setdefault(board, {})
        for start in [start for start in known if start < since]:
            del known[start]
        for row in store.rows(KEPT, board, max(known, default=since), NEVER):
            start, (posts, _, missing, delays) = time_of(row[0]), row[1:]
            gaps = [(first, last) for first, last in from_json(missing)]
            longest = nlargest(MOST_INTERVALS, gaps, key=lambda pair: pair[1] - pair[0])
            whole = Hour(start, missing=gaps, delays=Counter(dict(from_json(delays))))
            known[start] = _Settled(posts, whole.missing_count, tuple(longest), whole.delay(0.95))
        return known


def gaps(hours: list[HourSums]) -> Iterator[tuple[datetime, int, int]]:
    """The longest rows of missing numbers: the hour, the first and the last one."""
    for hour in hours:
        for first, last in hour.intervals:
            yield hour.start, first, last


def _trailing(store: Store, board: str, newest: int | None) -> tuple[int, datetime | None]:
    """How many numbers after the last stored post were seen, and the hour that they count for: the one of the first
    poll that saw the highest number."""
    ((last,),) = store.rows("SELECT max(no) FROM posts WHERE board = ?", board)
    if newest is None or last is None or newest <= last:
        return 0, None
    before = store.rows(LOWER_POLL, board, newest)
    first = store.rows(POLL_AFTER, board, before[0][0] if before else EPOCH)
    return newest - last, hour_of(time_of(first[0][0])) if first else None


def _last_no(store: Store, board: str, before: datetime) -> int:
    """The highest number of a post that was made before a time; 0 if there is none."""
    ((number,),) = store.rows(LAST, board, before)
    return int(number or 0)
