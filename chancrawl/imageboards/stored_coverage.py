"""The coverage of a board, computed from the store.

A crawl that follows a board writes the coverage of past hours to board_coverage, so that nobody has to read their posts
again. The sums in board_hours tell which hours have changed since.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from chancrawl.errors import UserError
from chancrawl.imageboards.coverage import (
    HOUR,
    BoardPoll,
    Coverage,
    HeldPost,
    Hour,
    Watch,
    between,
    counted,
    hour_of,
    with_pauses,
    with_removed,
)  # fmt: skip
from chancrawl.storage.base import Store, from_json, time_of
from chancrawl.text import capitalized

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = datetime(9999, 1, 1, tzinfo=UTC)

RECENT = timedelta(days=10)
"""How far back a crawl looks for changed hours each hour. Only threads that can still be read change."""

SETTLED = 2 * HOUR
"""An hour is kept when it has been over for so long."""

PIECE = 24 * HOUR
"""The longest stretch of which `keep` reads the posts at a time."""

POSTS = """
SELECT no, {posted}, {seen}, CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END FROM posts
WHERE board = ? AND no >= ? AND no <= ? ORDER BY no
"""
# Numbers rise with time, except within about a second: so the lowest or highest number of 100 posts is used.
NEAR = (
    "SELECT {}(no) FROM (SELECT no FROM posts WHERE board = ? AND posted_at {} ? ORDER BY posted_at {} LIMIT 100) near"
)
FIRST, LAST = NEAR.format("min", ">=", ""), NEAR.format("max", "<", "DESC")
BEFORE = "SELECT max(no) FROM posts WHERE board = ? AND no < ?"
NEXT = "SELECT min(no) FROM posts WHERE board = ? AND no > ?"
FIRST_POLL = "SELECT polled_at, newest_no, longest_gap FROM board_polls WHERE board = ? ORDER BY polled_at LIMIT 1"
POLLS = (
    "SELECT polled_at, newest_no, longest_gap FROM board_polls WHERE board = ? AND polled_at >= ? ORDER BY polled_at"
)

REMOVED = "SELECT hour, posts FROM removed_hours WHERE board = ?"

BOARDS = "SELECT DISTINCT board FROM board_hours WHERE posts > 0 ORDER BY board"
HELD = """
SELECT hour, posts, delay_seconds, no_sum FROM board_hours
WHERE board = ? AND hour >= ? AND hour < ? AND posts > 0 ORDER BY hour
"""
KEPT = """
SELECT kept.hour, held.posts, held.deleted, kept.missing, kept.delays FROM board_coverage AS kept
JOIN board_hours AS held ON held.board = kept.board AND held.hour = kept.hour AND held.posts = kept.posts
    AND held.delay_seconds = kept.delay_seconds AND held.no_sum = kept.no_sum
WHERE kept.board = ? AND kept.hour >= ? AND kept.hour < ?
    AND kept.after_no = (SELECT max(no) FROM posts WHERE posts.board = kept.board AND posts.no < kept.first_no)
ORDER BY kept.hour
"""
KEEP = """
INSERT INTO board_coverage (board, hour, posts, delay_seconds, no_sum, first_no, after_no, missing, delays)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (board, hour) DO UPDATE SET posts = excluded.posts, delay_seconds = excluded.delay_seconds,
    no_sum = excluded.no_sum, first_no = excluded.first_no, after_no = excluded.after_no, missing = excluded.missing,
    delays = excluded.delays
