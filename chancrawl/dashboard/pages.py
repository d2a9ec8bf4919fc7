"""What the pages show: each function reads one page's data, at a desk, within the time of a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chancrawl.dashboard.charts import bars, sparkline
from chancrawl.dashboard.queries import Desk, Missing
from chancrawl.frames import duration
from chancrawl.health.boards import BoardNumbers, BoardReader, HourSums, coverage, delay, gaps
from chancrawl.imageboards.coverage import UNWATCHED, hour_of, hours_between
from chancrawl.items import Account, Tweet
from chancrawl.storage import runs
from chancrawl.storage.base import Store, from_json, moment, select, time_of
from chancrawl.x.accounts import account_of
from chancrawl.x.pagination import EPOCH

Context = dict[str, Any]

DAYS = (1, 7, 30, 90)
"""The stretches of a board's and an account's page, in days."""

ROWS = 100
"""Rows of a table on a page."""

LIVE = """
SELECT no, subject, replies, images, last_modified, sticky FROM threads
WHERE board = ? AND fate = 'live' ORDER BY last_modified DESC NULLS LAST LIMIT ?
"""
DELETED = """
SELECT no, thread_no, posted_at, last_seen_at, deleted_at FROM posts
WHERE board = ? AND deleted_at IS NOT NULL AND deleted_at >= ? ORDER BY deleted_at DESC LIMIT 2000
"""
BOARD = "SELECT title, gone_at FROM boards WHERE board = ?"
THREADS_OF = "SELECT 1 FROM threads WHERE board = ? LIMIT 1"
LIFETIMES = (("1 minute", 60), ("5 minutes", 300), ("15 minutes", 900), ("1 hour", 3600), ("6 hours", 21600),
             ("1 day", 86400), ("longer", float("inf")))  # fmt: skip

RUNS = """
SELECT run_id, spider, arguments, started_at, finished_at, finish_reason, dollars, host, alive_at
FROM runs WHERE run_id < ? ORDER BY run_id DESC LIMIT ?
"""
SPENDING = "SELECT day, posts, users, trends, dollars FROM spending ORDER BY day DESC LIMIT 31"

FEED = "SELECT complete_since, visited_at, posts, posts_per_day FROM feeds WHERE feed = ?"
GAPS = "SELECT starts_at, ends_at, reason FROM gaps WHERE feed = ? ORDER BY before_id DESC LIMIT ?"
ACCOUNT_HOURS = "SELECT hour, posts FROM account_hours WHERE account_id = ? AND hour >= ? ORDER BY hour"
ACCOUNTS = """
SELECT id, username, name, status, last_seen_at,
    (SELECT complete_since FROM feeds WHERE feed = 'timeline:' || CAST(accounts.id AS text)),
    (SELECT visited_at FROM feeds WHERE feed = 'timeline:' || CAST(accounts.id AS text))
FROM accounts WHERE id > ? ORDER BY id LIMIT ?
"""
OTHER_FEEDS = """
SELECT feed, complete_since, visited_at, posts FROM feeds WHERE feed > ? AND feed NOT LIKE ? ORDER BY feed LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class More:
    """The rows of a table that fit on a page, and the key with which the next page begins; None at the end."""

    rows: Sequence[Any]
    after: Any

    @classmethod
    def of(cls, rows: Sequence[Any], key: int | str = 0) -> More:
        """`rows` are one more than fit, if there are so many; `key` is where each has its key."""
        return cls(rows[:ROWS], rows[ROWS - 1][key] if len(rows) > ROWS else None)


# --- boards


def board(desk: Desk, name: str, days: int, now: datetime) -> Context:
    """A board: its hours, gaps and unwatched times, deletions, live threads."""
    store = desk.store
    about = store.rows(BOARD, name)
    is_stored = about or store.rows("SELECT 1 FROM board_hours WHERE board = ? LIMIT 1", name)
    if not is_stored and not store.rows(THREADS_OF, name):
        raise Missing(f"Nothing of /{name}/ is stored.")
    since = hour_of(now - timedelta(days=days))
    title, gone_at = about[0] if about else (None, None)
    numbers = desk.part(lambda: BoardReader().read(store, name, since))
    deletions = desk.part(lambda: _deletions(store, name, since))
    threads = desk.part(lambda: store.rows(LIVE, name, ROWS))
    found: Context = {
        "board": name, "title": title, "gone_at": moment(gone_at), "days": days, "since": since,
        "numbers": numbers, "deletions": deletions,
        "threads": threads if isinstance(threads, Exception) else [_live(row) for row in threads],
    }  # fmt: skip
    if not isinstance(numbers, Exception):
        found |= {
            "coverage": coverage(numbers.hours), "delay": delay(numbers.hours), "hours": numbers.hours[::-1],
            "missing": sum(hour.missing or 0 for hour in numbers.hours),
            "posts": sum(hour.posts for hour in numbers.hours),
            "gaps": sorted(gaps(numbers.hours), key=lambda gap: (gap[1] - gap[2], gap[1]))[:ROWS],
            "pauses": [*_pause_until(now, numbers), *numbers.pauses[::-1]][:ROWS],
        }  # fmt: skip
    return found


def _pause_until(now: datetime, numbers: BoardNumbers) -> list[tuple[datetime, datetime]]:
    """The time since the last reading, if it is so long that the board counts as unwatched."""
    read_at = numbers.polled_at
    return [(read_at, now)] if read_at is not None and now - read_at > UNWATCHED else []


def board_chart(desk: Desk, name: str, days: int, now: datetime) -> dict[str, list[Any]]:
    """The columns of a board's chart: the time of each hour in seconds, and its values."""
    since = hour_of(now - timedelta(days=days))
    by_hour = {hour.start: hour for hour in BoardReader().read(desk.store, name, since).hours}
    starts = hours_between(since, now)
    hours = [by_hour.get(start, HourSums(start)) for start in starts]
    return {
        "hour": [int(start.timestamp()) for start in starts],
        "posts": [hour.posts for hour in hours],
        "deleted": [hour.deleted for hour in hours],
        "coverage": [None if (share := coverage([hour])) is None else round(100 * share, 2) for hour in hours],
        "delay": [None if (seconds := delay([hour])) is None else round(seconds, 1) for hour in hours],
    }


@dataclass(frozen=True, slots=True)
class LiveThread:
    no: int
    subject: str | None
    replies: int | None
    images: int | None
    bumped_at: datetime | None
    is_sticky: bool


def _live(row: Sequence[Any]) -> LiveThread:
    no, subject, replies, images, bumped, sticky = row
    return LiveThread(no, subject, replies, images, moment(bumped), bool(sticky))


@dataclass(frozen=True, slots=True)
class Deletions:
    """The deletions of a stretch, the latest 2,000 of them at most. Lifetimes are in seconds, from the post to the last
    time that it was seen."""

    rows: list[tuple[int, int, datetime, datetime, float]]
    hours: list[tuple[datetime, int]]
    lifetimes: list[tuple[str, int]]
    middle: str

    @property
    def bars(self) -> list[tuple[float, float, float, float]]:
        return bars([number for _, number in self.lifetimes])