"""

Read = Callable[..., Iterable[Any]]
Stretch = tuple[datetime | None, datetime | None]


def boards_of(store: Store) -> list[str]:
    """The boards of which posts are stored."""
    return [board for (board,) in list(store.stream(BOARDS))]


def stored_boards(store: Store, wanted: Sequence[str]) -> list[str]:
    """The wanted boards, or all that are stored. UserError if nothing of one is stored."""
    stored = boards_of(store)
    for board in wanted:
        if board not in stored:
            raise UserError(f"{capitalized(store.place)} holds nothing of /{board}/.")
    return list(wanted) or stored


def coverage_of(store: Store, board: str, since: datetime | None = None, until: datetime | None = None) -> Coverage:
    """The coverage of a board, at least for the hours between two times."""
    since = None if since is None else hour_of(since)
    polls: Iterable[Any] = store.stream(POLLS, board, EPOCH)
    if since is not None:
        polls = chain(store.stream(FIRST_POLL, board), store.stream(POLLS, board, since - HOUR))
    watch = Watch.of(BoardPoll(time_of(at), newest, gap) for at, newest, gap in polls)
    hours = _up_to_date(store.stream, board, watch, since or EPOCH, until or NEVER)
    *between_them, rest = _others(hours, since, until)
    for start, end in between_them:
        if any(store.stream(f"{HELD} LIMIT 1", board, start or EPOCH, end)):
            hours += _counted(store, store.stream, board, watch, start, end)
    hours += _counted(store, store.stream, board, watch, *rest)
    removed = {time_of(hour): posts for hour, posts in store.stream(REMOVED, board)}
    return with_pauses(with_removed(hours, removed), watch)


def out_of_date(
    store: Store, board: str, since: datetime = EPOCH, now: datetime | None = None
) -> list[tuple[datetime, datetime]]:
    """The stretches of past hours, from `since` on, whose coverage is to be kept. Empty for a board without polls."""
    polls = [BoardPoll(time_of(at), newest, gap) for at, newest, gap in store.rows(FIRST_POLL, board)]
    if not polls:
        return []
    since = max(since, hour_of(polls[0].polled_at) + HOUR)
    until = hour_of((now or datetime.now(UTC)) - SETTLED)
    kept = {time_of(row[0]) for row in store.rows(KEPT, board, since, until)}
    stretches: list[tuple[datetime, datetime]] = []
    for row in store.rows(HELD, board, since, until):
        hour = time_of(row[0])
        if hour in kept:
            continue
        if stretches and hour <= stretches[-1][1] + HOUR and hour - stretches[-1][0] < PIECE:
            stretches[-1] = stretches[-1][0], hour + HOUR
        else:
            stretches.append((hour, hour + HOUR))
    return stretches


def keep(store: Store, board: str, start: datetime, end: datetime, now: datetime | None = None) -> int:
    """Write the coverage of past hours, and of the hour before and after them. Returns the number of rows.

    A post that comes late can have a missing number of the hour beside its own.
    """
    until = min(end + HOUR, hour_of((now or datetime.now(UTC)) - SETTLED))
    sums = {time_of(hour): numbers for hour, *numbers in store.rows(HELD, board, start - HOUR, until)}
    watch = Watch.of(BoardPoll(time_of(at), newest, gap) for at, newest, gap in store.rows(FIRST_POLL, board))
    rows = []
    for hour in _counted(store, store.rows, board, watch, start - HOUR, until):
        posts, delay_seconds, no_sum = sums.get(hour.start, (0, 0, 0))
        if hour.held == posts and hour.held:  # the first hour has posts from before the first poll
            rows.append((KEEP, (
                board, hour.start, posts, delay_seconds, no_sum, hour.first_no, hour.after_no,
                json.dumps(hour.missing), json.dumps(sorted(hour.delays.items())),
            )))  # fmt: skip
    if rows:
        store.write(rows)
    return len(rows)


def _up_to_date(read: Read, board: str, watch: Watch, since: datetime, until: datetime) -> list[Hour]:
    """The kept hours that are right: they have not changed, and neither have the hours before and after them."""
    if watch.first is None or watch.highest is None:
        return []
    # Numbers that are missing after the last stored post belong to the hour of the poll that saw the highest number.
    since, until = max(since, hour_of(watch.first.polled_at) + HOUR), min(until, hour_of(watch.highest.polled_at))
    kept = {time_of(hour): rest for hour, *rest in read(KEPT, board, since, until)}
    changed = {hour for row in read(HELD, board, since - HOUR, until + HOUR) if (hour := time_of(row[0])) not in kept}
    found = []
    for start, (posts, deleted, missing, delays) in kept.items():
        if not {start - HOUR, start + HOUR} & changed:
            gaps = [(first, last) for first, last in from_json(missing)]
            found.append(Hour(start, posts, deleted, gaps, Counter(dict(from_json(delays)))))
    return found


def _others(hours: list[Hour], since: datetime | None, until: datetime | None) -> Iterator[Stretch]:
    """The stretches of time between hours."""
    start = since
    for hour in hours:
        if start is None or hour.start > start:
            yield start, hour.start
        start = hour.start + HOUR
    yield start, until


def _counted(
    store: Store, read: Read, board: str, watch: Watch, since: datetime | None, until: datetime | None
) -> list[Hour]:
    """The hours of a stretch, counted from its posts."""
    first, after, last = 0, 0, 2**63 - 1
    if since is not None:
        ((first_no,),) = read(FIRST, board, since - HOUR)
        first = first_no or last
        ((after,),) = read(BEFORE, board, first)
    if until is not None:
        ((last_no,),) = read(LAST, board, until + HOUR)
        ((next_no,),) = read(NEXT, board, last_no or 0)  # missing numbers before it count for its hour
        last = next_no or last
    sql = POSTS.format(
        posted=store.sql_seconds.format("coalesce(posted_at, first_seen_at)"),
        seen=store.sql_seconds.format("first_seen_at"),
    )
    posts = map(HeldPost._make, read(sql, board, first, last))
    return between(Coverage(counted(posts, watch, after or 0), []), since, until).hours