def _deletions(store: Store, name: str, since: datetime) -> Deletions:
    rows = []
    for no, thread_no, posted_at, seen_at, deleted_at in store.rows(DELETED, name, since):
        posted, seen = time_of(posted_at), time_of(seen_at or deleted_at)
        rows.append((no, thread_no, posted, time_of(deleted_at), max((seen - posted).total_seconds(), 0.0)))
    lives = sorted(row[4] for row in rows)
    counts = Counter(next(words for words, limit in LIFETIMES if life < limit) for life in lives)
    hours = Counter(hour_of(row[3]) for row in rows)
    return Deletions(rows, sorted(hours.items(), reverse=True), [(words, counts[words]) for words, _ in LIFETIMES],
                     duration(lives[len(lives) // 2]) if lives else "")  # fmt: skip


# --- crawls, credentials


def crawls(desk: Desk, before: int | None) -> Context:
    """The crawls, the latest first, with their end and their cost."""
    store = desk.store
    last = 2**63 - 1 if before is None else before
    alive = {run.run_id for run in runs.alive(store)}
    found = [_crawl(row, alive) for row in store.rows(RUNS, last, ROWS + 1)]
    return {
        "crawls": More.of(found, "run_id"),
        "spending": desk.part(lambda: [(str(day)[:10], *rest) for day, *rest in store.rows(SPENDING)]),
    }


def _crawl(row: Sequence[Any], alive: set[int]) -> Context:
    run_id, spider, arguments, started, finished, reason, dollars, host, alive_at = row
    values = from_json(arguments)
    words = (
        " ".join(f"{name}={value}" for name, value in values.items() if value) if isinstance(values, Mapping) else ""
    )
    state = "running" if run_id in alive else reason or "lost"
    return {
        "run_id": run_id, "spider": spider, "arguments": words, "started_at": moment(started),
        "finished_at": moment(finished) or moment(alive_at), "state": state, "dollars": dollars, "host": host or "",
    }  # fmt: skip


# --- X


def accounts(desk: Desk, after: int) -> Context:
    """The accounts by their number."""
    rows = desk.store.rows(ACCOUNTS, after, ROWS + 1)
    found = [(row[0], row[1], row[2], row[3], moment(row[4]), moment(row[5]), moment(row[6])) for row in rows]
    return {"accounts": More.of(found), "after": after}


def feeds(desk: Desk, after: str) -> Context:
    """The searches and trends that were read."""
    rows = desk.store.rows(OTHER_FEEDS, after, "timeline:%", ROWS + 1)
    found = [(feed, moment(since), moment(visited), posts) for feed, since, visited, posts in rows]
    return {"feeds": More.of(found), "after": after}


def account(desk: Desk, number: int, days: int, before: int | None, now: datetime) -> Context:
    """An account: how far back it is complete, its holes, its hours, its latest posts."""
    store = desk.store
    found = select(store, Account, "WHERE id = ?", number)
    posts = select(store, Tweet, "WHERE author_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
                   number, before or 2**63 - 1, ROWS // 2 + 1)  # fmt: skip
    if not found and not posts:
        raise Missing(f"Nothing of the account with the number {number} is stored.")
    since = hour_of(now - timedelta(days=days))
    hours = desk.part(lambda: [(time_of(hour), count) for hour, count in store.rows(ACCOUNT_HOURS, number, since)])
    rows = desk.part(lambda: store.rows(FEED, f"timeline:{number}"))
    feed: Any = rows if isinstance(rows, Exception) else None
    if rows and not isinstance(rows, Exception):
        complete, visited, count, pace = rows[0]
        feed = {"complete_since": moment(complete), "is_whole": moment(complete) == EPOCH,
                "visited_at": moment(visited), "posts": count, "posts_per_day": pace}  # fmt: skip
    shown = posts[: ROWS // 2]
    return {
        "account": found[0] if found else None, "number": number, "days": days, "before": before, "feed": feed,
        "name": found[0].username if found else shown[0].username, "posts": shown, "hours": hours,
        "after": shown[-1].id if len(posts) > ROWS // 2 else None,
        "spark": hours if isinstance(hours, Exception) else _spark(hours, since, now),
        "gaps": desk.part(lambda: [(moment(start), moment(end), reason) for start, end, reason
                                   in store.rows(GAPS, f"timeline:{number}", ROWS)]),
    }  # fmt: skip


def _spark(hours: Sequence[tuple[datetime, int]], since: datetime, now: datetime) -> Any:
    by_hour = dict(hours)
    starts = hours_between(since, now)
    return sparkline([by_hour.get(start, 0) for start in starts], "posts an hour", 480, 48)


def account_number(desk: Desk, name: str) -> int:
    """The number of the account that has, or had, a name."""
    number = account_of(desk.store, name.lower())
    if not number:
        raise Missing(f"Nothing of @{name} is stored.")
    return int(number)


def tweet(desk: Desk, number: int) -> Context:
    """A post of X, with those that it refers to, as far as they are stored."""
    store = desk.store
    found = select(store, Tweet, "WHERE id = ?", number)
    if not found:
        raise Missing(f"The post {number} of X is not stored.")
    this = found[0]
    related = [no for no in (this.in_reply_to_id, this.quoted_id, this.retweeted_id) if no is not None]
    others = [other for no in dict.fromkeys(related) for other in select(store, Tweet, "WHERE id = ?", no)]
    return {"tweet": this, "others": others, "metrics": json.dumps(this.metrics, sort_keys=True)}


def now() -> datetime:
    return datetime.now(UTC)
